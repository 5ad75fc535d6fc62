"""What each attack of a study is: its kind, its variant, the ball it stays in."""

import pandas as pd

from spectroscope.attacks.settings import AttackSettings, label, parts
from spectroscope.attacks.settings_frequency import AttackedBand

KINDS = {
    "fgsm": "single step",
    "pgd": "white box",
    "cw": "white box",
    "ddn": "white box",
    "fab": "white box",
    "deepfool": "white box",
    "apgd": "white box",
    "autoattack": "ensemble",
    "square": "black box",
    "simba": "black box",
    "nes": "black box",
    "spsa": "black box",
    "hop_skip_jump": "black box",
    "confined": "confined",
    "fourier": "confined",
    "noise": "control",
}


def describe(entries: dict[str, AttackSettings]) -> pd.DataFrame:
    """One row for each attack of each entry: attack (its name), entry, method, kind, variant, norm, eps, n_images.

    A confined minimal-norm attack is of the kind `confined`. Without a ball norm and eps are missing; eps is in pixel
    units of [0, 1].
    """
    rows = []
    for entry, settings in entries.items():
        for variant, radii in parts(settings):
            for each in radii:
                kind = "confined" if variant and KINDS[each.method] == "white box" else KINDS[each.method]
                norm, eps = each.ball or (None, None)
                name = f"{entry} {label(variant, each, len(radii) > 1)}".strip()
                about = {"attack": name, "entry": entry, "method": each.method, "kind": kind, "variant": variant}
                rows.append({**about, "norm": norm, "eps": eps, "n_images": each.n_images})
    return pd.DataFrame(rows).astype({"eps": float})


def bands(entries: dict[str, AttackSettings]) -> dict[tuple[str, str], AttackedBand]:
    """The band of each confined attack, by entry and variant."""
    given = {entry: getattr(settings, "bands", None) or {} for entry, settings in entries.items()}
    return {(entry, name): band for entry, named in given.items() for name, band in named.items()}

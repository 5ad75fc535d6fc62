"""Kind, variant and ball of each attack of a study."""

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
    """attack (its name), entry, method, kind, variant, norm, eps, n_images: a row for each variant and radius.

    A minimal-norm attack that is confined to a band is of the kind `confined`. norm and eps are missing for attacks
    without a ball; eps is in pixel units of [0, 1].
    """
    rows = []
    for entry, settings in entries.items():
        for variant, radii in parts(settings):
            for attack in radii:
                kind = "confined" if variant and KINDS[attack.method] == "white box" else KINDS[attack.method]
                norm, eps = attack.ball or (None, None)
                name = f"{entry} {label(variant, attack, len(radii) > 1)}".strip()
                row = {"attack": name, "entry": entry, "method": attack.method, "kind": kind, "variant": variant}
                rows.append({**row, "norm": norm, "eps": eps, "n_images": attack.n_images})
    return pd.DataFrame(rows).astype({"eps": float})


def bands(entries: dict[str, AttackSettings]) -> dict[tuple[str, str], AttackedBand]:
    """The band of each confined attack, by entry and variant."""
    banded = {entry: getattr(settings, "bands", None) or {} for entry, settings in entries.items()}
    return {(entry, variant): band for entry, bands in banded.items() for variant, band in bands.items()}

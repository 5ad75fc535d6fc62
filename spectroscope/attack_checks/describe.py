"""Kind, variant and ball of each attack of a study."""

from typing import NamedTuple

import pandas as pd

from spectroscope.attacks.band_projection import AttackedBand
from spectroscope.attacks.registry import AttackSettings, expand_variants, lookup, variant_label


def describe(entries: dict[str, AttackSettings]) -> pd.DataFrame:
    """attack (its name), entry, method, kind, variant, norm, eps, n_images: a row for each variant and radius.

    A minimal-norm attack that is confined to a band is of the kind `confined`; an attack whose band keeps every
    coefficient is not confined, but a `white box`. norm and eps are missing for attacks without a ball; eps is in pixel
    units of [0, 1].
    """
    rows = []
    for entry, settings in entries.items():
        for variant, radii in expand_variants(settings):
            for each in radii:
                kind, band = lookup(each.method).kind, (getattr(each, "bands", None) or {}).get(variant)
                if band:
                    unconfined = band.keep == "all" and not getattr(each, "coefficients", None)
                    kind = "white box" if unconfined else "confined"
                norm, eps = each.ball or (None, None)
                name = f"{entry} {variant_label(variant, each, len(radii) > 1)}".strip()
                about = {"attack": name, "entry": entry, "method": each.method, "kind": kind, "variant": variant}
                rows.append({**about, "norm": norm, "eps": eps, "n_images": each.n_images})
    return pd.DataFrame(rows).astype({"eps": float})


class Subspace(NamedTuple):
    """What a confined attack may change: a band, of it all (None) or a number of coefficients; and its n_images."""

    band: AttackedBand
    coefficients: int | None
    n_images: int


def subspaces(entries: dict[str, AttackSettings]) -> dict[tuple[str, str], Subspace]:
    """The subspace of each confined attack, by entry and variant."""
    return {
        (entry, variant): Subspace(band, getattr(settings, "coefficients", None), settings.n_images)
        for entry, settings in entries.items()
        for variant, band in (getattr(settings, "bands", None) or {}).items()
    }

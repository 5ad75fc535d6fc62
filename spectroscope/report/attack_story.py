"""What the page says of the attacks: how strong they are, what speaks against them, where they carry over."""

import pandas as pd

from spectroscope.report import attack_figures, page
from spectroscope.report.page import Section, chart

TABLES = ("attacks", "queries", "confined", "attack_transfer")
SOUND = (
    "Nothing speaks against the attacks: no other attack beats the strongest white box of its radius beyond chance, no "
    "gradient is zero, no output varies between two passes, and none is a probability."
)
ATTACKS = (
    "The share of images fooled, of those that were right before, which alone are attacked, with its interval. "
    "l2 and queries: medians over the successes. The radius is in pixel units of [0, 1]. "
)
CONFOUNDS = (
    "Two confounds come with the algorithms: the sign in FGSM and PGD flattens a spectrum, and SimBA's spectrum is "
    "the basis it proposes in. The controls show what a perturbation does that knows nothing of the network."
)


def section(table: dict[str, pd.DataFrame], warnings: dict[str, dict[str, str]], hues: dict[str, str]) -> Section:
    """Warnings first, then the strength of each attack, its queries, transfer, and the bands."""
    lines = [f"{run}, {name}: {text}." for run, found in warnings.items() for name, text in found.items()]
    blocks = [page.prose("Warnings", *lines, kind="warning") if lines else page.prose(SOUND), page.prose(CONFOUNDS)]
    blocks.append(page.table(_strength(table["attacks"], hues), ATTACKS, hues))
    for name in ("queries", "confined", "attack_transfer"):
        if len(table[name]):
            figure = attack_figures.transfer if name == "attack_transfer" else getattr(attack_figures, name)
            blocks.append(chart(figure(table[name], hues)))
    return Section("Strength", "How strong are the attacks, and can they be believed?", tuple(blocks))


def _strength(attacks: pd.DataFrame, hues: dict[str, str]) -> pd.DataFrame:
    """Attacks in rows; kind, radius, images, then success, l2 and queries of each run."""
    rows = []
    for attack, part in attacks.groupby("attack", sort=False):
        first, by_run = part.iloc[0], part.set_index("run")
        radius = "none" if pd.isna(first["eps"]) else f"{first['norm']} {first['eps']:.3g}"
        n = sorted({int(part["n_images"].min()), int(part["n_images"].max())})
        cells = []
        for run in hues:
            row = by_run.loc[run]
            sizes = f" · l2 {row['l2']:.2g} · {row['queries']:.0f} queries" if pd.notna(row["l2"]) else ""
            cells.append(page.number(row["mean"], row["low"], row["high"], share=True) + sizes)
        rows.append((attack, first["kind"], radius, " to ".join(map(str, n)), *cells))
    return pd.DataFrame(rows, columns=["attack", "kind", "radius", "images", *hues])

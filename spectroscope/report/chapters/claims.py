"""The claims of a study, each with its verdict; then the study in one picture, and how to read the page."""

import math
from typing import Any, NamedTuple

from spectroscope.questions import QUESTIONS
from spectroscope.report import page, words
from spectroscope.report.overview import overview
from spectroscope.report.results import Results

QUESTION = QUESTIONS["claims"]
NONE = "This study makes no claims (section `claims` of params.yaml)."
CAPTION = (
    "Supported: the whole interval of the effect lies beyond the margin that the claim sets. Refuted: the whole "
    "interval lies on the other side of it. Undetermined: the margin is inside. Void: the control shows the effect "
    "too, or what should have caused it did not happen. Each interval has the confidence at which Holm's steps tested "
    "the claim, so that all verdicts together are right with {together:.0%} confidence; it is over networks and "
    "images, of one network over images for it alone, of a correlation over runs. "
)
WEAK = "The networks of this study are below its floor of {floor:.0%} accuracy: no verdict speaks of others. "
READING = (
    "A run is a set of networks, one for each seed, trained alike on one band of the images. Shell s of a spectrum "
    "holds the DCT coefficients (u, v) with max(u, v) = s: shell 0 is the mean (DC), higher shells are finer detail. "
    "Bars, areas and square brackets are intervals over networks and images, at the level that `statistics` sets; none "
    "but those of the claims is corrected for the number of comparisons. A click on a run in a legend highlights it."
)
GLYPHS = {"supported": "✓", "refuted": "✗", "undetermined": "?", "void": "∅"}
CHAPTERS = {  # where the table of an effect is shown
    "accuracy": "evaluation",
    "band_accuracy": "evaluation",
    "reliance": "evaluation",
    "band_loss": "attribution",
    "attacks": "attack_checks",
    "confined": "attack_checks",
    "attack_transfer": "attack_checks",
    "calibrated": "perturbation",
    "margins": "probing",
    "counterparts": "probing",
    "layers": "probing",
    "concordance": "validation",
    "choices": "validation",
}


class Line(NamedTuple):
    """One claim as the page shows it."""

    glyph: str
    verdict: str
    weak: bool
    says: str
    chapter: str
    effect: str
    expected: str
    sample: str
    control: str
    notes: list[str]
    why: str


def blocks(results: Results) -> page.Blocks:
    table = results.tables["claims"]
    picture = overview(results.tables["occluded_frequency"], results.tables["accuracy"], results.run_colours)
    below = (page.chart(picture), page.prose(READING))
    if not len(table):
        return page.prose(NONE), *below
    caption = CAPTION.format(together=results.settings["statistics"]["confidence"])
    if table["weak"].any():
        caption = WEAK.format(floor=results.settings["findings"]["floor"]) + caption
    return page.claims([line(row) for row in table.to_dict("records")], caption), *below


def line(row: dict[str, Any]) -> Line:
    """A row of the table of claims in words."""
    texts = {name: "" if value != value else str(value) for name, value in row.items()}  # an empty cell is read as NaN
    notes = [texts[name] for name in ("void", "reason", "choice") if texts[name]]
    if texts["needed"]:
        notes.append(f"would be decided by {texts['needed']}" if "about" in texts["needed"] else texts["needed"])
    sizes = {"n_runs": "run", "n_networks": "network", "n_images": "image"}
    sample = ", ".join(words.count(int(row[name]), noun) for name, noun in sizes.items() if row[name])
    control = "" if math.isnan(row["control"]) else interval(row["control"], row["control_low"], row["control_high"])
    sign, side = ("-", "below") if row["expect"] == "below" and row["margin"] else ("", row["expect"])
    return Line(
        glyph=GLYPHS[row["verdict"]],
        verdict=row["verdict"],
        weak=bool(row["weak"]),
        says=row["says"],
        chapter=CHAPTERS[row["table"]],
        effect=interval(row["mean"], row["low"], row["high"]),
        expected=f"{side} {sign}{row['margin']:g} {row['unit']}",
        sample=sample or "-",
        control=control or "-",
        notes=notes,
        why=row["why"],
    )


def interval(mean: float, low: float, high: float) -> str:
    """`+0.31 [+0.22, +0.40]`, without brackets where there is no interval; a dash where there is no mean."""
    if math.isnan(mean):
        return "-"
    ends = "" if math.isnan(low) or math.isnan(high) else f" [{low:+.3g}, {high:+.3g}]"
    return f"{mean:+.3g}{ends}"

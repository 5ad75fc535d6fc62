"""Fill the parts of README.md and docs/ that are results between their markers: `make readme`."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts import answers, gpu
from spectroscope.pipeline import io
from spectroscope.questions import QUESTIONS

ROOT = Path(__file__).parents[1]
PAGES = (
    ROOT / "README.md",
    *(ROOT / "docs" / name for name in ("studies.md", "validation.md", "answers.md", "scale.md")),
)
ENDS = ("mean", "low", "high")
Row = dict[str, Any]


def filled(text: str, root: Path = ROOT) -> str:
    """`text` with the content of every block `<!-- NAME -->` ... `<!-- end -->` made anew.

    NAME is `finding` (three claims, by study), `questions` (the stages), `verdicts` (of all studies),
    `verdicts over studies`, a Markdown file, `FOLDER by method` (how good the attribution methods are), `FOLDER by
    network` (single networks side by side), or `FILE by number` (figures of a GPU). A block whose study has left no
    result stays as it is.
    """

    def block(match: re.Match) -> str:
        name, _, form = match[1].partition(" by ")
        source = root / ("." if name in FORMS else name)
        fill = FORMS.get(name) or FORMS[form]
        return f"<!-- {match[1]} -->\n{fill(source)}<!-- end -->" if source.exists() else match[0]

    return re.sub(
        r"<!-- (finding|questions|verdicts(?: over studies)?|\S+/\S+?(?: by (?:method|network|number))?) -->\n"
        r".*?<!-- end -->",
        block,
        text,
        flags=re.S,
    )


def questions(_: Path) -> str:
    """The table of stages."""
    return "| stage | question |\n|---|---|\n" + "".join(f"| `{name}` | {text} |\n" for name, text in QUESTIONS.items())


def methods(folder: Path) -> str:
    """Deletion and insertion of each method, minus the order by energy in pairs, and how far the methods agree."""
    curves, agreement, signs = (rows(folder / f"{name}.csv") for name in ("faithfulness", "concordance", "signs"))
    curves = [row for row in curves if row["unit"] == "band"]
    runs, orders = (list(dict.fromkeys(row[key] for row in curves)) for key in ("run", "order"))
    cells = {(row["run"], row["kind"], row["order"]): _beside_energy(row) for row in curves}
    columns = [(run, kind) for run in runs for kind in ("deletion", "insertion")]
    lines = [
        "| order | " + " | ".join(f"{run}: {kind}" for run, kind in columns) + " |",
        "| --- " * (1 + len(columns)) + "|",
    ]
    lines += ["| " + " | ".join([order, *(cells[*column, order] for column in columns)]) + " |" for order in orders]
    networks = curves[0]["n_seeds"]
    basis = f"n = {curves[0]['n_images']} images, {networks} network{'s' if networks > 1 else ''} a run."
    overall = [row for row in agreement if row["method"] == "all" and row["across"] == "methods"]
    concordance = ", ".join(f"{row['run']} {interval(row)}" for row in overall)
    notes = [
        f"{basis} In each cell the mean; behind it, in thousandths, its difference from the order `energy` on the same "
        "networks and images, with the interval of that difference.",
        f"Kendall's W of the methods: {concordance}.",
    ]
    for row in signs:
        same, sure, median = (row[key] for key in ("same_sign", "sure", "median"))
        notes.append(
            f"{row['statistic']} of {row['run']}: of {row['n_choices']} choices {same:.0%} have the sign of the "
            f"median, {median:+.3f}, {sure:.0%} with an interval on one side of 0."
        )
    return "\n".join([*lines, "", *(f"* {note}" for note in notes), ""])


def networks(folder: Path) -> str:
    """Each network of a study of single networks: accuracies, reliance, and attacks in subspaces of equal dimension."""
    accuracy, reliance, confined, lost = (
        rows(folder / f"{name}.csv") for name in ("accuracy", "reliance", "confined", "band_loss")
    )
    attacks = [row["attack"] for row in accuracy if row["attack"] == "clean" or row["attack"].startswith("pgd ")]
    attacks = list(dict.fromkeys(attacks))
    cells = {(row["run"], row["attack"]): _percent(row) for row in accuracy}
    shapes = {(row["run"], row["statistic"]): row for row in reliance if row["score"] == "margin"}
    fooled = {(row["run"], row["band"]): _percent(row) for row in confined if row["entry"] == "confined-64"}
    high = {row["run"]: row for row in lost if (row["band"], row["change"], row["measure"]) == HIGH}
    bands = ("low", "middle", "high")
    head = ["network", *attacks, "centroid, margin", "HF share, margin", "lost without high"]
    lines = ["| " + " | ".join([*head, *(f"fooled in 64 of {band}" for band in bands)]) + " |"]
    lines.append("|---" * (len(head) + len(bands)) + "|")
    for run in dict.fromkeys(row["run"] for row in accuracy):
        centroid, share = (shapes.get((run, name)) for name in ("centroid", "hf_share"))
        line = [run, *(cells[run, attack] for attack in attacks)]
        line.append(_starred(centroid, "{:.1f} [{:.1f}, {:.1f}]", 1) if centroid else "at chance")
        line.append(_starred(share, "{:.0f} % [{:.0f}, {:.0f}]", 100) if share else "at chance")
        line.append(_percent(high[run]) if run in high else "at chance")
        lines.append("| " + " | ".join([*line, *(fooled[run, band] for band in bands)]) + " |")
    return "\n".join(lines) + "\n"


HIGH = ("high", "without", "accuracy")


def _percent(row: Row) -> str:
    """A share with its interval, in whole percent."""
    return _starred(row, "{:.0f} % [{:.0f}, {:.0f}]", 100)


def _starred(row: Row, form: str, scale: float) -> str:
    """Mean and interval in this form; the mean alone without one; a star where it is no centre of reliance."""
    values = [scale * row[key] for key in ENDS]
    text = form.split(" [")[0].format(values[0]) if math.isnan(values[1]) else form.format(*values)
    return "-" if math.isnan(values[0]) else f"{text} *" if row.get("marked") else text


def _beside_energy(row: Row) -> str:
    """The mean of an order, and its paired difference from the order by energy in thousandths."""
    less, low, high = (1000 * row[key] for key in ("less_energy", "less_energy_low", "less_energy_high"))
    if row["order"] == "energy" or math.isnan(less):
        return f"{row['mean']:.3f}"
    return f"{row['mean']:.3f}; {less:+.0f}" + ("" if math.isnan(low) else f" [{low:+.0f}, {high:+.0f}]")


def rows(file: Path) -> list[Row]:
    """The rows of a table; ValueError when it is of another schema version."""
    return io.read_table(file).to_dict("records")


def interval(row: Row) -> str:
    """Mean and interval of a row; the mean alone where there is none."""
    mean, low, high = (row[key] for key in ENDS)
    return f"{mean:.2f}" if math.isnan(low) else f"{mean:.2f} [{low:.2f}, {high:.2f}]"


FORMS: dict[str, Callable[[Path], str]] = {
    "finding": answers.headline,
    "questions": questions,
    "verdicts": answers.by_study,
    "verdicts over studies": answers.over_studies,
    "": Path.read_text,
    "method": methods,
    "network": networks,
    "number": gpu.tables,
}


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text()))

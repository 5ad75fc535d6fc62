"""Fill the parts of README.md and docs/ that are results between their markers: `make readme`."""

import csv
import re
from collections.abc import Callable
from pathlib import Path

from spectroscope.questions import QUESTIONS

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "studies.md", ROOT / "docs" / "validation.md")
ENDS = ("mean", "low", "high")
Row = dict[str, str]


def filled(text: str, root: Path = ROOT) -> str:
    """`text` with the content of every block `<!-- NAME -->` ... `<!-- end -->` made anew.

    NAME is `finding` (three sentences on the default study), `questions` (the stages), a Markdown file, `FILE by run`
    (its table with rows and columns exchanged), or `FOLDER by method` (how good the attribution methods are). A block
    whose study has left no result stays as it is.
    """

    def block(match: re.Match) -> str:
        name, _, form = match[1].partition(" by ")
        source = root / {"finding": "reports/tables", "questions": "."}.get(name, name)
        fill = FORMS.get(name) or FORMS[form]
        return f"<!-- {match[1]} -->\n{fill(source)}<!-- end -->" if source.exists() else match[0]

    return re.sub(
        r"<!-- (finding|questions|\S+/\S+?(?: by run| by method)?) -->\n.*?<!-- end -->", block, text, flags=re.S
    )


def finding(tables: Path) -> str:
    """What the default study found, in three sentences, each with its figures, its n and nominal 95 % intervals."""
    accuracy = {(row["run"], row["attack"]): row for row in rows(tables / "accuracy.csv")}
    change = {(row["run"], row["statistic"]): row for row in rows(tables / "contrasts.csv")}

    def percent(run: str, attack: str) -> str:
        return f"{100 * float(accuracy[run, attack]['mean']):.0f} %"

    def points(run: str) -> str:
        return "{:+.1f} points [{:+.1f}, {:+.1f}]".format(*(100 * float(change[run, "pgd"][key]) for key in ENDS))

    attacked, centroid = accuracy["standard", "pgd"], change["adversarial", "centroid"]
    networks, n = attacked["n_seeds"], attacked["n_images"]
    shift = "{:.1f} shells [{:.1f}, {:.1f}]".format(*(float(centroid[key]) for key in ENDS))
    clean, classes = accuracy["standard", "clean"], len({row["class"] for row in rows(tables / "class_accuracy.csv")})
    return (
        f"* **Adversarial training** raised the accuracy under PGD (l-inf, 8/255) from {percent('standard', 'pgd')} to "
        f"{percent('adversarial', 'pgd')} (n = {n}). The centroid of Occluded Frequency differed by {shift} (n = "
        f"{centroid['n_images']}): the paper's direction, but {networks} networks each are too few to establish a "
        "shift; the nominal 95 % bootstrap intervals in brackets are too short with so few.\n"
        f"* **Training on low-passed images** without an adversary changed the accuracy under the same attack by "
        f"{points('lowpass')}, to {percent('lowpass', 'pgd')}, where chance is {100 / classes:.1f} %; adversarial "
        f"training changed it by {points('adversarial')} ({networks} networks, n = {n}).\n"
        f"* **These networks are weak** ({percent('standard', 'clean')} correct on clean images of {classes} classes, "
        f"n = {clean['n_images']}): the study shows what the instrument does, and is no evidence about well-trained "
        "networks.\n"
    )


def questions(_: Path) -> str:
    """The table of stages."""
    return "| stage | question |\n|---|---|\n" + "".join(f"| `{name}` | {text} |\n" for name, text in QUESTIONS.items())


def exchanged(file: Path) -> str:
    """The table of a Markdown file with rows and columns exchanged, and the text below it as it is."""
    lines, below = file.read_text().split("\n\n", 1)
    head, _, *body = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines.splitlines())
    columns = [list(column) for column in zip(head, *body, strict=True)]
    columns.insert(1, ["---"] * len(columns[0]))
    return "\n".join("| " + " | ".join(column) + " |" for column in columns) + f"\n\n{below}"


def methods(folder: Path) -> str:
    """Deletion and insertion of each method and of the orders that ignore the network; how far the methods agree."""
    curves, agreement, signs = (rows(folder / f"{name}.csv") for name in ("faithfulness", "concordance", "signs"))
    curves = [row for row in curves if row["unit"] == "band"]
    runs, orders = (list(dict.fromkeys(row[key] for row in curves)) for key in ("run", "order"))
    cells = {(row["run"], row["kind"], row["order"]): interval(row) for row in curves}
    columns = [(run, kind) for run in runs for kind in ("deletion", "insertion")]
    lines = [
        "| order | " + " | ".join(f"{run}: {kind}" for run, kind in columns) + " |",
        "| --- " * (1 + len(columns)) + "|",
    ]
    lines += ["| " + " | ".join([order, *(cells[*column, order] for column in columns)]) + " |" for order in orders]
    seeds = int(curves[0]["n_seeds"])
    basis = f"n = {curves[0]['n_images']} images, {seeds} network{'s' if seeds > 1 else ''} a run, bootstrap intervals."
    overall = [row for row in agreement if row["method"] == "all" and row["across"] in ("methods", "measures")]
    concordance = ", ".join(f"{row['run']} {interval(row)}" for row in overall)
    notes = [f"{basis} Kendall's W of the methods: {concordance}."]
    for row in signs:
        same, median = float(row["same_sign"]), float(row["median"])
        sure = f"{float(row['sure']):.0%} with an interval on one side of 0" if row["sure"] else "none with an interval"
        notes.append(
            f"{row['statistic']} of {row['run']}: of {row['n_choices']} choices {same:.0%} have the sign of the "
            f"median, {median:+.3f}, {sure}."
        )
    return "\n".join([*lines, "", *(f"* {note}" for note in notes), ""])


def rows(file: Path) -> list[Row]:
    """The rows of a table."""
    with file.open(newline="") as content:
        return list(csv.DictReader(content))


def interval(row: Row) -> str:
    """Mean and interval of a row; the mean alone where there is none (two networks)."""
    mean, low, high = (row[key] for key in ENDS)
    return f"{float(mean):.2f} [{float(low):.2f}, {float(high):.2f}]" if low else f"{float(mean):.2f}"


FORMS: dict[str, Callable[[Path], str]] = {
    "finding": finding,
    "questions": questions,
    "": Path.read_text,
    "run": exchanged,
    "method": methods,
}


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text()))

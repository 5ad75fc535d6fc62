"""Put the result tables between their markers in README.md and docs/measures.md: `make readme`."""

import csv
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "measures.md")
Rows = list[dict[str, str]]


def filled(text: str, root: Path = ROOT) -> str:
    """`text` with, after each marker `<!-- path.md -->` and before the next `<!-- end -->`, the file it names.

    `<!-- path.md by run -->` turns the file's table, so that many runs stand below each other; `<!-- folder by measure
    -->` has one of the tables in a folder. A block whose study has left no file there stays as it is.
    """
    forms = {"": Path.read_text, " by run": lambda file: turned(file.read_text()), " by measure": measures}

    def table(found: re.Match) -> str:
        source, form = root / found[1], found[2]
        return f"<!-- {found[1]}{form} -->\n{forms[form](source)}<!-- end -->" if source.exists() else found[0]

    return re.sub(r"<!-- (\S+?)( by run| by measure|) -->\n.*?<!-- end -->", table, text, flags=re.S)


def turned(text: str) -> str:
    """A table with its rows and columns exchanged, and the text below it as it is."""
    lines, below = text.split("\n\n", 1)
    head, _, *rows = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines.splitlines())
    columns = [list(column) for column in zip(head, *rows, strict=True)]
    columns.insert(1, ["---"] * len(columns[0]))
    return "\n".join("| " + " | ".join(column) + " |" for column in columns) + f"\n\n{below}"


def measures(folder: Path) -> str:
    """Faithfulness of each measure, and of the orders that know nothing of the network; how far the measures agree."""
    curves, agree, signs = (rows(folder / f"{name}.csv") for name in ("faithfulness", "concordance", "signs"))
    curves = [row for row in curves if row["unit"] == "band"]
    runs, orders = (list(dict.fromkeys(row[key] for row in curves)) for key in ("run", "order"))
    found = {(row["run"], row["kind"], row["order"]): interval(row) for row in curves}
    columns = [(run, kind) for run in runs for kind in ("deletion", "insertion")]
    lines = [
        "| order | " + " | ".join(f"{run}: {kind}" for run, kind in columns) + " |",
        "| --- " * (1 + len(columns)) + "|",
    ]
    lines += ["| " + " | ".join([order, *(found[*column, order] for column in columns)]) + " |" for order in orders]
    size = f"n = {curves[0]['n_images']} images, {curves[0]['n_seeds']} seed(s), bootstrap intervals."
    whole = [f"{row['run']} {interval(row)}" for row in agree if row["method"] == "all" and row["across"] == "measures"]
    below = [f"{size} Kendall's W of the measures: {', '.join(whole)}."]
    for row in signs:
        same, sure, median = (float(row[key]) for key in ("same_sign", "sure", "median"))
        below.append(
            f"{row['statistic']} of {row['run']}: of {row['n_choices']} choices {same:.0%} have the sign of the "
            f"median, {median:+.3f}, {sure:.0%} with an interval on one side of 0."
        )
    return "\n".join([*lines, "", *(f"* {line}" for line in below), ""])


def rows(file: Path) -> Rows:
    """The rows of a table."""
    with file.open(newline="") as content:
        return list(csv.DictReader(content))


def interval(row: dict[str, str]) -> str:
    """Mean and interval of a row."""
    return "{:.2f} [{:.2f}, {:.2f}]".format(*(float(row[key]) for key in ("mean", "low", "high")))


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text()))

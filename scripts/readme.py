"""Put the result tables between their markers in README.md and docs/measures.md: `make readme`."""

import csv
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "measures.md")
Rows = list[dict[str, str]]


def filled(text: str, root: Path = ROOT) -> str:
    """`text` with the file named by each marker `<!-- path.md -->` inserted, up to the next `<!-- end -->`.

    `<!-- path.md by run -->` transposes the file's table, to one row a run; `<!-- folder by measure -->` inserts one of
    the attribution methods, from the tables in that folder. A block whose file does not exist stays as it is.
    """
    forms = {"": Path.read_text, " by run": lambda file: transposed(file.read_text()), " by measure": methods}

    def block(match: re.Match) -> str:
        source, form = root / match[1], match[2]
        return f"<!-- {match[1]}{form} -->\n{forms[form](source)}<!-- end -->" if source.exists() else match[0]

    return re.sub(r"<!-- (\S+?)( by run| by measure|) -->\n.*?<!-- end -->", block, text, flags=re.S)


def transposed(text: str) -> str:
    """A Markdown table with rows and columns exchanged; the text below it stays as it is."""
    lines, below = text.split("\n\n", 1)
    head, _, *rows = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines.splitlines())
    columns = [list(column) for column in zip(head, *rows, strict=True)]
    columns.insert(1, ["---"] * len(columns[0]))
    return "\n".join("| " + " | ".join(column) + " |" for column in columns) + f"\n\n{below}"


def methods(folder: Path) -> str:
    """Faithfulness of each attribution method and of the control orders, and how well the methods agree."""
    curves, agreement, signs = (rows(folder / f"{name}.csv") for name in ("faithfulness", "concordance", "signs"))
    curves = [row for row in curves if row["unit"] == "band"]
    runs, orders = (list(dict.fromkeys(row[key] for row in curves)) for key in ("run", "order"))
    intervals = {(row["run"], row["kind"], row["order"]): interval(row) for row in curves}
    columns = [(run, kind) for run in runs for kind in ("deletion", "insertion")]
    lines = [
        "| order | " + " | ".join(f"{run}: {kind}" for run, kind in columns) + " |",
        "| --- " * (1 + len(columns)) + "|",
    ]
    lines += ["| " + " | ".join([order, *(intervals[*column, order] for column in columns)]) + " |" for order in orders]
    size = f"n = {curves[0]['n_images']} images, {curves[0]['n_seeds']} seed(s), bootstrap intervals."
    whole = [
        f"{row['run']} {interval(row)}" for row in agreement if row["method"] == "all" and row["across"] == "measures"
    ]
    notes = [f"{size} Kendall's W of the measures: {', '.join(whole)}."]
    for row in signs:
        same, sure, median = (float(row[key]) for key in ("same_sign", "sure", "median"))
        notes.append(
            f"{row['statistic']} of {row['run']}: of {row['n_choices']} choices {same:.0%} have the sign of the "
            f"median, {median:+.3f}, {sure:.0%} with an interval on one side of 0."
        )
    return "\n".join([*lines, "", *(f"* {line}" for line in notes), ""])


def rows(file: Path) -> Rows:
    """Rows of a CSV file."""
    with file.open(newline="") as content:
        return list(csv.DictReader(content))


def interval(row: dict[str, str]) -> str:
    """Mean and confidence interval of a row, as text."""
    return "{:.2f} [{:.2f}, {:.2f}]".format(*(float(row[key]) for key in ("mean", "low", "high")))


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text()))

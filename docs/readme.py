"""Put the result tables between their markers in README.md: `make readme`."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def filled(text: str, root: Path = ROOT) -> str:
    """`text` with, after each marker `<!-- path.md -->` and before the next `<!-- end -->`, the file it names.

    `<!-- path.md by run -->` turns the file's table, so that many runs stand below each other. A block whose study has
    left no file there stays as it is.
    """

    def table(found: re.Match) -> str:
        file, by_run = root / found[1], found[2]
        if not file.exists():
            return found[0]
        content = file.read_text()
        return f"<!-- {found[1]}{by_run} -->\n{turned(content) if by_run else content}<!-- end -->"

    return re.sub(r"<!-- (\S+\.md)( by run|) -->\n.*?<!-- end -->", table, text, flags=re.S)


def turned(text: str) -> str:
    """A table with its rows and columns exchanged, and the text below it as it is."""
    lines, below = text.split("\n\n", 1)
    head, _, *rows = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines.splitlines())
    columns = [list(column) for column in zip(head, *rows, strict=True)]
    columns.insert(1, ["---"] * len(columns[0]))
    return "\n".join("| " + " | ".join(column) + " |" for column in columns) + f"\n\n{below}"


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(filled(readme.read_text()))

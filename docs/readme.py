"""Put the result tables between their markers in README.md: `make readme`."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def filled(text: str) -> str:
    """`text` with, after each marker `<!-- path.md -->` and before the next `<!-- end -->`, the file it names."""

    def table(found: re.Match) -> str:
        return f"<!-- {found[1]} -->\n{(ROOT / found[1]).read_text()}<!-- end -->"

    return re.sub(r"<!-- (\S+\.md) -->\n.*?<!-- end -->", table, text, flags=re.S)


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(filled(readme.read_text()))

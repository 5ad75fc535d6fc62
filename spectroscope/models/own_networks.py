"""Your own networks, given as `module:function`: the files whose change makes them other networks."""

from pathlib import Path

from spectroscope.pipeline import checkpoint
from spectroscope.pipeline.imports import imported_files

FOLDER = "networks"  # at the root of the project


def digests(name: str) -> dict[str, str]:
    """The digest of each file of your own network `name`: its module and what that imports from the folder `networks`.

    Empty for a known architecture. Files that your function opens are not among them. ValueError as in
    `imported_files`.
    """
    if ":" not in name:
        return {}
    root = Path.cwd()
    files = imported_files(name.split(":", 1)[0], FOLDER, root)
    return {file.relative_to(root).as_posix(): checkpoint.digest(file) for file in files}

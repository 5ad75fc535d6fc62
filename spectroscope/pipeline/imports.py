"""Which files of a folder a module imports, read from its source without running it."""

import ast
from collections.abc import Iterator
from pathlib import Path


def imported_files(module: str, folder: str, root: Path) -> list[Path]:
    """The file of `module` and all files below the package `folder` that it imports, directly or not; sorted.

    Names have dots; `root` is the folder that they start from. ValueError when there is no such module in the package,
    for a file that is not Python, and for an import of another file below `root` that belongs to no package of this
    project: nobody would notice its change.
    """
    if not _belongs(module, folder) or _file(module, root) is None:
        raise ValueError(f"expected a module in the folder {folder.replace('.', '/')}/, found no {module}")
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = _file(name, root)
        if file is None or file in found:
            continue
        found.add(file)
        # importing a.b runs a/__init__.py
        waiting += [parent for parent in _parents(name) if _belongs(parent, folder)]
        for imported in _imports(name, file):
            if _belongs(imported, folder):
                waiting.append(imported)
            elif imported.split(".")[0] not in ("spectroscope", "stages") and _file(imported, root) is not None:
                raise ValueError(
                    f"{file.relative_to(root)}: expected imports from the folder {folder.replace('.', '/')}/ or of "
                    f"installed packages, got {imported}, whose file {_file(imported, root).relative_to(root)} "  # type: ignore[union-attr]
                    "DVC does not watch"
                )
    return sorted(found)


def _belongs(module: str, folder: str) -> bool:
    return f"{module}.".startswith(f"{folder}.")


def _file(module: str, root: Path) -> Path | None:
    """The source file of a module or package below `root`; None where there is none."""
    path = root.joinpath(*module.split("."))
    return next((file for file in (path / "__init__.py", path.with_name(f"{path.name}.py")) if file.is_file()), None)


def _parents(module: str) -> list[str]:
    return [module.rsplit(".", n)[0] for n in range(1, module.count(".") + 1)]


def _imports(module: str, file: Path) -> Iterator[str]:
    """Names of all modules that a file may import, also inside of functions; `from a import b` gives a and a.b."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{file}: expected Python, got: {error}") from None
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=source, names=names, level=level):
                above = package.rsplit(".", level - 1)[0] if level else ""
                base = ".".join(filter(None, (above, source)))
                yield base
                yield from (f"{base}.{name.name}" for name in names)

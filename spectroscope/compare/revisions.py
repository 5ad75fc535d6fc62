"""Read the results that a revision holds: a branch, a tag, a commit, an experiment of DVC, a folder, the working tree.

Git alone is needed, and for folders not even that: nothing is checked out, and neither data nor DVC's cache is read.
"""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import yaml

from spectroscope.pipeline import files, params
from spectroscope.report.results import OPTIONAL_TABLES, TABLES
from spectroscope.report.style import PALETTE

WORKING_TREE = "working tree"
SETTINGS, LOCK, CLAIMS = "params.yaml", "dvc.lock", "reports/tables/claims.csv"
COLUMNS = {name: {**TABLES, **OPTIONAL_TABLES}[name] for name in ("accuracy", "reliance", "occluded_frequency")}
NEEDED = (SETTINGS, *(f"reports/tables/{name}.csv" for name in COLUMNS))
TEST_IMAGES = "data/images/test.parquet"
CODE = ("spectroscope", "stages")
# Settings that say whether two revisions have the same networks and images, and what their headline numbers are.
READ = (
    "dataset",
    "runs",
    "attacks",
    "training.seeds",
    "attribution.images",
    "statistics.confidence",
    "findings.attack",
)


@dataclass(frozen=True)
class Revision:
    """The results of one revision.

    `commit`: hash, or None for a folder. `tables`: by the names in COLUMNS. `claims`: None without their table.
    `stale`: keys of params.yaml whose values are not those that made the results, by dvc.lock. `images`: the hash of
    the test images in dvc.lock, None without one.
    """

    name: str
    commit: str | None
    settings: dict[str, Any]
    tables: dict[str, pd.DataFrame]
    claims: pd.DataFrame | None
    stale: list[str]
    images: str | None


def read_all(names: Sequence[str], root: Path) -> list[Revision]:
    """The revisions named; one alone stands before the working tree, which is `root`.

    ValueError for a name that is no revision with results, a name given twice, or tables of another schema version.
    """
    wanted = [*names, WORKING_TREE] if len(names) == 1 else list(names)
    if len(set(wanted)) < len(wanted):
        raise ValueError(f"expected revisions that differ, got {', '.join(wanted)}")
    if len(wanted) > len(PALETTE):
        raise ValueError(f"expected at most {len(PALETTE)} revisions, one colour each, got {len(wanted)}")
    with TemporaryDirectory() as scratch:
        found = [_files(name, root, Path(scratch) / str(n)) for n, name in enumerate(wanted)]
        _require_one_schema({name: _versions(folder, name) for name, (folder, _) in zip(wanted, found, strict=True)})
        return [_read(name, folder, commit) for name, (folder, commit) in zip(wanted, found, strict=True)]


def changed_code(first: Revision, second: Revision, root: Path) -> int | None:
    """How many files of the code differ between two revisions; None where one is a folder."""
    commits = [revision.commit for revision in (first, second) if revision.name != WORKING_TREE]
    if None in commits or not commits:
        return None
    changed = _git(root, "diff", "--name-only", *[commit for commit in commits if commit], "--", *CODE)
    return None if changed is None else len(changed.splitlines())


def _files(name: str, root: Path, scratch: Path) -> tuple[Path, str | None]:
    """The folder that holds the files of a revision (those of a commit are written to `scratch`), and its commit."""
    commit = None if name == WORKING_TREE else _commit(name, root)
    folder = scratch if commit else root if name == WORKING_TREE else root / name
    if commit is None and not folder.is_dir():
        if _git(root, "rev-parse", "--git-dir") is None:
            raise ValueError(f"{name}: expected a folder, or a git repository to look for a revision in, found neither")
        raise ValueError(f"expected a branch, tag, commit, experiment or folder, got {name!r}, which is none")
    if commit:
        _write_files(commit, root, scratch)
    missing = [path for path in NEEDED if not (folder / path).is_file()]
    if missing:
        raise ValueError(f"{name}: expected the results of a study, found no {', '.join(missing)}")
    return folder, commit


def _commit(name: str, root: Path) -> str | None:
    """The commit of a branch, a tag, a commit or, by its name, an experiment of DVC; None for another name."""
    known = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if known:
        return known.strip()
    listed = _git(root, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps") or ""
    pattern = rf"(\w+) refs/exps/[0-9a-f]{{2}}/[0-9a-f]+/{re.escape(name)}"
    commits = {match[1] for line in listed.splitlines() if (match := re.fullmatch(pattern, line))}
    if len(commits) > 1:
        raise ValueError(f"{name}: expected one experiment of this name, got {len(commits)}: name a commit")
    return commits.pop() if commits else None


def _write_files(commit: str, root: Path, folder: Path) -> None:
    paths = (*NEEDED, LOCK, CLAIMS)
    folder.mkdir()
    for path in (_git(root, "ls-tree", "-r", "--name-only", commit, "--", *paths) or "").splitlines():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_git(root, "cat-file", "blob", f"{commit}:./{path}") or "", encoding="utf-8")


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints, None where it fails or is not installed."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, encoding="utf-8")
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def _versions(folder: Path, name: str) -> str:
    """The schema versions of the tables, `1` or `1, 2`."""
    versions: set[str] = set()
    for path in (*NEEDED[1:], CLAIMS):
        if (folder / path).exists():
            with files.reading(Path(f"{name}: {path}"), "a table"):
                table = pd.read_csv(folder / path, dtype={files.SCHEMA_COLUMN: "str"})
            known = files.SCHEMA_COLUMN in table
            versions |= set(table[files.SCHEMA_COLUMN].fillna("none") if known else ["none"])
    return ", ".join(sorted(versions))


def _require_one_schema(versions: dict[str, str]) -> None:
    if set(versions.values()) - {str(files.SCHEMA), ""}:  # tables without a row show no version
        listed = ", ".join(f"{version} in {name}" for name, version in versions.items())
        raise ValueError(f"expected tables of schema version {files.SCHEMA} in every revision, got {listed}")


def _read(name: str, folder: Path, commit: str | None) -> Revision:
    try:
        settings = params.read(folder / SETTINGS)
        unset = [path for path in READ if _value(settings, path) is None]
        if unset:
            raise ValueError(f"{SETTINGS}: expected setting {', '.join(unset)}, found none")
        tables = {table: files.read_table(folder / "reports" / "tables" / f"{table}.csv") for table in COLUMNS}
        for table, columns in COLUMNS.items():
            lacking = [column for column in columns.split() if column not in tables[table]]
            if lacking:
                raise ValueError(f"reports/tables/{table}.csv: expected column {', '.join(lacking)}, found none")
        claims = files.read_table(folder / CLAIMS) if (folder / CLAIMS).exists() else None
        locked = _locked(folder / LOCK)
    except ValueError as error:
        raise ValueError(f"{name}: {str(error).replace(f'{folder}/', '')}") from None
    return Revision(name, commit, settings, tables, claims, _stale(settings, locked), _test_images(locked))


def _locked(path: Path) -> dict[str, Any]:
    """What dvc.lock holds of each stage; nothing where there is no such file."""
    if not path.exists():
        return {}
    with files.reading(path, "a lock file of DVC"):
        # The loader of params.yaml reads numbers as DVC does, 1e-05 among them.
        return yaml.load(path.read_text(encoding="utf-8"), Loader=params._Loader)["stages"]


def _stale(settings: dict[str, Any], locked: dict[str, Any]) -> list[str]:
    """Keys of the settings that differ from what the stages behind the compared tables last ran with."""
    stages = ["study", "dataset", "evaluation", "findings", *(f"training@{run}" for run in settings["runs"])]
    changed = []
    for stage in stages:
        for path, recorded in locked.get(stage, {}).get("params", {}).get(SETTINGS, {}).items():
            if _value(settings, path) != recorded:
                changed.append(path)
    return list(dict.fromkeys(changed))


def _value(settings: dict[str, Any], path: str) -> Any:
    """The setting at a dotted path; None where it is null or not there."""
    value: Any = settings
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _test_images(locked: dict[str, Any]) -> str | None:
    outputs = locked.get("dataset", {}).get("outs", [])
    return next((out.get("md5") for out in outputs if out["path"] == TEST_IMAGES), None)

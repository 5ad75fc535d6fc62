"""The DVC project of the current folder: locked for this process, its stages in order, and what ran in it before."""

import difflib
import json
import logging
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spectroscope.reproduce import lockfile

MARK = "SPECTROSCOPE_DRIVER"  # set in every process of a cell, to the root of its project
SECONDS_TO_END = 10


@contextmanager
def locked() -> Iterator[Any]:
    """The DVC project of the current folder (a `dvc.repo.Repo`), locked for this process until the block ends.

    Processes that a killed driver left are ended. ValueError when dvc is not installed, there is no project, its files
    are damaged, or another process of DVC or of this driver works in it.
    """
    try:
        from dvc.exceptions import DvcException
        from dvc.lock import LockError
        from dvc.repo import Repo, lock_repo
    except ImportError as error:
        raise ValueError(f"expected dvc, got no module {error.name}: pip install 'spectroscope[pipeline]'") from None
    logging.getLogger("dvc").setLevel(logging.CRITICAL)  # its bars and its advice would mix with our lines
    lockfile.refuse_conflicts(Path("dvc.lock"))
    try:
        repo = Repo()
    except DvcException as error:
        raise ValueError(_message(error)) from None
    with repo:
        lock = lock_repo(repo)
        try:
            lock.__enter__()
        except LockError:
            raise ValueError(
                f"expected to be the only process of this project, got another one, of DVC or of this command, that "
                f"holds {os.path.relpath(repo.lock.lockfile)}: wait for it or end it"
            ) from None
        try:
            _refuse_running_dvc(Path(repo.tmp_dir) / "rwlock")
            end_orphans(repo.root_dir)
            with repo.scm_context():
                yield repo
        finally:
            lock.__exit__(None, None, None)


def steps(repo: Any, targets: Sequence[str]) -> tuple[Any, list[Any]]:
    """DVC's graph, whose edges lead from a stage to those it needs, and what `dvc repro` looks at, in its order.

    `targets`: names of stages or cells, outputs, files of one, or folders of several; none means the whole dvc.yaml.
    ValueError for an unknown one, naming the nearest, and for a damaged dvc.yaml or dvc.lock.
    """
    from dvc.exceptions import DvcException
    from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

    try:
        graph = get_active_graph(repo.index.graph)
    except DvcException as error:
        raise ValueError(_message(error)) from None
    stages = []
    for target in targets or ["dvc.yaml"]:
        try:
            stages += collect_stages(repo, [target])
        except DvcException as error:
            if target == "dvc.yaml":
                raise ValueError(_message(error)) from None
            if makers := _makers(graph, Path(target).absolute()):
                stages += makers
                continue
            cells = [stage.addressing for stage in graph]
            known = {*cells, *(cell.partition("@")[0] for cell in cells), *(str(o) for s in graph for o in s.outs)}
            near = difflib.get_close_matches(target, sorted(known), n=3, cutoff=0.4)
            advice = f"; nearest: {', '.join(near)}" if near else ""
            raise ValueError(f"expected a stage, a cell or an output, got {target!r}{advice}") from None
    return graph, list(plan_repro(graph, stages))


def _makers(graph: Any, path: Path) -> list[Any]:
    """The stages of which a path is an output, or within one, or a folder that holds one."""

    def among(output: Path) -> bool:
        return path == output or output in path.parents or path in output.parents

    return [stage for stage in graph if any(among(Path(out.fs_path)) for out in stage.outs)]


def lock_differs_from_commit() -> bool:
    """Whether there is a dvc.lock that git knows, and it is not as in the last commit."""
    if not Path("dvc.lock").exists():
        return False
    command = ["git", "diff", "--quiet", "HEAD", "--", "dvc.lock"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 1


def end_orphans(root: str) -> int:
    """End every process of a cell of this project that a killed driver left; returns how many there were.

    Call it under DVC's lock: whoever started such a process held the lock as long as it lived.
    """
    import psutil

    me = psutil.Process()
    spared = {me.pid, *(parent.pid for parent in me.parents())}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid not in spared and process.environ().get(MARK) == root:
                process.kill()
                found.append(process)
        except psutil.Error:  # ended meanwhile, or of another user
            continue
    psutil.wait_procs(found, timeout=SECONDS_TO_END)
    return len(found)


def _refuse_running_dvc(path: Path) -> None:
    """ValueError when the file says that a `dvc repro` runs a command now, for which it lets go of the project's lock.

    The file is removed when a killed process left half of it: who writes it holds the project's lock, as we do.
    """
    import psutil

    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return
    except json.JSONDecodeError:
        path.unlink()
        return
    holders = [*content.get("write", {}).values(), *(one for many in content.get("read", {}).values() for one in many)]
    for holder in holders:
        if holder["pid"] != os.getpid() and psutil.pid_exists(holder["pid"]):
            raise ValueError(
                "expected to be the only process of this project, "
                f"got process {holder['pid']} ({holder['cmd']}): wait for it or end it"
            )


def _message(error: Exception) -> str:
    """An error of DVC in one line, with its cause."""
    cause = f": {error.__cause__}" if error.__cause__ else ""
    return " ".join(f"{error}{cause}".split())

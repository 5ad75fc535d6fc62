"""The stages of the pipeline: each is a question, started by dvc as `python -m stages.NAME`."""

import atexit
import ctypes
import gc
import os
import signal
import sys
import threading
import time
from importlib.util import find_spec

_NEEDED = ("torch", "torchvision", "pandas", "pyarrow", "pydantic", "safetensors", "scipy", "typer", "yaml")
_missing = [name for name in _NEEDED if find_spec(name) is None]
if _missing:
    sys.exit(f"stages: {sys.executable} lacks {', '.join(_missing)}: run `make repro`, or activate .venv first")

if sys.argv[0] == "-m":  # this process is a stage's own: what it imports lives as long as it does
    gc.disable()  # until `start`: to look through the modules for waste takes a tenth of their import
    atexit.register(gc.freeze)  # and to do it once more at the end a quarter of a short stage

from collections.abc import Callable  # noqa: E402
from contextlib import AbstractContextManager, nullcontext  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Annotated  # noqa: E402

import typer  # noqa: E402

Name = Annotated[str, typer.Option(help="A key of params.yaml.")]
In = Annotated[Path, typer.Option(exists=True, help="A file or folder to read.")]
Out = Annotated[Path, typer.Option(help="A file or folder to write.")]


def _end_with_dvc() -> None:
    """Let this process end when what started it is killed: nobody would take its output (Linux alone can)."""
    die_with_parent = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
    ctypes.CDLL(None).prctl(die_with_parent, signal.SIGKILL)
    parent = Path(f"/proc/{os.getppid()}")
    if b"-c" in (parent / "cmdline").read_bytes().split(b"\0"):  # a shell stands between, and would outlive its dvc
        threading.Thread(target=_end_when_moved, args=[parent / "stat"], daemon=True).start()


def _end_when_moved(shell: Path) -> None:
    def parent() -> str:
        return shell.read_text().rsplit(")", 1)[1].split()[1]

    first = parent()
    while parent() == first:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)


if sys.platform == "linux" and {"DVC_STAGE", "RANK"} & os.environ.keys():
    _end_with_dvc()


def start(
    main: Callable[..., None],
    around: Callable[[str, list[str]], AbstractContextManager[None]] = lambda module, words: nullcontext(),
) -> None:
    """Run a stage from its command line; an expected error is one message on stderr and exit code 1.

    `around`: what the work is done within, given the stage's module and its command line.
    """
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    module = f"stages.{Path(sys.argv[0]).stem}"
    gc.enable()
    try:
        with around(module, sys.argv[1:]):
            app()
    except (ValueError, OSError) as error:
        sys.exit(f"{module}: {error}")

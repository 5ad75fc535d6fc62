"""Run a stage as a program: read its options, end it with the process that started it, report errors in one line."""

import ctypes
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import typer

from spectroscope.pipeline.memory import is_too_little, reason

SECONDS_BETWEEN_LOOKS = 1


def start(main: Callable[..., None], distributed: bool = False) -> None:
    """Run the stage `main` with the options of the command line.

    A ValueError, an OSError or too little memory becomes one message on stderr and exit code 1. A `distributed` stage
    runs in every process that `processes.in_every_process` starts. Called under `if __name__ == "__main__"` alone: it
    changes the process.
    """
    gc.freeze()  # imported modules stay until the end: not looking through them saves a quarter of a short stage
    gc.enable()  # see stages/__init__.py
    module = f"stages.{Path(sys.argv[0]).stem}"
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    try:
        if sys.platform == "linux" and {"DVC_STAGE", "RANK"} & os.environ.keys():
            exit_with_parent()
        if "torch" in sys.modules:
            _set_deterministic()
        with _in_every_process(module) if distributed else nullcontext():
            app()
    except (ValueError, OSError) as error:
        sys.exit(f"{module}: {error}")
    except (MemoryError, RuntimeError) as error:
        if not is_too_little(error):
            raise
        advice = "more memory, smaller images or fewer of them are needed, since passes were halved down to one image"
        sys.exit(f"{module}: expected enough memory, got: {reason(error)}: {advice}")


def _in_every_process(module: str) -> AbstractContextManager[None]:
    """`processes.in_every_process`, imported for a stage that runs in several: it brings torch."""
    from spectroscope.pipeline import processes

    return processes.in_every_process(module, sys.argv[1:])


def _set_deterministic() -> None:
    from spectroscope.pipeline import machine

    machine.set_deterministic()


def exit_with_parent() -> None:
    """Exit when the parent process dies (Linux only): nobody would take the output of this one.

    A shell between dvc and this process would outlive its dvc, so a thread watches whether the shell loses its parent.
    A parent that dies before this call, while the stage imports its modules, goes unnoticed.
    """
    die_with_parent = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
    ctypes.CDLL(None).prctl(die_with_parent, signal.SIGKILL)
    parent = Path(f"/proc/{os.getppid()}")
    is_shell = b"-c" in (parent / "cmdline").read_bytes().split(b"\0")
    if is_shell:
        threading.Thread(target=_exit_when_orphaned, args=[parent / "stat"], daemon=True).start()


def _exit_when_orphaned(status: Path) -> None:
    """Kill this process when the process of this /proc/PID/stat gets another parent."""

    def parent() -> str:
        return status.read_text().rsplit(")", 1)[1].split()[1]  # the name before ")" may hold spaces

    first = parent()
    while parent() == first:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os.kill(os.getpid(), signal.SIGKILL)

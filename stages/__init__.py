"""The stages of the pipeline: each is a question, started by dvc as `python -m stages.NAME`."""

import ctypes
import os
import signal
import sys
from importlib.util import find_spec

_NEEDED = ("torch", "torchvision", "pandas", "pyarrow", "pydantic", "safetensors", "scipy", "typer", "yaml")
_missing = [name for name in _NEEDED if find_spec(name) is None]
if _missing:
    sys.exit(f"stages: {sys.executable} lacks {', '.join(_missing)}: run `make repro`, or activate .venv first")

if sys.platform == "linux" and {"DVC_STAGE", "RANK"} & os.environ.keys():
    PR_SET_PDEATHSIG = (
        1  # when dvc is killed, or the stage whose part this is, go as well: nobody would take the output
    )
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

from collections.abc import Callable  # noqa: E402
from contextlib import AbstractContextManager, nullcontext  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Annotated  # noqa: E402

import typer  # noqa: E402

Name = Annotated[str, typer.Option(help="A key of params.yaml.")]
In = Annotated[Path, typer.Option(exists=True, help="A file or folder to read.")]
Out = Annotated[Path, typer.Option(help="A file or folder to write.")]


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
    try:
        with around(module, sys.argv[1:]):
            app()
    except (ValueError, OSError) as error:
        sys.exit(f"{module}: {error}")

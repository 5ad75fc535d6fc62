"""The stages of the pipeline, each run as `python -m stages.NAME`; this file holds the types of their options."""

import gc
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

NEEDED = (
    "filelock",
    "numpy",
    "pandas",
    "psutil",
    "pyarrow",
    "pydantic",
    "safetensors",
    "scipy",
    "torch",
    "tqdm",
    "typer",
    "yaml",
)
if missing := [package for package in NEEDED if find_spec(package) is None]:
    # With this package's name in the error, `python -m` prints one line and exits with code 1: no traceback.
    advice = "run `make repro`, or activate .venv first"
    raise ImportError(f"{sys.executable} lacks {', '.join(missing)}: {advice}", name=__name__)

if sys.argv[0] == "-m":  # the start of `python -m stages.NAME`, whose modules stay until it ends
    gc.disable()  # until `supervision.start`: to look through them for waste takes a quarter of their import

import typer  # noqa: E402

Name = Annotated[str, typer.Option(help="A key of params.yaml.")]
In = Annotated[Path, typer.Option(exists=True, help="A file or folder to read.")]
Out = Annotated[Path, typer.Option(help="A file or folder to write.")]
Record = Annotated[Path, typer.Option(help="A file about the machine to write. DVC does not track it.")]
Cells = Annotated[Path, typer.Option(help="A folder of cells, of which those of this study stay.")]

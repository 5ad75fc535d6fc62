"""The command `spectroscope`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from spectroscope import __version__

BEGAN = time.monotonic()  # before torch is imported, which takes seconds of the time that is given
app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
Out = Annotated[Path, typer.Option(help="A new folder, or one of an earlier profile, which is replaced.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"spectroscope {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Which spatial frequencies a vision model relies on, and which ones attacks strike."""


@app.command()
def compare(
    revisions: Annotated[
        list[str],
        typer.Argument(
            metavar="REV...",
            help="Branches, tags, commits, DVC experiments or folders with results. One: it and the working tree.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="File to write: compare.html without this option, else standard output.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Markdown for a pull request in place of a page.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Every number as JSON in place of a page.")] = False,
) -> None:
    """Committed results of revisions side by side: settings that differ, verdicts, numbers, curves.

    Run from the root of the project. Only git is needed, no data and no cache.
    """
    with _one_sentence():
        if markdown and json:
            raise ValueError("expected --markdown or --json, got both")
        # Imports of a second, which `spectroscope --version` does without.
        from spectroscope.compare import page
        from spectroscope.compare.revisions import read_all
        from spectroscope.pipeline.files import write_text

        root = Path()
        found = read_all(revisions, root)
        text = (page.markdown if markdown else page.as_json if json else page.html)(found, root)
        if out is None and (markdown or json):
            typer.echo(text, nl=False)
        else:
            file = out or Path("compare.html")
            write_text(file, text)
            typer.echo(f"compare: wrote {file}")


@app.command("profile")
def profile(  # as many as there are options
    models_and_images: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL... IMAGES",
            help="MODEL: timm:NAME[@file], torchvision:NAME[@file], hf:FOLDER, file.py:function, module:function, or a "
            "file of weights (with --architecture), of torch.export or ONNX. IMAGES: a folder of images, flat or by "
            "class, Parquet, .npz, .npy or .pt pixels, photos, cifar10:FOLDER.",
        ),
    ],
    out: Out = Path("profile"),
    images: Annotated[int, typer.Option(help="Images, at most.")] = 200,
    minutes: Annotated[float, typer.Option(help="Time for the whole; what does not fit is left out and named.")] = 5.0,
    architecture: Annotated[
        str | None, typer.Option(help="What a file of weights is: resnet20, lenet5, ...; of several files by commas.")
    ] = None,
    entry: Annotated[str | None, typer.Option(help="Where a checkpoint keeps its weights, if not found.")] = None,
    mean: Annotated[str | None, typer.Option(help="Normalisation: one number for each channel, by commas.")] = None,
    std: Annotated[str | None, typer.Option(help="As --mean.")] = None,
    size: Annotated[int | None, typer.Option(help="Side that images are brought to, in pixels.")] = None,
    classes: Annotated[Path | None, typer.Option(help="Names of the outputs: a line each, or a CSV.")] = None,
    bgr: Annotated[bool, typer.Option("--bgr", help="The network takes blue first.")] = False,
    seed: Annotated[int, typer.Option(help="Of the choice of images.")] = 0,
) -> None:
    """Profile networks on test images: a page, its tables, and a warning where a network is set up wrongly."""
    from spectroscope.profile import run  # here: torch takes seconds to import
    from spectroscope.profile.labels import class_list
    from spectroscope.profile.network import Options

    with _one_sentence():
        if len(models_and_images) < 2:
            raise ValueError(f"expected MODEL and IMAGES, got {models_and_images[0]} alone")
        names = class_list(classes) if classes else None
        options = Options(architecture, entry, _floats("--mean", mean), _floats("--std", std), size, bgr, names)
        *models, where = models_and_images
        for text in run.profile(models, where, out, images, minutes, seed, options, BEGAN):
            typer.echo(text)
    typer.echo(f"The page: {out / 'index.html'}")


@app.command("demo")
def demo(out: Out = Path("demo"), minutes: float = 1.0) -> None:
    """Profile a small network, trained in a few seconds, on photographs that come with the package."""
    from spectroscope.profile import demo, run
    from spectroscope.profile.network import Options

    with _one_sentence():
        spec, options = f"{demo.__name__}:trained", Options(None, None, None, None, None)
        for text in run.profile([spec], "photos", out, 128, minutes, 0, options, BEGAN):
            typer.echo(text)
    typer.echo(f"The page: {out / 'index.html'}")


@app.command("study")
def study(
    source: Annotated[Path, typer.Option("--from", help="profile.json of a profile.")],
    template: Annotated[Path, typer.Option(help="A study whose other settings are taken.")] = Path("params.yaml"),
    out: Annotated[Path, typer.Option(help="The parameter file to write.")] = Path("params.yaml"),
) -> None:
    """Write a parameter file with the profiled networks as pretrained runs."""
    from spectroscope.profile import studies

    with _one_sentence():
        for text in studies.write(source, template, out):
            typer.echo(text)
    typer.echo(f"Written: {out}")


Targets = Annotated[
    list[str] | None, typer.Argument(metavar="TARGET...", help="Stages, cells or outputs. None: the whole of dvc.yaml.")
]


@app.command("repro")
def repro(
    targets: Targets = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Cells that run at once.")] = 1,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Scheduler of a Dask cluster that runs the cells.")
    ] = None,
) -> None:
    """Run what changed, as `dvc repro` does, several cells at once."""
    with _one_sentence():
        from spectroscope.reproduce import command

        code = command.repro(targets or [], jobs, dask, typer.echo)
    raise typer.Exit(code)


@app.command("plan")
def plan(targets: Targets = None) -> None:
    """What `repro` would run, why, and how long it took last time."""
    with _one_sentence():
        from spectroscope.reproduce import command

        command.plan(targets or [], typer.echo)


@contextmanager
def _one_sentence() -> Iterator[None]:
    """What a user got wrong, or a disk refused, as one sentence and exit status 2."""
    try:
        yield
    except (ValueError, OSError) as error:
        typer.echo(f"spectroscope: {error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("spectroscope: stopped before anything was finished; nothing was written", err=True)
        raise typer.Exit(130) from None


def _floats(name: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{name}: expected numbers separated by commas, got {text!r}") from None


if __name__ == "__main__":
    app()

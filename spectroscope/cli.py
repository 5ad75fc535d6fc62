"""The command `spectroscope`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from spectroscope import __version__

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


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


@contextmanager
def _one_sentence(command: str) -> Iterator[None]:
    """A ValueError or OSError becomes one message on stderr and exit code 1."""
    try:
        yield
    except (ValueError, OSError) as error:
        typer.echo(f"{command}: {error}", err=True)
        raise typer.Exit(1) from None


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
    with _one_sentence("compare"):
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


if __name__ == "__main__":
    app()

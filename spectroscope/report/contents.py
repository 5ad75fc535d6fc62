"""The page: its title, its lead, and its chapters in the order they are read."""

from spectroscope.report import page
from spectroscope.report.chapters import (
    attack_checks,
    attacks,
    attribution,
    bands,
    dataset,
    evaluation,
    findings,
    information,
    limits,
    perturbation,
    probing,
    study,
    training,
    validation,
)
from spectroscope.report.results import Results

# First what was found; then what it rests on; the settings last, as an appendix.
CHAPTERS = (
    evaluation,
    attribution,
    perturbation,
    findings,
    dataset,
    bands,
    information,
    training,
    attacks,
    attack_checks,
    probing,
    validation,
    limits,
    study,
)

TITLE = "Which frequencies does a vision model rely on?"
LEAD = (
    "spectroscope measures which spatial frequencies a vision model relies on and which ones an attack changes, and "
    "sets the two side by side. This page shows one study; every number on it comes from a written table.",
    "A run is a set of networks, one for each seed, trained alike on one band of the images. Shell s of a spectrum "
    "holds the DCT coefficients (u, v) with max(u, v) = s: shell 0 is the mean (DC), higher shells are finer detail. "
    "Bars, areas and square brackets are bootstrap intervals, too short with few networks. A click on a run in a "
    "legend highlights it.",
)


def write(results: Results) -> str:
    """The page of a study as HTML."""
    chapters = [
        page.Chapter(chapter.__name__.rsplit(".", 1)[-1], chapter.QUESTION, chapter.blocks(results))
        for chapter in CHAPTERS
    ]
    return page.render(TITLE, LEAD, chapters)

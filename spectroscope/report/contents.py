"""The page: its title, its lead, and its chapters in the order they are read."""

from spectroscope.report import page, words
from spectroscope.report.chapters import (
    attack_checks,
    attacks,
    attribution,
    bands,
    claims,
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

# First what was claimed, and what was found; then what it rests on; the settings last, as an appendix.
CHAPTERS = (
    claims,
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

WEAK = "These networks are weak: what they rely on and where they are attacked may turn round on well-trained ones. "
OTHERS = "The page shows how this study's networks behave, and is no evidence about others."
TITLE = "Which frequencies does a vision model rely on?"
LEAD = (
    "spectroscope measures which spatial frequencies a vision model relies on and which ones an attack changes, and "
    "sets the two side by side. This page shows one study; every number on it comes from a written table."
)


def write(results: Results) -> str:
    """The page of a study as HTML; how good its networks are stands before everything else."""
    chapters = [
        page.Chapter(chapter.__name__.rsplit(".", 1)[-1], chapter.QUESTION, chapter.blocks(results))
        for chapter in CHAPTERS
    ]
    return page.render(TITLE, (LEAD, quality(results)), chapters)


def quality(results: Results) -> str:
    """How accurate the reference is beside what is usual and the study's floor, and what that bears."""
    settings, rows = results.settings, results.tables["accuracy"]
    reference, usual = settings["findings"]["reference"], settings["findings"]["usual"]
    row = rows[(rows["run"] == reference) & (rows["attack"] == "clean")].iloc[0]
    accuracy = words.number(row["mean"], row["low"], row["high"], True, row["networks"])
    text = (
        f"How good are the networks? The reference run, {reference}, classifies {accuracy} of the clean test images "
        f"correctly; chance is {results.chance:.1%}. "
    )
    at_chance = ", ".join(results.at_chance)
    guessing = (
        f" At chance on clean images: {at_chance}; what is shown of it says nothing about reliance."
        if at_chance
        else ""
    )
    if usual is None:
        text += "What networks usually reach on this data set is not known. "
    else:
        text += f"Usual for this data set is {usual['accuracy']:.0%} ({usual['source']}). "
    floor = settings["findings"]["floor"]
    return text + (WEAK if floor is not None and row["mean"] < floor else "") + OTHERS + guessing

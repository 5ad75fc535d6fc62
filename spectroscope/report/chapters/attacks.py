"""Adversaries: one image under every attack on every run, and its perturbation."""

import numpy as np
import pandas as pd

from spectroscope.pipeline.arrays import ArrayImages
from spectroscope.questions import QUESTIONS
from spectroscope.report import page, pictures, words
from spectroscope.report.pictures import Cell
from spectroscope.report.results import CANDIDATES, Results
from spectroscope.report.style import RunColours

QUESTION = QUESTIONS["attacks"]
ENLARGED = 10
CAPTION = (
    "One image under every attack on every run; below it the prediction before and after. The perturbation is "
    f"{ENLARGED} times enlarged, around mid grey; an attack that fails changes nothing. Not a typical image: of "
    f"the first {CANDIDATES} images, those that the most runs classify correctly were picked. Of these it is the one "
    "that the most attacks fooled. Each run shows its network of the lowest seed. One image does not show how often an "
    "attack succeeds: see evaluation and attack checks. "
)

Adversaries = dict[tuple[str, str], tuple[np.ndarray, pd.DataFrame]]


def blocks(results: Results) -> page.Blocks:
    return (pictures_of_attacks(results.images, results.adversaries, results.attacks, results.run_colours),)


def pictures_of_attacks(
    test: ArrayImages, adversaries: Adversaries, attacks: list[str], run_colours: RunColours
) -> page.Markup:
    """The original image, then a row for each attack and a column for each run."""
    image = most_fooled(adversaries)

    def cell(run: str, attack: str) -> Cell:
        perturbations, rows = adversaries[run, attack]
        at = int((rows["image"] == image).argmax())
        adversary = pictures.picture(test.pixels[image] + perturbations[at], f"{attack} on {run}")
        perturbation = pictures.picture(0.5 + ENLARGED * perturbations[at], "perturbation")
        classes = [test.classes[rows[when].iloc[at]] for when in ("before", "after")]
        return Cell((adversary, perturbation), " → ".join(classes))

    original = Cell((pictures.picture(test.pixels[image], "original"),), test.classes[test.labels[image]])
    rows = [("original", [original]), *((name, [cell(run, name) for run in run_colours]) for name in attacks)]
    legend = f"adversary · perturbation x {ENLARGED}"
    return page.grid(list(run_colours), rows, CAPTION + outcome(adversaries, image), run_colours, legend)


def outcome(adversaries: Adversaries, image: int) -> str:
    """How many cells (run, attack) fooled on this image: `Here 5 of 8 cells show a success.`"""
    tried = [rows.loc[rows["image"] == image, "success"] for _, rows in adversaries.values()]
    return f"Here {sum(int(success.sum()) for success in tried)} of {words.count(len(tried), 'cell')} show a success."


def most_fooled(adversaries: Adversaries) -> int:
    """Of the images that the most networks had right before, the one that the most attacks fooled."""
    rows = pd.concat([rows for _, rows in adversaries.values()])
    rows = rows.assign(right=rows["before"] == rows["label"], attacked=1)
    counts = rows.groupby("image")[["attacked", "right", "success"]].sum()
    everywhere = counts[counts["attacked"] == len(adversaries)]
    return int(everywhere.sort_values(["right", "success"], kind="stable").index[-1])

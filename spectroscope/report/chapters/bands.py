"""What each band keeps of an image, and the accuracy of every run on the test images of each band."""

import altair as alt
import numpy as np
import pandas as pd

from spectroscope.pipeline.arrays import ArrayImages
from spectroscope.questions import QUESTIONS
from spectroscope.report import charts, page, pictures, style, words
from spectroscope.report.pictures import Cell
from spectroscope.report.results import Results
from spectroscope.report.style import RunColours

QUESTION = QUESTIONS["bands"]
N_CLASSES = 6
LOOKS = (
    "Test images and what each band keeps of them, which says little about what a network can use of it. A band "
    "without DC is shown around mid grey; a band that keeps every pixel as it is, is left out. "
)
ACCURACY = (
    "Accuracy of each run (rows) on the test images of each band (columns). A low number can mean that the run does "
    "not use the band, or that it fails without the rest. A band with `keep: permuted` is a control: all frequencies, "
    "but the labels of the training images are permuted. "
)


def blocks(results: Results) -> page.Blocks:
    matrix = accuracy(results.tables["band_accuracy"], results.run_colours, results.chance)
    return samples(results.images, results.bands), page.chart(matrix)


def samples(test: ArrayImages, bands: dict[str, ArrayImages]) -> page.Markup:
    """The first image of each of N_CLASSES classes, and what the bands keep of it unless it is everything."""
    first = [int((test.labels == label).argmax()) for label in np.unique(test.labels)[:N_CLASSES]]
    shown = {"original": test} | {
        name: kept for name, kept in bands.items() if not np.array_equal(kept.pixels, test.pixels)
    }
    rows = [
        (
            test.classes[test.labels[at]],
            [Cell((pictures.picture(_visible(kept.pixels[at]), name),)) for name, kept in shown.items()],
        )
        for at in first
    ]
    return page.grid(list(shown), rows, LOOKS)


def _visible(pixels: np.ndarray) -> np.ndarray:
    """A band without DC, known by its mean of zero, is moved to mid grey."""
    return pixels + np.float32(0.5) * (abs(pixels.mean()) < 1e-4)


def accuracy(table: pd.DataFrame, run_colours: RunColours, chance: float) -> alt.TopLevelMixin:
    """Accuracy of each run on each band: a matrix with its numbers."""
    bands = list(dict.fromkeys(table["band"]))
    base = alt.Chart(charts.inline(table, "run", "band")).encode(
        alt.X("band:N", sort=bands, title="band of the test images", axis=alt.Axis(labelAngle=0, orient="top")),
        alt.Y("run:N", sort=list(run_colours), title=None),
        tooltip=style.tooltip("run", "band", share=True),
    )
    chart = charts.share_matrix(base, "accuracy", ".1%", 13)
    chart = chart.properties(width=min(820, 130 * len(bands)), height=44 * len(run_colours))
    best = f"Chance is {chance:.1%}. Best band: {words.peaks(table, 'band')}. "
    caption = f"{ACCURACY}{best}{words.sample_note(table, drawn=False)}"
    return style.styled(chart, caption)

"""The data set: its source, its size, and one image of each class."""

import numpy as np

from spectroscope.questions import QUESTIONS
from spectroscope.report import page, pictures, words
from spectroscope.report.pictures import Cell
from spectroscope.report.results import Results

QUESTION = QUESTIONS["dataset"]
MOST = 12
CAPTION = (
    f"The first test image of each class (of the first {MOST} classes). They show what is to be told apart, not how "
    "much the images of a class vary. Pictures are enlarged without smoothing: one square is one pixel. "
)
OVERLAP = (
    "Test images here are patches of photographs, all of one class from one photograph. Patches of one tile may "
    "overlap: intervals take the tile, not the patch, as independent. They say nothing about other photographs."
)


def blocks(results: Results) -> page.Blocks:
    images, source = results.images, results.provenance.get("source", "not recorded")
    channels, height, width = images.pixels.shape[1:]
    facts = {
        "source": source,
        "test images": f"{len(images.labels):,}",
        "classes": f"{len(images.classes):,}",
        "size": f"{height} x {width} pixels, {words.count(channels, 'channel')}",
    }
    first = {int(label): int((images.labels == label).argmax()) for label in np.unique(images.labels)[:MOST]}
    cells = [Cell((pictures.picture(images.pixels[at], images.classes[label]),)) for label, at in first.items()]
    grid = page.grid([images.classes[label] for label in first], [("", cells)], CAPTION)
    overlap = [page.prose(OVERLAP)] if source == "photos" else []
    return page.facts(facts), grid, *overlap

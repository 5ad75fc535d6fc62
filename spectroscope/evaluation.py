"""Which images each network classifies correctly: clean images, images of each band, and adversaries."""

from typing import Annotated

import pandas as pd
from pydantic import Field
from torch import nn

from spectroscope.models import inference
from spectroscope.pipeline.io import Images
from spectroscope.pipeline.params import Settings


class EvaluationSettings(Settings):
    """`n_images`: number of test images for the accuracy on clean and on filtered images."""

    n_images: Annotated[int, Field(ge=1)]


def predictions(model: nn.Module, images: Images) -> pd.DataFrame:
    """One row for each image: image (its index), label, right (whether the prediction is the label)."""
    right = (inference.predict(model, images.pixels) == images.labels).numpy()
    return pd.DataFrame({"image": range(len(images)), "label": images.labels.numpy(), "right": right})


def attacked_predictions(attack: pd.DataFrame) -> pd.DataFrame:
    """The same columns and `seed` from the rows of an attack, whose column `after` is the prediction it ended with."""
    return attack[["seed", "image", "label"]].assign(right=attack["after"] == attack["label"])

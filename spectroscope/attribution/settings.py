"""Settings of attribution: Occluded Frequency in paper mode, and the measures compared side by side."""

from typing import Annotated, Literal

from pydantic import Field

from spectroscope.params import Settings
from spectroscope.spectrum import Basis, Shape

Baseline = Literal["zero", "mean", "noise", "other"]
Score = Literal["logit", "margin", "log_probability", "softmax"]


class AttributionSettings(Settings):
    """Occluded Frequency and its summaries.

    Paper mode: basis dct, shape linf, baseline zero, score logit, clip false, images all, hf_from 0.5. The class of
    interest is the label.
    """

    n_images: Annotated[int, Field(ge=1)]
    images: Literal["all", "correct"]
    basis: Basis
    shape: Shape
    baseline: Baseline
    score: Score
    clip: bool
    hf_from: Annotated[float, Field(gt=0, lt=1)]

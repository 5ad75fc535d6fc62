"""Settings of attribution: Occluded Frequency in paper mode, and the measures compared side by side."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from spectroscope.channels import Channels
from spectroscope.masks import Learning
from spectroscope.params import Settings
from spectroscope.partitions import Partition
from spectroscope.spectrum import Basis, Shape
from spectroscope.subspaces import Search

Baseline = Literal["zero", "mean", "noise", "other"]
Score = Literal["logit", "margin", "log_probability", "softmax"]
Count = Annotated[int, Field(ge=1)]


class Occluded(Settings):
    """Occluded Frequency: the drop of the score without the band, in every channel or in luminance alone."""

    method: Literal["occluded"]
    baseline: Baseline
    channels: Channels
    clip: bool


class Kept(Settings):
    """Kept frequency: the rise of the score, from the baseline, with this band alone."""

    method: Literal["kept"]
    baseline: Baseline
    clip: bool


class Shapley(Settings):
    """Exact Shapley values of up to ten bands."""

    method: Literal["shapley"]
    baseline: Baseline
    clip: bool


class SampledShapley(Settings):
    """Shapley values from `pairs` of random orders of adding bands, each with its reverse."""

    method: Literal["sampled_shapley"]
    baseline: Baseline
    clip: bool
    pairs: Annotated[int, Field(ge=2)]


class Gradient(Settings):
    """Squared gradient with respect to the coefficients (spectral sensitivity)."""

    method: Literal["gradient"]


class GradientTimesCoefficient(Settings):
    """Gradient times coefficient."""

    method: Literal["gradient_x_coefficient"]


class IntegratedGradients(Settings):
    """Integrated gradients in the spectrum, `steps` of the midpoint rule."""

    method: Literal["integrated_gradients"]
    baseline: Baseline
    steps: Count


class SmoothGrad(Settings):
    """Squared mean gradient over noisy copies; sigma_255: their standard deviation in 1/255."""

    method: Literal["smooth_grad"]
    samples: Count
    sigma_255: Annotated[float, Field(gt=0)]


class HeatMap(Settings):
    """Fourier heat map: a wave of l2 norm eps (pixel values) added to every channel."""

    method: Literal["heat_map"]
    eps: Annotated[float, Field(ge=0)]
    value: Literal["error", "loss", "logit"]
    clip: bool


class FourierAttack(Settings):
    """Single Fourier attack: one wave of l-inf norm eps_255 for all images, and how often it changes a prediction."""

    method: Literal["fourier_attack"]
    eps_255: Annotated[float, Field(ge=0)]
    clip: bool


class LearnedMask(Learning):
    """Essential masks: how much of the band suffices for the label."""

    method: Literal["learned_mask"]


class Margin(Search):
    """One over the least l2 norm inside the band that changes the class."""

    method: Literal["margin"]


MethodSettings = Annotated[
    Occluded
    | Kept
    | Shapley
    | SampledShapley
    | Gradient
    | GradientTimesCoefficient
    | IntegratedGradients
    | SmoothGrad
    | HeatMap
    | FourierAttack
    | LearnedMask
    | Margin,
    Field(discriminator="method"),
]


class Compared(Settings):
    """What the measures have in common: the first n_images test images, and bands with DC as one of its own.

    bands: their number, null for every shell of the shape and for octaves.
    """

    n_images: Annotated[int, Field(ge=2)]
    shape: Partition
    bands: Annotated[int, Field(ge=2)] | None


class Faithfulness(Settings):
    """Deletion and insertion curves; fractions: how much of all coefficients is gone (or there) at each step."""

    fractions: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=2)]

    @field_validator("fractions")
    @classmethod
    def _rise(cls, fractions: list[float]) -> list[float]:
        if fractions != sorted(set(fractions)) or (fractions[0], fractions[-1]) != (0, 1):
            raise ValueError(f"expected fractions that rise from 0 to 1, got {fractions}")
        return fractions


class Sanity(Settings):
    """The measures once more with weights shuffled, in these shares of the layers from the last one on."""

    n_images: Annotated[int, Field(ge=2)]
    shares: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)]


class Multiverse(Settings):
    """Occluded Frequency in every combination of these choices, on the first n_images of those compared."""

    n_images: Annotated[int, Field(ge=2)]
    bases: Annotated[list[Basis], Field(min_length=1)]
    shapes: Annotated[list[Partition], Field(min_length=1)]
    baselines: Annotated[list[Baseline], Field(min_length=1)]
    scores: Annotated[list[Score], Field(min_length=1)]
    clips: Annotated[list[bool], Field(min_length=1)]


class AttributionSettings(Settings):
    """Occluded Frequency and its summaries; then `methods`, compared on the same images, bands, basis and score.

    faithfulness, sanity and multiverse are checks of the measures; null leaves one out.

    Paper mode: basis dct, shape linf, baseline zero, score logit, clip false, images all, hf_from 0.5. The class of
    interest is the label.
    """

    n_images: Count
    images: Literal["all", "correct"]
    basis: Basis
    shape: Shape
    baseline: Baseline
    score: Score
    clip: bool
    hf_from: Annotated[float, Field(gt=0, lt=1)]
    compared: Compared
    methods: Annotated[dict[str, MethodSettings], Field(min_length=1)]
    faithfulness: Faithfulness | None
    sanity: Sanity | None
    multiverse: Multiverse | None

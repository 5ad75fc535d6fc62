"""Settings of attribution: Occluded Frequency in paper mode, and the measures compared side by side."""

from typing import Annotated, Literal

from pydantic import Field

from spectroscope.attribution.margins import MarginSearchSettings
from spectroscope.attribution.masks import MaskLearningSettings
from spectroscope.frequency.channels import Channels
from spectroscope.frequency.partitions import Partition
from spectroscope.frequency.spectrum import Basis, Shape
from spectroscope.pipeline.params import Settings

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


class LearnedMask(MaskLearningSettings):
    """Essential masks: how much of the band suffices for the label."""

    method: Literal["learned_mask"]


class Margin(MarginSearchSettings):
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


class AttributionSettings(Settings):
    """Occluded Frequency and its summaries; then `methods`, compared on the same images, bands, basis and score.

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

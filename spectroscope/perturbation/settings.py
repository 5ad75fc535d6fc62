"""What can be set for the perturbation side."""

from typing import Annotated, Literal

from pydantic import Field

from spectroscope.frequency.channels import Channels
from spectroscope.frequency.spectrum import Shape
from spectroscope.pipeline.params import Settings

Estimator = Literal["mean_of_ratios", "median_of_ratios", "ratio_of_means"]
ESTIMATORS: tuple[Estimator, ...] = ("mean_of_ratios", "median_of_ratios", "ratio_of_means")


class PerturbationSettings(Settings):
    """How changes are computed and what they are measured against.

    `n_images`: of the attacked test images, the first so many. `shapes`: shells of the profiles, the first one for
    pictures and classes. `noise_draws`: independent draws of norm-matched noise, whose spread is the null. `resamples`:
    draws behind an interval. `splits`: random halvings of the images behind the agreement of an estimator with itself.
    """

    n_images: Annotated[int, Field(ge=2)]
    channels: Channels
    shapes: Annotated[list[Shape], Field(min_length=1)]
    noise_seed: Annotated[int, Field(ge=0)]
    noise_draws: Annotated[int, Field(ge=3)]
    resamples: Annotated[int, Field(ge=20)]
    splits: Annotated[int, Field(ge=2)]

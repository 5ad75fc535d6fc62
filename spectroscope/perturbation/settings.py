"""Settings of the analysis of perturbations."""

from typing import Annotated

from pydantic import Field

from spectroscope.frequency.channels import Channels
from spectroscope.frequency.spectrum import Shape
from spectroscope.pipeline.params import Settings


class PerturbationSettings(Settings):
    """The images, the transform, and the noise that perturbations are compared with.

    `n_images`: perturbations of the first `n_images` test images are analysed. `shapes`: shapes of the shells; classes
    and phases use the first. `noise_draws`: independent draws of norm-matched noise, which make the null. `resamples`:
    bootstrap draws behind an interval. `splits`: random halvings of the images behind an estimator's split-half gap.
    """

    n_images: Annotated[int, Field(ge=2)]
    channels: Channels
    shapes: Annotated[list[Shape], Field(min_length=1)]
    noise_seed: Annotated[int, Field(ge=0)]
    noise_draws: Annotated[int, Field(ge=3)]
    resamples: Annotated[int, Field(ge=20)]
    splits: Annotated[int, Field(ge=2)]

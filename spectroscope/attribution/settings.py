"""Settings of attribution: Occluded Frequency of all test images, and the methods that are compared on some of them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from spectroscope.attribution.baselines import Baseline
from spectroscope.attribution.registry import MethodSettings
from spectroscope.attribution.scores import Score
from spectroscope.frequency.partitions import Partition
from spectroscope.frequency.spectrum import Basis, Shape
from spectroscope.pipeline.params import Seed, Settings


class ComparedSettings(Settings):
    """What all methods share: the first n_images test images, bands of which DC is the first, and the score.

    bands: how many, null for octaves and for every shell of the shape.
    """

    n_images: Annotated[int, Field(ge=2)]
    shape: Partition
    bands: Annotated[int, Field(ge=2)] | None
    score: Score

    @model_validator(mode="after")
    def _octaves_have_their_number(self) -> "ComparedSettings":
        if self.shape == "octave" and self.bands is not None:
            raise ValueError(
                f"expected bands null for shape octave, whose number follows from the size, got {self.bands}"
            )
        return self


class AttributionSettings(Settings):
    """Occluded Frequency and its summaries; then `methods`, compared on the same images, bands, basis and score.

    The paper's (Wang et al. 2020): basis dct, shape linf, baseline zero, clip false, images all, hf_from 0.5; its score
    is one of `by_shell.SCORES`. The class of interest is the label. `seed`: of the baselines `noise` and `other` of
    Occluded Frequency and of the orders of `equal_energy`, the same for all networks; `methods` draw from the seed of
    the network.
    """

    n_images: Annotated[int, Field(ge=1)]
    images: Literal["all", "correct"]
    basis: Basis
    shape: Shape
    baseline: Baseline
    clip: bool
    hf_from: Annotated[float, Field(gt=0, lt=1)]
    seed: Seed
    compared: ComparedSettings
    methods: Annotated[dict[str, MethodSettings], Field(min_length=1)]

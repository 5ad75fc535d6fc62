"""Settings of attribution: Occluded Frequency of all test images, and the methods that are compared on some of them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from spectroscope.attribution.baselines import Baseline
from spectroscope.attribution.coalitions import EXACT_BANDS
from spectroscope.attribution.registry import MethodSettings
from spectroscope.attribution.scores import Score
from spectroscope.frequency.partitions import Partition, check_number
from spectroscope.frequency.spectrum import Basis, Shape
from spectroscope.pipeline.params import Seed, Settings

DCT_ONLY = ("learned_mask", "margin")  # methods that are defined in the DCT alone


class ComparedSettings(Settings):
    """What all methods share: the first n_images test images, bands of which DC is the first, and the score.

    bands: how many, null for octaves and for every shell of the shape.
    """

    n_images: Annotated[int, Field(ge=2)]
    shape: Partition
    bands: Annotated[int, Field(ge=2)] | None
    score: Score

    @model_validator(mode="after")
    def _number(self) -> "ComparedSettings":
        check_number(self.shape, self.bands)
        return self


class AttributionSettings(Settings):
    """Occluded Frequency and its summaries; then `methods`, compared on the same images, bands, basis and score.

    The paper's (Wang et al. 2020): basis dct, shape linf, bands null, baseline zero, clip false, images all, hf_from
    0.5; its score is one of `by_shell.SCORES`. The class of interest is the label. `bands`: of about equally many
    shells, DC alone in the first, which Occluded Frequency removes one at a time; null: every shell is one. `seed`: of
    the baselines `noise` and `other` of Occluded Frequency and of the orders of `equal_energy`, the same for all
    networks; `methods` draw from the seed of the network.
    """

    n_images: Annotated[int, Field(ge=1)]
    images: Literal["all", "correct"]
    basis: Basis
    shape: Shape
    bands: Annotated[int, Field(ge=2)] | None
    baseline: Baseline
    clip: bool
    hf_from: Annotated[float, Field(gt=0, lt=1)]
    seed: Seed
    compared: ComparedSettings
    methods: Annotated[dict[str, MethodSettings], Field(min_length=1)]

    @model_validator(mode="after")
    def _methods_fit(self) -> "AttributionSettings":
        for name, method in self.methods.items():
            if method.method in DCT_ONLY and self.basis != "dct":
                raise ValueError(f"methods.{name}: expected basis dct for the method {method.method}, got {self.basis}")
            if method.method == "shapley" and (self.compared.bands or 0) > EXACT_BANDS:
                raise ValueError(
                    f"methods.{name}: expected at most {EXACT_BANDS} compared bands for the method shapley, or "
                    f"sampled_shapley, got {self.compared.bands}"
                )
        return self

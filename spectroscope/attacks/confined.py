"""Confined PGD: projected gradient steps whose perturbation stays within one band of frequencies, or a part of it."""

from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from spectroscope.attacks.band_projection import (
    MAX_CYCLES,
    MAX_LEAK,
    AttackedBand,
    confine,
    leak,
    of_rows,
    projection,
    subspace_projection,
)
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.pgd import Rows, ascent, projected_gradient
from spectroscope.attacks.sizes import Count, StepsInL2, StepsInLinf, Target
from spectroscope.frequency import balls
from spectroscope.pipeline.params import Settings


class _Confined(Settings):
    """Projected gradient steps within a band; each of `bands` is a variant.

    `coefficients`: null for the whole band; else the perturbation of an image lies in that many of its coefficients,
    drawn at random, so that bands are compared at equal dimension.
    `direction`: along the sign of the gradient, along the gradient scaled to norm 1, or along it as it is; see
    `balls.step`.
    """

    method: Literal["confined"]
    n_images: Count
    target: Target
    bands: Annotated[dict[str, AttackedBand], Field(min_length=1)]
    coefficients: Count | None
    direction: Literal["sign", "l2", "raw"]
    steps: Count
    random_start: bool

    @model_validator(mode="after")
    def _subspaces_are_of_the_dct(self) -> "_Confined":
        for name, band in self.bands.items():
            if self.coefficients is not None and getattr(band, "basis", "dct") != "dct":
                raise ValueError(
                    f"expected coefficients null where the basis of {name} is dft, got {self.coefficients}"
                )
        return self


class ConfinedLinf(StepsInLinf, _Confined):
    """PGD within a band and an l-inf ball."""


class ConfinedL2(StepsInL2, _Confined):
    """PGD within a band and an l2 ball."""


Confined = Annotated[ConfinedLinf | ConfinedL2, Field(discriminator="norm")]


def confined(settings: Confined, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """Projected gradient steps within one band: (N, C, H, W) (Madry et al. 2018, section 2.1, in a subspace).

    The gradient is projected onto the band, the step onto band, ball and [0, 1] together. An image that is fooled, or
    whose next step cannot satisfy all three, stays where it is. Records the leak out of the band.
    """
    ((name, band),) = settings.bands.items()
    count, size = settings.coefficients, (x.shape[-2], x.shape[-1])
    try:
        project = subspace_projection(band, count, model.places, *size) if count else projection(band, *size)
    except ValueError as error:
        raise ValueError(f"bands.{name}: {error}") from None

    def gradient(z: Tensor, rows: Rows) -> tuple[Rows, Tensor]:
        rows, slope = ascend(z, rows)
        return rows, project(slope, rows) if len(rows) else slope  # an FFT of no images is an error

    def allowed(change: Tensor, rows: Rows) -> tuple[Rows, Tensor]:
        moved, placed = confine(change, x[rows], settings.ball, of_rows(project, rows), MAX_CYCLES, MAX_LEAK)
        return rows[placed], x[rows[placed]] + moved[placed]

    ascend, start = ascent(model, stop_early=True), x.clone()
    if settings.random_start:
        rows, points = allowed(balls.random_point(x, *settings.ball, generators), torch.arange(len(x), device=x.device))
        start[rows] = points
    step = partial(balls.step, direction=settings.direction, norm=settings.norm, length=settings.step_size)
    reached = projected_gradient(gradient, x, start, settings.steps, step, allowed)
    model.leak = leak(reached - x, project)
    return reached

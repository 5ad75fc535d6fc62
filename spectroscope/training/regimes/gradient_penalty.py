"""Training with a penalty on the power of the loss's input gradient within a band."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor

from spectroscope.frequency.passbands import band_filter
from spectroscope.pipeline.params import Settings
from spectroscope.training.adversary import cross_entropy
from spectroscope.training.hooks import Model, TrainingHooks
from spectroscope.training.regimes.frequencies import Frequencies


class GradientPenalty(Settings):
    name: Literal["gradient_penalty"]
    frequencies: Frequencies
    weight: Annotated[float, Field(gt=0)]


def hooks(settings: GradientPenalty) -> TrainingHooks:
    """weight times the mean squared l2 norm of the band-filtered input gradient.

    Over all frequencies this is the input gradient regularisation of Ross & Doshi-Velez 2018. Krishnamachari et al.
    2023 penalise fractions of the power in parts of the spectrum instead.
    """
    band = settings.frequencies.band

    def penalise(model: Model, images: Tensor, labels: Tensor, logits: Tensor, generator: Generator) -> Tensor:
        (gradient,) = torch.autograd.grad(cross_entropy(logits, labels), images, create_graph=True)
        return settings.weight * band_filter(gradient, band).square().sum() / len(images)

    return TrainingHooks(regulariser=penalise)

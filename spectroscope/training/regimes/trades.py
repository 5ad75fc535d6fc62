"""TRADES: cross-entropy on clean images, plus the divergence of predictions around them (Zhang et al. 2019, Eq. 5)."""

from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Generator, Tensor

from spectroscope.pipeline.params import Settings
from spectroscope.training.hooks import Model, TrainingHooks
from spectroscope.training.regimes.adversarial import Adversarial, build_adversary


class Trades(Settings):
    """`beta`: weight of the divergence; `adversary`: the search for the image whose prediction differs most."""

    name: Literal["trades"]
    beta: Annotated[float, Field(gt=0)]
    adversary: Adversarial

    @field_validator("adversary")
    @classmethod
    def _starts_off_the_image(cls, adversary: Adversarial) -> Adversarial:
        if not adversary.random_start:
            raise ValueError("expected random_start true, got false: on the image itself the divergence has no slope")
        return adversary


def hooks(settings: Trades) -> TrainingHooks:
    """beta times the mean KL(f(x) || f(x')), where x' maximises it within the ball.

    As in the authors' code, both predictions take a gradient. They search x' in evaluation mode and start closer to
    the image; here the model keeps its mode and the start is random in the whole ball.
    """
    adversary = build_adversary(settings.adversary, kl_divergence)

    def regularise(model: Model, images: Tensor, labels: Tensor, logits: Tensor, generator: Generator) -> Tensor:
        attacked = adversary(model, images.detach(), logits.detach(), generator)
        return settings.beta * kl_divergence(model(attacked), logits) / len(images)

    return TrainingHooks(regulariser=regularise)


def kl_divergence(logits: Tensor, reference: Tensor) -> Tensor:
    """KL(reference || logits) of the predicted probabilities, both given as logits, summed over images."""
    return F.kl_div(logits.log_softmax(1), reference.log_softmax(1), reduction="sum", log_target=True)

"""FGSM: one step along the sign of the gradient, computed by advertorch."""

from typing import Literal

import torch
from torch import Tensor

from spectroscope.attacks import advertorch_adapter
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.sizes import Count, Sizes, Target, single
from spectroscope.frequency.balls import Ball
from spectroscope.pipeline.params import Settings


class Fgsm(Settings):
    """One step along the sign of the gradient (Goodfellow et al. 2015)."""

    method: Literal["fgsm"]
    n_images: Count
    target: Target
    eps_255: Sizes

    @property
    def ball(self) -> Ball:
        return Ball("linf", single(self.eps_255) / 255)


def fgsm(settings: Fgsm, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """x + eps sign(gradient): (N, C, H, W) (Goodfellow et al. 2015, section 4). No randomness."""

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        # Summed, not averaged: an image's gradient must not depend on how many others are in its batch.
        return -model.objective(logits).sum()

    attack = advertorch_adapter.attacks().GradientSignAttack(model, loss, eps=settings.ball.eps)
    return attack.perturb(x, model.labels)

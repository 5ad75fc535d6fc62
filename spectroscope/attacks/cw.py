"""CW: the smallest l2 perturbation, searched by Adam and computed by advertorch (Carlini & Wagner 2017)."""

from typing import Literal

import torch
from torch import Tensor

from spectroscope.attacks import advertorch_adapter
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.sizes import Count, Size, Sizes, Step, Target, single
from spectroscope.frequency import balls
from spectroscope.frequency.balls import Ball
from spectroscope.pipeline.params import Settings

_MARGIN = 0.02


class Cw(Settings):
    """The smallest l2 change found by `search_steps` runs of Adam of `steps` steps (Carlini & Wagner 2017, l2 attack).

    `eps`: the change is then projected onto the l2 ball of this radius, as in Wang et al. 2020, who do not give their
    radius; null leaves it as it is. The search ignores the ball, so `queries_to_success` counts up to its first
    adversary at any distance: there is no number of queries to an adversary in the ball.
    """

    method: Literal["cw"]
    n_images: Count
    target: Target
    eps: Sizes | None
    confidence: Size
    learning_rate: Step
    initial_const: Step
    search_steps: Count
    steps: Count

    @property
    def ball(self) -> Ball | None:
        return None if self.eps is None else Ball("l2", single(self.eps))


def cw(settings: Cw, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """The nearest adversary in l2 at any distance, x where none is found: (N, C, H, W). No randomness.

    Deviations: no early abort, which advertorch decides by the loss of the whole batch, so that a result would depend
    on batch mates. Carlini & Wagner map the line onto (0, 1) by tanh, whose slope is 0 at 0 and at 1: a black or white
    pixel would never move. Here tanh covers [-0.02, 1.02], and the model sees the values clamped to [0, 1].
    """
    attack = advertorch_adapter.attacks().CarliniWagnerL2Attack(
        lambda z: model(z.clamp(0, 1)),
        model.n_classes,
        confidence=settings.confidence,
        learning_rate=settings.learning_rate,
        binary_search_steps=settings.search_steps,
        max_iterations=settings.steps,
        abort_early=False,
        initial_const=settings.initial_const,
        clip_min=-_MARGIN,
        clip_max=1 + _MARGIN,
        targeted=model.targets is not None,
    )
    return attack.perturb(x, model.labels if model.targets is None else model.targets).clamp(0, 1)


def project(settings: Cw, x: Tensor, adversaries: Tensor) -> Tensor:
    """Adversaries projected onto the l2 ball of radius `eps`, where one is set: (N, C, H, W) twice -> (N, C, H, W).

    A projected image may fool no longer (Wang et al. 2020 do not say what they did then): the caller tests it.
    """
    return adversaries if settings.ball is None else x + balls.project(adversaries - x, *settings.ball)

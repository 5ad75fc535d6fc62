"""What is added to the cross-entropy: (model, images, labels, logits, generator) -> a number.

The images take part in the graph of the logits, so that a regulariser may differentiate by them.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from spectroscope.frequency.passbands import PassBand, band_filter
from spectroscope.training.adversary import Adversary, cross_entropy

Regulariser = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor, Tensor, torch.Generator], Tensor]


def divergence(logits: Tensor, others: Tensor) -> Tensor:
    """Kullback-Leibler divergence KL(others || logits) of the predicted probabilities, summed over images."""
    return F.kl_div(logits.log_softmax(1), others.log_softmax(1), reduction="sum", log_target=True)


def trades(beta: float, adversary: Adversary) -> Regulariser:
    """beta times the mean KL(f(x) || f(x')), x' found by climbing `divergence` (Zhang et al. 2019, Eq. 5).

    As in their code both predictions take a gradient. They search x' in evaluation mode and from a start closer to the
    image; here the model keeps its mode and the start is the adversary's own.
    """

    def regularise(
        model: Callable, images: Tensor, labels: Tensor, logits: Tensor, generator: torch.Generator
    ) -> Tensor:
        attacked = adversary(model, images.detach(), logits.detach(), generator)
        return beta * divergence(model(attacked), logits) / len(images)

    return regularise


def gradient_penalty(weight: float, band: PassBand) -> Regulariser:
    """weight times the mean squared l2 norm of the loss's input gradient within a band.

    Over all frequencies it is the input gradient regularisation of Ross & Doshi-Velez 2018; by parts of the spectrum
    it is in the family of Krishnamachari et al. 2023, who penalise shares of the power instead.
    """

    def regularise(
        model: Callable, images: Tensor, labels: Tensor, logits: Tensor, generator: torch.Generator
    ) -> Tensor:
        (gradient,) = torch.autograd.grad(cross_entropy(logits, labels), images, create_graph=True)
        return weight * band_filter(gradient, band).square().sum() / len(images)

    return regularise

"""Counterparts of images: what a network's representation remembers of them (Wang et al. 2020, Eq. 9).

From a start image of another class, x_r = argmin |g(x_r) - g(x)| with g the representation before the last linear
layer (after Ilyas et al. 2019): of a robust network the robust counterpart, of a standard one the non-robust. A
frequency in which x_r comes near x is one the representation holds; one in which the difference is still that of the
two natural images, the control, is one it is blind to.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from spectroscope.examination.settings import InversionSettings


def representation(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """What the last linear layer of a network is given: a function (N, C, H, W) -> (N, F)."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise ValueError("expected a network with a linear layer, got one without")

    def features(images: Tensor) -> Tensor:
        seen: list[Tensor] = []
        hook = layers[-1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            model(images)
        finally:
            hook.remove()
        return seen[-1].flatten(1)

    return features


def starts(labels: Tensor, generator: torch.Generator) -> Tensor:
    """For each image the number of another, of another class where there is one, drawn at random: (N,) -> (N,)."""
    apart = (labels[:, None] != labels[None, :]).double()
    alone = apart.sum(1) == 0
    apart[alone] = 1.0 - torch.eye(len(labels), dtype=torch.float64)[alone]
    return torch.multinomial(apart, 1, generator=generator)[:, 0]


def counterparts(
    features: Callable[[Tensor], Tensor], images: Tensor, start: Tensor, settings: InversionSettings
) -> tuple[Tensor, Tensor]:
    """Counterparts in [0, 1] and how far their features are, start = 1: (N, C, H, W) twice -> (N, C, H, W), (N,).

    Adam on the pixels, which are put back into [0, 1] after each step; no image depends on its batch mates.
    """
    with torch.no_grad():
        wanted = features(images)
        before = (features(start) - wanted).norm(dim=1)
    found = start.clone().requires_grad_()
    search = torch.optim.Adam([found], lr=settings.learning_rate)
    for _ in range(settings.steps):
        (found.grad,) = torch.autograd.grad((features(found) - wanted).norm(dim=1).sum(), found)
        search.step()
        with torch.no_grad():
            found.clamp_(0, 1)
    with torch.no_grad():
        after = (features(found) - wanted).norm(dim=1)
    return found.detach(), after / before.clamp_min(torch.finfo(before.dtype).tiny)

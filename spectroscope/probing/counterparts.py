"""Counterparts of images: what a network's representation remembers of them (Wang et al. 2020, Eq. 9).

From a start image of another class, x_r = argmin |g(x_r) - g(x)| with g the representation before the last linear
layer (after Ilyas et al. 2019): of a robust network the robust counterpart, of a standard one the non-robust. A
frequency in which x_r comes near x is one the representation holds; one in which the difference is still that of the
two natural images, the control, is one it is blind to.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from spectroscope.probing.settings import CounterpartSettings


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


def counterparts(
    features: Callable[[Tensor], Tensor], images: Tensor, start: Tensor, settings: CounterpartSettings
) -> tuple[Tensor, Tensor]:
    """Counterparts in [0, 1] and how far their features are, start = 1: (N, C, H, W) twice -> (N, C, H, W), (N,).

    Gradient descent on |g(x_r) - g(x)|, whose least value is 0: each step is the part `learning_rate` of Polyak's,
    distance / |gradient|^2 times the gradient (Polyak 1969), then the pixels are put back into [0, 1]. No step takes
    signs, as Adam's first ones do: signs flatten a spectrum. No image depends on its batch mates.
    """
    with torch.no_grad():
        wanted = features(images)
        before = (features(start) - wanted).norm(dim=1)
    found, tiny = start.clone(), torch.finfo(start.dtype).tiny
    for _ in range(settings.steps):
        found.requires_grad_()
        distance = (features(found) - wanted).norm(dim=1)
        (gradient,) = torch.autograd.grad(distance.sum(), found)
        length = distance.detach() / gradient.flatten(1).square().sum(1).clamp_min(tiny)
        step = settings.learning_rate * length[:, None, None, None] * gradient
        found = (found.detach() - step).clamp(0, 1)
    with torch.no_grad():
        after = (features(found) - wanted).norm(dim=1)
    return found, after / before.clamp_min(tiny)

"""Counterparts of images: what a network's representation remembers of them (Wang et al. 2020, Eq. 9).

From a start image of another class, x_r = argmin |g(x_r) - g(x)| with g the representation before the last linear
layer (after Ilyas et al. 2019): for a robust network the robust counterpart, for a standard one the non-robust. The
representation holds the frequencies in which x_r comes near x. It is blind to those in which x_r still differs from x
as the start image does, the control.
"""

from collections.abc import Callable
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor, nn

from spectroscope.dataset.partners import partner_of_another_class
from spectroscope.frequency.spectrum import dct2
from spectroscope.pipeline import machine
from spectroscope.pipeline.params import Settings
from spectroscope.probing.shells import replicates, shell_means, shell_table
from spectroscope.statistics.bootstrap import StatisticsSettings


class CounterpartSettings(Settings):
    """Counterparts of the first `n_images` test images, by `steps` of gradient descent on the pixels.

    `learning_rate`: the fraction of Polyak's step that a step takes. `seed`: which start image each image is given.
    """

    n_images: Annotated[int, Field(ge=2)]
    steps: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    seed: Annotated[int, Field(ge=0)]


def representation(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """The input of a network's last linear layer, (N, C, H, W) -> (N, F); ValueError where there is no such layer."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise ValueError("expected a network with a linear layer, got one without")

    def features(images: Tensor) -> Tensor:
        inputs: list[Tensor] = []
        hook = layers[-1].register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
        try:
            model(images)
        finally:
            hook.remove()
        return inputs[-1].flatten(1)

    return features


def counterparts(
    features: Callable[[Tensor], Tensor], images: Tensor, start: Tensor, settings: CounterpartSettings
) -> tuple[Tensor, Tensor]:
    """Counterparts in [0, 1] and their distance in features, start = 1: (N, C, H, W) twice -> (N, C, H, W), (N,).

    Gradient descent on |g(x_r) - g(x)|, whose minimum is 0. A step is the fraction `learning_rate` of Polyak's (1969),
    distance / |gradient|^2 times the gradient, and is followed by a clip to [0, 1]. Adam is not used: its first steps
    are signs, which flatten a spectrum. No image depends on its batch mates.
    """
    with torch.no_grad():
        target = features(images)
        before = (features(start) - target).norm(dim=1)
    x, tiny = start.clone(), torch.finfo(start.dtype).tiny
    for _ in range(settings.steps):
        x.requires_grad_()
        distance = (features(x) - target).norm(dim=1)
        (gradient,) = torch.autograd.grad(distance.sum(), x)
        length = distance.detach() / gradient.flatten(1).square().sum(1).clamp_min(tiny)
        x = (x.detach() - settings.learning_rate * length[:, None, None, None] * gradient).clamp(0, 1)
    with torch.no_grad():
        after = (features(x) - target).norm(dim=1)
    return x, after / before.clamp_min(tiny)


def counterparts_by_shell(
    model: nn.Module, images: Tensor, labels: Tensor, settings: CounterpartSettings
) -> dict[str, Tensor]:
    """change and control (n_images, shells), left (n_images, 1) of one network, as in `counterpart_table`."""
    images, labels = images[: settings.n_images], labels[: settings.n_images].cpu()
    start = images[partner_of_another_class(labels, machine.generator(settings.seed))]
    reached, left = counterparts(representation(model), images, start, settings)
    change, control = (shell_means(dct2(x - images).abs().mean(1)) for x in (reached, start))
    return {"change": change, "control": control, "left": left[:, None]}


def counterpart_table(values: dict[str, np.ndarray], statistics: StatisticsSettings) -> pd.DataFrame:
    """statistic, shell, mean, low, high, n_images, n_seeds; values: (seeds, images, shells) by name.

    change: mean |difference of DCT coefficients| between counterpart and image (Wang et al. 2020, Fig. 3); control: the
    same between start image and image; remaining: log of their ratio, 0 where nothing of the image came back. left
    (shell 0): distance of the features, 1 at the start.
    """
    n_seeds, n_images = len(values["change"]), len(values["change"][0])
    both = replicates(np.concatenate([values["change"], values["control"]], 2), statistics)
    change, control = np.split(both, 2, axis=1)
    means = {"change": change, "control": control, "remaining": np.log(change / control)}
    means["left"] = replicates(values["left"], statistics)
    return shell_table("statistic", means, dict.fromkeys(means, n_images), n_seeds, statistics)

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
from spectroscope.models.classifier import classifier
from spectroscope.pipeline import machine, passes
from spectroscope.pipeline.params import Seed, Settings
from spectroscope.probing.shells import shell_means, shell_table
from spectroscope.statistics.estimates import StatisticsSettings, group_names, image_groups, jackknife, means, ratio


class CounterpartSettings(Settings):
    """Counterparts of the first `n_images` test images, by `steps` of gradient descent on the pixels.

    `learning_rate`: the fraction of Polyak's step that a step takes. `seed`: which start image each image is given.
    """

    n_images: Annotated[int, Field(ge=2)]
    steps: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    seed: Seed


def representation(model: nn.Module, images: Tensor) -> Callable[[Tensor], Tensor]:
    """The input of the layer that classifies these images: (N, C, H, W) -> (N, F); ValueError without such a layer."""
    layer = classifier(model, images)

    def features(images: Tensor) -> Tensor:
        inputs: list[Tensor] = []
        hook = layer.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
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
    are signs, which flatten a spectrum. No image depends on its batch mates. An image without a gradient (dead units)
    stays where it is; one whose start has the same features has distance 1, as nothing was searched.
    """
    with torch.no_grad():
        target = features(images)
        before = (features(start) - target).norm(dim=1)
    x = start.clone()
    for _ in range(settings.steps):
        x.requires_grad_()
        distance = (features(x) - target).norm(dim=1)
        (gradient,) = torch.autograd.grad(distance.sum(), x)
        squared = gradient.double().flatten(1).square().sum(1)  # float64: no overflow where it is small
        length = torch.where(squared > 0, distance.detach() / squared.clamp_min(torch.finfo(squared.dtype).tiny), 0.0)
        step = settings.learning_rate * length[:, None, None, None] * gradient
        x = (x.detach() - step).clamp(0, 1).to(start.dtype)
    with torch.no_grad():
        after = (features(x) - target).norm(dim=1)
    return x, torch.where(before > 0, after / before, 1.0)


def counterparts_by_shell(
    model: nn.Module, images: Tensor, labels: Tensor, settings: CounterpartSettings
) -> dict[str, Tensor]:
    """change and control (n_images, shells), left (n_images, 1) of one network, as in `counterpart_table`."""
    images, labels = images[: settings.n_images], labels[: settings.n_images].cpu()
    start = images[partner_of_another_class(labels, machine.generator(settings.seed))]

    def of_rows(rows: slice) -> tuple[Tensor, Tensor]:
        return counterparts(representation(model, images[rows]), images[rows], start[rows], settings)

    reached, left = passes.in_passes(model, images, of_rows)
    change, control = (shell_means(dct2(x - images).abs().mean(1)) for x in (reached, start))
    return {"change": change, "control": control, "left": left[:, None]}


def counterpart_table(
    values: dict[str, np.ndarray], labels: np.ndarray, clusters: np.ndarray, statistics: StatisticsSettings
) -> pd.DataFrame:
    """statistic, shell, then SUMMARY; values: (seeds, images, shells) by name, labels and clusters of the images.

    change: mean |difference of DCT coefficients| between counterpart and image (Wang et al. 2020, Fig. 3); control: the
    same between start image and image; remaining: log of the ratio of each network's means, 0 where nothing of the
    image came back. left (shell 0): distance of the features, 1 at the start.
    """
    both = np.stack([values["change"], values["control"]], 3)  # (S, I, shells, 2)
    found = {name: means(values[name], clusters, bounds=(0, np.inf)) for name in ("change", "control", "left")}
    groups = image_groups(clusters, labels, statistics.groups)
    found["remaining"] = jackknife(both, _log_ratio, groups, names=group_names(groups, clusters))
    order = ("change", "control", "remaining", "left")
    return shell_table("statistic", {name: found[name] for name in order}, statistics)


def _log_ratio(network: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Log of mean change over mean control in each shell: (images, shells, 2) -> (shells,); NaN where one is 0."""
    change, control = np.moveaxis(network.mean(0), -1, 0)
    quotient = ratio(change, control)
    return np.log(np.where(quotient > 0, quotient, np.nan))

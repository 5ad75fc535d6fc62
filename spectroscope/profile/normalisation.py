"""Which normalisation pixels have had and a network wants: told from what they are, or how right it is with others.

A trial shows that a normalisation is missing or made twice. It does not show which one is right: on 64 images a network
of ImageNet's is as right with CIFAR-10's, and one that has only a mean subtracted from pixels 0..255 is best with none
subtracted, and still short of itself. So trials are told with their figures, and none is applied.
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import entr
from torch import Tensor

from spectroscope.profile.checks import Finding
from spectroscope.profile.network import Network
from spectroscope.profile.prepared import Prepared, in_batches
from spectroscope.statistics.intervals import difference_interval

LEAST_GAIN = 0.1  # in accuracy or in the largest probability, by which another normalisation must be better
LESS_VARIED = 0.2  # nats: by which the entropy of the classes predicted may lie below the largest of all trials
GRID = 0.1  # grey levels: how far pixels whose normalisation is undone may lie from whole ones, on average
Trial = tuple[str, tuple[float, ...], tuple[float, ...]]  # name, mean, std of a normalisation
COLOURS: tuple[Trial, ...] = (
    ("ImageNet's", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ("CIFAR-10's", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    ("to [-1, 1]", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ("0..255", (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
)
GREYS: tuple[Trial, ...] = (
    ("MNIST's", (0.1307,), (0.3081,)),
    ("to [-1, 1]", (0.5,), (0.5,)),
    ("0..255", (0.0,), (1 / 255,)),
)


def unit_pixels(pixels: Tensor, network: Network) -> tuple[Tensor, list[Finding]]:
    """Pixels (N, C, H, W) in [0, 1]: from 0..255, or from values that were normalised already.

    Of the known normalisations whose undoing gives pixels in [0, 1], the one that gives whole grey levels was made; if
    none does, as after resizing, the only one. ValueError for any other values, and where several fit.
    """
    low, high = float(pixels.min()), float(pixels.max())
    if low >= 0 and high <= 1:
        return pixels, []
    if low >= 0 and 1 < high <= 255:
        text = f"Pixels lie in {low:g}..{high:g}: they are taken as 0..255 and divided by 255."
        return pixels / 255, [Finding("range", "changed", text)]
    known: list[Trial] = [trial for trial in _of_channels(pixels.shape[1]) if trial[0] != "0..255"]
    if network.mean and network.std:
        known.insert(0, ("the network's", network.mean, network.std))
    fits = {}
    for name, mean, std in known:
        back = pixels * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]
        if float(back.min()) >= -0.005 and float(back.max()) <= 1.005 and float(back.max() - back.min()) > 0.5:
            fits[name] = back.clamp(0, 1)
    off = {name: float((back * 255 - (back * 255).round()).abs().mean()) for name, back in fits.items()}
    names = [name for name in fits if off[name] < GRID][:1] or list(fits)
    if len(names) == 1:
        text = (
            f"Pixels lie in {low:.2f}..{high:.2f}: they were normalised already ({names[0]} mean and std fit), which "
            "was undone. Give pixels in [0, 1]."
        )
        return fits[names[0]], [Finding("range", "changed", text)]
    found = f"{low:g}..{high:g}" + (f", which {' and '.join(names)} mean and std fit alike" if names else "")
    raise ValueError(f"expected pixels in [0, 1], 0..255 or normalised by a known mean and std, got {found}")


def better(network: Network, model: Prepared, pixels: Tensor, labels: Tensor | None) -> list[Finding]:
    """Normalisations that are better than the network's own; none is applied.

    Without labels, those that make it surer, among those with which it predicts classes as varied as with any: larger
    numbers alone make a network surer, of one class or of a few.
    """
    channels = pixels.shape[1]
    own, varied = _right(model, pixels, labels)
    mean, std = (tuple(values.flatten().tolist()) for values in (model.mean, model.std))
    trials: list[Trial] = [("none", (0.0,) * channels, (1.0,) * channels), *_of_channels(channels)]
    trials = [trial for trial in trials if not np.allclose(trial[1:], (mean, std), atol=0.02)]
    tried = [(trial, *_right(_with(model, trial[1], trial[2], model.bgr), pixels, labels)) for trial in trials]
    least = max([varied, *(entropy for *_, entropy in tried)]) - LESS_VARIED
    found = [(trial, values) for trial, values, entropy in tried if entropy >= least and _is_better(values, own)]
    found.sort(key=lambda pair: -pair[1].mean())
    if not found:
        return []
    ((name, *_), best), *_ = found
    given = network.mean is not None
    if name == "none":
        cause = f"it normalises by itself, and {network.normalisation} makes it twice"
    elif name == "0..255":
        cause = "it wants pixels 0..255"
    else:
        cause = "another normalisation belongs to it" if given else "normalisation is missing"
    alike = [pair for pair in found if not difference_interval(best, pair[1]).low > 0]  # the best among them
    each = ", ".join(
        f"{trial[0]} (--mean {numbers(trial[1], ',')} --std {numbers(trial[2], ',')}) {values.mean():.0%}"
        for trial, values in alike
    )
    text = (
        f"{_what(labels)} is {own.mean():.0%} on {len(own)} images, but with the normalisation {each}: {cause}. "
        "Nothing was changed, since a trial cannot show that its numbers are those of the training: give those."
    )
    return [Finding("normalisation", "warning", text)]


def swapped_colours(model: Prepared, pixels: Tensor, labels: Tensor | None) -> list[Finding]:
    """Whether the network is better with red and blue exchanged."""
    mean, std = (tuple(values.flatten().tolist()) for values in (model.mean, model.std))
    swapped, own = (_right(each, pixels, labels)[0] for each in (_with(model, mean, std, not model.bgr), model))
    if not _is_better(swapped, own):
        return []
    flag = "leave --bgr out" if model.bgr else "--bgr"
    text = f"{_what(labels)} is {own.mean():.0%}, but {swapped.mean():.0%} with red and blue exchanged: {flag}"
    return [Finding("colours", "warning", text)]


def numbers(values: Sequence[float], separator: str = ", ") -> str:
    return separator.join(f"{value:.4g}" for value in values)


def _of_channels(channels: int) -> tuple[Trial, ...]:
    return {1: GREYS, 3: COLOURS}.get(channels, ())


def _what(labels: Tensor | None) -> str:
    return "Accuracy" if labels is not None else "The mean largest probability"


def _with(model: Prepared, mean: tuple[float, ...], std: tuple[float, ...], bgr: bool) -> Prepared:
    """The same network behind another normalisation."""
    other = Prepared(model.network, mean, std, bgr, model.log)
    other.batch = model.batch
    return other


def _right(model: Prepared, pixels: Tensor, labels: Tensor | None) -> tuple[np.ndarray, float]:
    """Whether each image is right (N,) and 0; without labels its largest probability and the entropy of the classes."""
    logits = in_batches(model, pixels)
    if labels is not None:
        return (logits.argmax(1) == labels).double().numpy(), 0.0
    shares = torch.bincount(logits.argmax(1)) / len(logits)
    return logits.softmax(1).amax(1).numpy(), float(entr(shares.numpy()).sum())


def _is_better(other: np.ndarray, own: np.ndarray) -> bool:
    """Whether a trial is better by LEAST_GAIN and more than images of another draw would explain."""
    if not np.isfinite(other).all() or other.mean() - own.mean() < LEAST_GAIN:
        return False
    low = difference_interval(other, own).low
    return bool(np.isnan(low) or low > 0)

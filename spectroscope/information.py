"""What the images themselves hold in each band, whatever a network makes of it.

Three looks: the mean spectrum of each class; ADCS, which frequencies are a class's own; and how well a linear
classifier does that sees one band alone, which bounds from below what a network could do with that band.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from spectroscope.bootstrap import StatisticsSettings, interval
from spectroscope.frequency.partitions import Partition, by_band, partition
from spectroscope.frequency.spectrum import dct2
from spectroscope.pipeline.params import Settings

Features = Literal["signed", "magnitude"]
FEATURES: tuple[Features, ...] = ("signed", "magnitude")


class InformationSettings(Settings):
    """The partition of the spectrum, and the linear probes.

    `n_train`, `n_test`: images the probes learn from and are tested on, the first so many. `penalty`: weight of the
    squared l2 norm of the probe's weights. `steps`: of L-BFGS. `seed`: order of the labels in the control.
    """

    n_train: Annotated[int, Field(ge=2)]
    n_test: Annotated[int, Field(ge=2)]
    partition: Partition
    bands: Annotated[int, Field(ge=2)] | None
    penalty: Annotated[float, Field(gt=0)]
    steps: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0)]


def magnitudes(images: Tensor) -> Tensor:
    """Magnitude of every DCT coefficient, the mean over channels: (N, C, H, W) -> (N, H, W)."""
    return dct2(images).abs().mean(1)


def adcs(mean_spectra: Tensor) -> Tensor:
    """Accumulative difference of class-wise spectra (Wang S. et al. 2023): (..., K, H, W) -> (..., K, H, W).

    ADCS_c(u, v) = sum over the other classes c' of sign(E_c(u, v) - E_c'(u, v)), with E the mean magnitude spectra:
    K - 1 where class c is stronger than every other class, 1 - K where it is weaker; over classes it sums to 0.
    """
    classes = mean_spectra.unbind(-3)
    return torch.stack([sum((own - other).sign() for other in classes) for own in classes], dim=-3)


def class_spectra(
    images: Tensor, labels: Tensor, classes: tuple[str, ...], statistics: StatisticsSettings
) -> pd.DataFrame:
    """Mean magnitude and ADCS of each class by l-inf shell: class, measure, shell, mean, low, high, n_images.

    The bootstrap draws images within their class; a shell is the mean over its coefficients. ValueError for a class
    without images.
    """
    present = torch.bincount(labels, minlength=len(classes))
    if int(present.min()) == 0:
        raise ValueError(f"expected images of every class, got none of {classes[int(present.argmin())]}")
    height, width = images.shape[-2:]
    index = partition(height, width, "linf", None, "dct")
    size = torch.bincount(index.flatten())
    spectra, rng = magnitudes(images).flatten(1), np.random.default_rng([statistics.seed, 3])
    means = []
    for number, count in enumerate(present.tolist()):
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=statistics.resamples)
        times = torch.from_numpy(np.concatenate([np.ones((1, count)), drawn])).to(spectra)
        means.append((times @ spectra[labels == number] / count).unflatten(1, (height, width)))
    spectrum = torch.stack(means, 1)  # (1 + draws, K, H, W)
    tables = []
    for measure, maps in (("magnitude", spectrum), ("adcs", adcs(spectrum))):
        curves = by_band(maps, index) / size
        low, high = interval(curves[1:].numpy(), statistics)
        number, shell = np.indices(low.shape).reshape(2, -1)
        values = {"mean": curves[0].flatten().numpy(), "low": low.ravel(), "high": high.ravel()}
        rows = pd.DataFrame({"class": np.array(classes)[number], "statistic": measure, "shell": shell, **values})
        tables.append(rows.assign(n_images=present.numpy()[number]))
    return pd.concat(tables, ignore_index=True)


def probe(train: Tensor, labels: Tensor, test: Tensor, n_classes: int, penalty: float, steps: int) -> Tensor:
    """Classes that a linear classifier on these features predicts: (N, F), (N,), (M, F) -> (M,).

    Multinomial logistic regression on features scaled by the training set's mean and standard deviation: the minimum
    of mean cross-entropy + penalty |W|^2, sought by L-BFGS from 0; convex, so no seed.
    """
    centre, scale = train.mean(0), train.std(0).clamp_min(1e-6)
    x, y = (train - centre) / scale, labels
    weights = x.new_zeros(x.shape[1], n_classes, requires_grad=True)
    bias = x.new_zeros(n_classes, requires_grad=True)
    search = torch.optim.LBFGS([weights, bias], max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        value = cross_entropy(x @ weights + bias, y) + penalty * weights.square().sum()
        value.backward()
        return value

    search.step(loss)
    with torch.no_grad():
        return ((test - centre) / scale @ weights + bias).argmax(1)


def probes(
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    n_classes: int,
    settings: InformationSettings,
    statistics: StatisticsSettings,
    track: Callable,
) -> pd.DataFrame:
    """Accuracy of a linear probe on each band alone: band, features, labels, coefficients, mean, low, high, n_images.

    train, test: images (N, C, H, W) and labels. band: a number, or `all`. features: the `signed` coefficients of a band
    in all channels, or the logarithm of their `magnitude`, which sees texture, whose phases are random. labels: `true`,
    or `permuted` in the training set, the control, which must come out at chance.
    """
    index = partition(*train[0].shape[-2:], settings.partition, settings.bands, "dct")
    order = np.random.default_rng(settings.seed).permutation(len(train[1]))
    truth = {"true": train[1], "permuted": train[1][torch.from_numpy(order)]}
    spectra = [dct2(images).flatten(2) for images, _ in (train, test)]  # (N, C, H * W)
    floor = 1e-4  # of a coefficient: a twentieth of what a grey level adds to DC of 32 x 32 pixels
    looks = {"signed": lambda part: part, "magnitude": lambda part: (part.abs() + floor).log()}
    names = ["all", *range(int(index.max()) + 1)]
    rng, rows = np.random.default_rng([statistics.seed, 4]), []
    draws = rng.multinomial(len(test[1]), np.full(len(test[1]), 1 / len(test[1])), size=statistics.resamples)
    for band, features, labels in track([(b, f, t) for b in names for f in FEATURES for t in truth], "probes"):
        chosen = torch.ones_like(index, dtype=torch.bool) if band == "all" else index == band
        learn, judge = (looks[features](part[:, :, chosen.flatten()]).flatten(1) for part in spectra)
        guess = probe(learn, truth[labels], judge, n_classes, settings.penalty, settings.steps)
        right = (guess == test[1]).double().numpy()
        low, high = interval(draws @ right / len(right), statistics)
        cell = {"band": str(band), "features": features, "labels": labels, "coefficients": int(chosen.sum())}
        rows.append({**cell, "mean": right.mean(), "low": float(low), "high": float(high), "n_images": len(right)})
    return pd.DataFrame(rows)

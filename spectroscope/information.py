"""What the images themselves tell about their classes in each band, before any network is trained on them.

Three views: the mean spectrum of each class; ADCS, the frequencies at which one class is stronger than the others; and
the accuracy of a linear probe that sees one band alone, a lower bound on what a network could learn from that band.
"""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import cross_entropy

from spectroscope.frequency.partitions import Partition, check_number, mean_by_band, partition
from spectroscope.frequency.spectrum import dct2
from spectroscope.pipeline.io import Images
from spectroscope.pipeline.params import Seed, Settings
from spectroscope.statistics.estimates import StatisticsSettings, means, summary

Features = Literal["signed", "magnitude"]
FEATURES: tuple[Features, ...] = ("signed", "magnitude")
_FLOOR = 1e-4  # added to magnitudes before the logarithm: 1/20 of what one grey level adds to DC of 32 x 32 pixels


class InformationSettings(Settings):
    """The partition of the spectrum, and the linear probes.

    `n_train`, `n_test`: the first images of each split, which probes are trained and tested on. `penalty`: weight of
    the squared l2 norm of a probe's weights. `steps`: of L-BFGS. `seed`: of the permuted labels of the control.
    """

    n_train: Annotated[int, Field(ge=2)]
    n_test: Annotated[int, Field(ge=2)]
    partition: Partition
    bands: Annotated[int, Field(ge=2)] | None
    penalty: Annotated[float, Field(gt=0)]
    steps: Annotated[int, Field(ge=1)]
    seed: Seed

    @model_validator(mode="after")
    def _number(self) -> "InformationSettings":
        check_number(self.partition, self.bands)
        return self


def magnitudes(images: Tensor) -> Tensor:
    """Magnitude of every DCT coefficient, averaged over channels: (N, C, H, W) -> (N, H, W)."""
    return dct2(images).abs().mean(1)


def adcs(mean_spectra: Tensor) -> Tensor:
    """Accumulative difference of class-wise spectra (Wang S. et al. 2023): (..., K, H, W) -> (..., K, H, W).

    ADCS_c(u, v) = sum over the other classes c' of sign(E_c(u, v) - E_c'(u, v)), with E the mean magnitude spectra:
    K - 1 where class c is stronger than every other class, 1 - K where it is weaker. The sum over classes is 0.
    """
    spectra = mean_spectra.unbind(-3)
    signs = [sum(((own - other).sign() for other in spectra), torch.zeros_like(own)) for own in spectra]
    return torch.stack(signs, dim=-3)


def class_spectra(images: Images, statistics: StatisticsSettings) -> pd.DataFrame:
    """Mean magnitude and ADCS of each class, averaged over each l-inf shell.

    Columns class, statistic, shell, mean, low, high, n_images. ADCS has no interval (NaN): a sum of signs jumps, so
    leaving out images says nothing of how far it would move with others. ValueError for a class without images.
    """
    class_sizes = torch.bincount(images.labels, minlength=len(images.classes))
    if int(class_sizes.min()) == 0:
        raise ValueError(f"expected images of every class, got none of {images.classes[int(class_sizes.argmin())]}")
    height, width = images.pixels.shape[-2:]
    index = partition(height, width, "linf", None, "dct")
    spectra = magnitudes(images.pixels)
    own_rows = [images.labels == label for label in range(len(images.classes))]
    curves = [mean_by_band(spectra[own], index).double().numpy() for own in own_rows]  # (class size, shells)
    clusters = [images.clusters[own].numpy() for own in own_rows]
    magnitude = [_mean(curve, of_class, statistics) for curve, of_class in zip(curves, clusters, strict=True)]
    scores = mean_by_band(adcs(torch.stack([spectra[own].mean(0) for own in own_rows])), index).numpy()
    score = [
        {"mean": row, "low": np.nan, "high": np.nan, "n_images": len(own)}
        for row, own in zip(scores, curves, strict=True)
    ]
    return pd.concat(
        [
            pd.DataFrame({"class": name, "statistic": statistic, "shell": range(len(row["mean"])), **row})
            for statistic, rows in (("magnitude", magnitude), ("adcs", score))
            for name, row in zip(images.classes, rows, strict=True)
        ],
        ignore_index=True,
    )


def probe(train: Tensor, labels: Tensor, test: Tensor, n_classes: int, penalty: float, steps: int) -> Tensor:
    """Classes of the test features predicted by a linear classifier: train (N, F), labels (N,), test (M, F) -> (M,).

    Multinomial logistic regression on features standardised by the training set's mean and standard deviation, trained
    with L-BFGS from 0 on mean cross-entropy + penalty |W|^2: a convex problem, so that no seed is needed.
    """
    centre, scale = train.mean(0), train.std(0).clamp_min(1e-6)
    x = (train - centre) / scale
    weights = x.new_zeros(x.shape[1], n_classes, requires_grad=True)
    bias = x.new_zeros(n_classes, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = cross_entropy(x @ weights + bias, labels) + penalty * weights.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    with torch.no_grad():
        return ((test - centre) / scale @ weights + bias).argmax(1)


def probes(
    train: Images,
    test: Images,
    settings: InformationSettings,
    statistics: StatisticsSettings,
    track: Callable[[list, str], Iterable[Any]],
) -> pd.DataFrame:
    """Accuracy of a linear probe on each band alone and on `all` of them.

    Columns band, features, labels, coefficients (in the band), mean, low, high, n_images. features: the `signed`
    coefficients of all channels, or the logarithm of their `magnitude`, which sees textures, whose phases are random.
    labels: `true`, or `permuted` in the training set, a control whose accuracy must be that of chance. The interval is
    over test images, for the probe of these training images.
    """
    height, width = train.pixels.shape[-2:]
    index = partition(height, width, settings.partition, settings.bands, "dct").flatten()
    order = np.random.default_rng(settings.seed).permutation(len(train))
    train_labels = {"true": train.labels, "permuted": train.labels[torch.from_numpy(order)]}
    spectra = [dct2(images.pixels).flatten(2) for images in (train, test)]  # (N, C, H * W)
    bands = ["all", *range(int(index.max()) + 1)]
    rows = []
    for band, features, kind in track([(b, f, k) for b in bands for f in FEATURES for k in train_labels], "probes"):
        inside = torch.ones_like(index, dtype=torch.bool) if band == "all" else index == band
        x_train, x_test = (_features(spectrum[:, :, inside], features) for spectrum in spectra)
        predicted = probe(x_train, train_labels[kind], x_test, len(train.classes), settings.penalty, settings.steps)
        right = (predicted == test.labels).double().numpy()[:, None]
        cell = {"band": str(band), "features": features, "labels": kind, "coefficients": int(inside.sum())}
        rows.append(pd.DataFrame(cell | _mean(right, test.clusters.numpy(), statistics, share=True)))
    return pd.concat(rows, ignore_index=True)


def _mean(
    values: np.ndarray, clusters: np.ndarray, statistics: StatisticsSettings, share: bool = False
) -> dict[str, Any]:
    """Columns mean, low, high, n_images of K means over images: (I, K), (I,). No interval for a single cluster."""
    names = ("mean", "low", "high", "n_images")
    if len(np.unique(clusters)) == 1:
        return dict(zip(names, (values.mean(0), np.nan, np.nan, len(values)), strict=True))
    row = summary(means(values[None], clusters, share), statistics)  # the images themselves: no network to tell apart
    return {name: row[name] for name in names}


def _features(coefficients: Tensor, features: Features) -> Tensor:
    """Features of a probe: (N, C, coefficients) -> (N, C * coefficients)."""
    return (coefficients if features == "signed" else (coefficients.abs() + _FLOOR).log()).flatten(1)

"""How often 95 % intervals hold the truth: `python -m benchmarks.coverage` prints two Markdown tables.

Values are drawn in a two-way layout: a part of each network, one of each image (variance 1) and a rest (variance .25);
the ratio is the variance of the networks' part. An accuracy counts values above a threshold. Curves have such values at
every shell, correlated along the shells; the mean of a group of images is drawn at once. Truths: the accuracy, centroid
and shares of unlimited images, averaged over unlimited networks; the expected score; the expected W at these images,
since noise in the ranks lowers W itself.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Annotated

import numpy as np
import typer
from scipy.stats import norm, rankdata

from spectroscope.attribution.summaries import centroid, hf_share
from spectroscope.statistics.estimates import (
    Estimates,
    StatisticsSettings,
    balanced,
    balanced_weights,
    difference,
    jackknife,
    means,
    summary,
)
from spectroscope.validation.agreement import kendall_w

NETWORKS, RATIOS, REST = (3, 5, 10), (0.0, 0.05, 1.0), 0.25
ACCURACIES, IMAGES, CLUSTERS = (0.04, 0.5, 0.75, 0.95), (45, 300, 1200), 207
GROUPS = 20
SETTINGS = StatisticsSettings(confidence=0.95, groups=GROUPS)
SHELLS = np.arange(32)
# Mean of each shell and deviation of its images: roughly those of a standard network of the default study.
CURVE = np.where(SHELLS > 0, 0.5 * np.exp(-SHELLS / 8), 8.0)
SPREAD = 3 * CURVE * (SHELLS > 0)
ALONG = np.linalg.cholesky(0.8 ** np.abs(SHELLS[:, None] - SHELLS))  # correlation of neighbouring shells
CLASSES, BANDS, IN_CLASS = 10, 7, 40
CLASS_CURVES = np.linspace(1, -1, BANDS) + 0.5 * np.random.default_rng(3).normal(size=(CLASSES, BANDS))

Ends = tuple[np.ndarray, np.ndarray, np.ndarray]  # the truth, low and high, of each draw


def layout(rng: np.random.Generator, networks: int, ratio: float, shape: tuple[int, ...]) -> np.ndarray:
    """Values around 0 (networks, *shape), images or groups of images first in the shape."""
    of_networks = ratio**0.5 * rng.normal(size=(networks, 1, *shape[1:]))
    return of_networks + images_part(rng, networks, shape)


def images_part(rng: np.random.Generator, networks: int, shape: tuple[int, ...]) -> np.ndarray:
    """The part of the images and the rest: (networks, *shape)."""
    return rng.normal(size=(1, *shape)) + REST**0.5 * rng.normal(size=(networks, *shape))


def cluster_of_each(images: int) -> np.ndarray:
    """Cluster of each image, in clusters of very unequal size: (images,). Design effect: 5.6 to 7.1."""
    rng = np.random.default_rng(0)
    shares = rng.lognormal(sigma=1.2, size=CLUSTERS)
    return np.concatenate([np.arange(CLUSTERS), rng.choice(CLUSTERS, images - CLUSTERS, p=shares / shares.sum())])


def accuracies(
    rng: np.random.Generator, networks: int, ratio: float, draws: int, accuracy: float, n_images: int, clustered: bool
) -> Ends:
    """Shares of right images; clustered: the images of a cluster share their part."""
    clusters = cluster_of_each(n_images) if clustered else np.arange(n_images)
    values = ratio**0.5 * rng.normal(size=(networks, 1, draws)) + rng.normal(size=(clusters.max() + 1, draws))[clusters]
    values = values + REST**0.5 * rng.normal(size=values.shape)
    row = summary(means(right(values, ratio, accuracy), clusters, share=True), SETTINGS)
    return np.full(draws, accuracy), row["low"], row["high"]


def right(values: np.ndarray, ratio: float, accuracy: float) -> np.ndarray:
    """1 where a value is high enough for this accuracy on average, else 0."""
    return (values > -norm.ppf(accuracy) * (ratio + 1 + REST) ** 0.5).astype(float)


def one_accuracy(rng: np.random.Generator, networks: int, ratio: float, draws: int) -> Ends:
    return accuracies(rng, networks, ratio, draws, 0.75, 300, False)


def accuracy_difference(rng: np.random.Generator, networks: int, ratio: float, draws: int) -> Ends:
    """Two runs on 300 images, whose parts in the two have a correlation of .8."""
    both = rng.normal(size=(300, draws))
    runs = []
    for accuracy in (0.75, 0.63):
        of_images = 0.8**0.5 * both + 0.2**0.5 * rng.normal(size=both.shape)
        values = ratio**0.5 * rng.normal(size=(networks, 1, draws)) + of_images
        values = values + REST**0.5 * rng.normal(size=values.shape)
        runs.append(means(right(values, ratio, accuracy), np.arange(300), share=True))
    run, reference = runs
    row = difference(run, reference, SETTINGS)
    return np.full(draws, 0.75 - 0.63), row["low"], row["high"]


def curve_centroid(rng: np.random.Generator, networks: int, ratio: float, draws: int) -> Ends:
    return of_curves(rng, networks, ratio, draws, centroid_of, (1.0, 31.0))


def curve_share(rng: np.random.Generator, networks: int, ratio: float, draws: int) -> Ends:
    return of_curves(rng, networks, ratio, draws, share_of, (0.0, 1.0))


def centroid_of(curves: np.ndarray) -> np.ndarray:
    return centroid(curves, SHELLS)


def share_of(curves: np.ndarray) -> np.ndarray:
    return hf_share(curves, SHELLS, 16)


def of_curves(
    rng: np.random.Generator,
    networks: int,
    ratio: float,
    draws: int,
    statistic: Callable[[np.ndarray], np.ndarray],
    bounds: tuple[float, float],
) -> Ends:
    """A statistic of the mean curve over 400 images, in groups whose means are drawn."""
    per_group = 400 / GROUPS
    of_networks = ratio**0.5 * rng.normal(size=(networks, 1, draws, 32))
    parts = of_networks + images_part(rng, networks, (GROUPS, draws, 32)) / per_group**0.5
    estimates = jackknife(
        CURVE + SPREAD * (parts @ ALONG.T),
        lambda network, _: statistic(network.mean(0)),
        np.arange(GROUPS),
        bounds,
    )
    row = summary(estimates, SETTINGS)
    return np.full(draws, true_of_curves(statistic, ratio)), row["low"], row["high"]


def class_shares(rng: np.random.Generator, networks: int, ratio: float, draws: int) -> Ends:
    """Mean over classes of their HF shares, as in reliance.csv: CLASSES classes of IN_CLASS images.

    Every class has the mean curve and images of its own. Half of the networks' variance is the same in all classes, the
    other half is that of a class.
    """
    shape = (GROUPS, draws, CLASSES, 32)
    parts = ratio**0.5 * class_parts(rng, (networks, 1, draws))
    parts = parts + images_part(rng, networks, shape) / (IN_CLASS / GROUPS) ** 0.5
    estimates = jackknife(
        CURVE + SPREAD * (parts @ ALONG.T),
        lambda network, _: np.nanmean(share_of(network.mean(0)), -1),
        np.arange(GROUPS),
        (0.0, 1.0),
    )
    row = summary(estimates, SETTINGS)
    return np.full(draws, true_class_share(ratio)), row["low"], row["high"]


def class_parts(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Networks' parts of the curves of every class, variance 1: (*shape, CLASSES, 32)."""
    common, own = rng.normal(size=(*shape, 1, 32)), rng.normal(size=(*shape, CLASSES, 32))
    return (common + own) / 2**0.5


@cache
def true_class_share(ratio: float) -> float:
    parts = class_parts(np.random.default_rng(2), (20_000 if ratio else 1,)) @ ALONG.T
    return float(np.nanmean(share_of(CURVE + ratio**0.5 * SPREAD * parts)))


@cache
def true_of_curves(statistic: Callable[[np.ndarray], np.ndarray], ratio: float) -> float:
    of_networks = np.random.default_rng(2).normal(size=(200_000 if ratio else 1, 32)) @ ALONG.T
    return float(np.nanmean(statistic(CURVE + ratio**0.5 * SPREAD * of_networks)))


def concordance(rng: np.random.Generator, networks: int, ratio: float, draws: int) -> Ends:
    """Kendall's W of the ranks of the bands by the classes' mean curves, in 16 groups spread over the classes."""
    weights = balanced_weights(np.arange(16))
    shape = (16, draws, CLASSES, BANDS)
    of_networks = ratio**0.5 * rng.normal(size=(networks, 1, *shape[1:]))
    values = CLASS_CURVES + of_networks + images_part(rng, networks, shape) / (IN_CLASS / 16) ** 0.5
    curves = np.einsum("rg,sgdcb->srdcb", weights / 16, values)
    found = kendall_w(np.moveaxis(rankdata(curves, axis=-1), 3, 0))  # (networks, replicates, draws)
    row = summary(balanced(found, CLASSES * IN_CLASS, (0.0, 1.0)), SETTINGS)
    return np.full(draws, true_concordance(ratio)), row["low"], row["high"]


@cache
def true_concordance(ratio: float) -> float:
    noise = np.random.default_rng(2).normal(size=(20_000, CLASSES, BANDS)) * (ratio + (1 + REST) / IN_CLASS) ** 0.5
    return float(kendall_w(np.moveaxis(rankdata(CLASS_CURVES + noise, axis=-1), 1, 0)).mean())


def score(rng: np.random.Generator, networks: int, ratio: float, draws: int) -> Ends:
    """Half the log of an attack's power over noise power in a shell of 15 values, 200 images, 5 draws of noise.

    Every perturbation of every network has noise of its own.
    """
    n_images, spread = 200, 0.5
    attack = np.exp(2 * spread * layout(rng, networks, ratio, (n_images, draws)))
    noise = rng.chisquare(15 * 5, size=attack.shape) / (15 * 5)
    estimates: Estimates = jackknife(
        np.stack([attack, noise], -1),
        lambda pair, _: np.log(pair[..., 0].sum(0) / pair[..., 1].sum(0)) / 2,
        np.arange(n_images) % GROUPS,
    )
    row = summary(estimates, SETTINGS)
    return np.full(draws, spread**2 * (1 + REST)), row["low"], row["high"]


STATISTICS: dict[str, Callable[[np.random.Generator, int, float, int], Ends]] = {
    "accuracy": one_accuracy,
    "difference": accuracy_difference,
    "centroid": curve_centroid,
    "HF share": curve_share,
    "Kendall's W": concordance,
    "score": score,
    "HF share of classes": class_shares,
}


def coverage(draw: Callable[[int], Ends], draws: int) -> float:
    """Share of `draws` simulations whose interval holds the truth; `draw(n)` makes n of them, here 100 at a time."""
    batches = [draw(min(100, draws - start)) for start in range(0, draws, 100)]
    truth, low, high = (np.concatenate(column) for column in zip(*batches, strict=True))
    return float(((low <= truth) & (truth <= high)).mean())


def of_statistic(name: str, networks: int, ratio: float, draws: int) -> float:
    """Coverage of a statistic of STATISTICS."""
    rng = np.random.default_rng([list(STATISTICS).index(name), networks, int(100 * ratio)])
    return coverage(lambda some: STATISTICS[name](rng, networks, ratio, some), draws)


def of_accuracy(accuracy: float, images: int, clustered: bool, networks: int, ratio: float, draws: int) -> float:
    """Coverage of an accuracy."""
    rng = np.random.default_rng([int(100 * accuracy), images, clustered, networks, int(100 * ratio)])
    return coverage(lambda some: accuracies(rng, networks, ratio, some, accuracy, images, clustered), draws)


def layouts() -> Iterator[tuple[int, float]]:
    """Number of networks and ratio of each row or column."""
    return ((networks, ratio) for networks in NETWORKS for ratio in RATIOS)


def print_statistics(draws: int) -> None:
    print(f"| networks | ratio | {' | '.join(STATISTICS)} |")
    print("|---|---|" + "---|" * len(STATISTICS))
    for networks, ratio in layouts():
        row = [f"{of_statistic(name, networks, ratio, draws):.3f}" for name in STATISTICS]
        print(f"| {networks} | {ratio:g} | {' | '.join(row)} |", flush=True)


def print_accuracies(draws: int) -> None:
    columns = [(1, 0.0), *layouts()]
    print("| accuracy | images | " + " | ".join(f"{networks}, {ratio:g}" for networks, ratio in columns) + " |")
    print("|---|---|" + "---|" * len(columns))
    for images, clustered in [*((number, False) for number in IMAGES), (max(IMAGES), True)]:
        for accuracy in ACCURACIES:
            row = [f"{of_accuracy(accuracy, images, clustered, *column, draws):.3f}" for column in columns]
            name = f"{images:,}" + f" in {CLUSTERS} clusters" * clustered
            print(f"| {accuracy:g} | {name} | {' | '.join(row)} |", flush=True)


def main(
    draws: Annotated[int, typer.Option(help="Simulations of each entry; half as many of the accuracies.")] = 4000,
) -> None:
    print_statistics(draws)
    print()
    print_accuracies(draws // 2)


if __name__ == "__main__":
    typer.run(main)

"""How often 95 % intervals hold the truth: `python -m benchmarks.coverage` prints a Markdown table.

Values of a two-way layout: a part of each network, a part of each image (variance 1), and a rest (variance .25), for
100 images; accuracies are 1 where such a value is above -0.5. Compared: the intervals of `statistics.intervals`
and the percentile bootstrap of `statistics.bootstrap`. The standard error of an entry is about .007 at 1,000 draws.
"""

from collections.abc import Callable
from typing import Annotated

import numpy as np
import typer
from scipy.stats import norm

from spectroscope.statistics import bootstrap
from spectroscope.statistics.estimates import StatisticsSettings, jackknife, summary
from spectroscope.statistics.intervals import difference_interval, mean_interval

IMAGES, REST, THRESHOLD = 100, 0.5, -0.5
Draw = Callable[[], np.ndarray]
Covers = Callable[[Draw], bool]


def layout(rng: np.random.Generator, seeds: int, seed_variance: float) -> np.ndarray:
    """Values around 0: (seeds, images)."""
    parts = rng.normal(scale=seed_variance**0.5, size=(seeds, 1)) + rng.normal(size=(1, IMAGES))
    return parts + rng.normal(scale=REST, size=(seeds, IMAGES))


def resampled(values: np.ndarray) -> tuple[float, float]:
    """The percentile bootstrap's interval of a mean."""
    settings = bootstrap.StatisticsSettings(confidence=0.95, resamples=200, seed=int(abs(values[0, 0]) * 1e6))
    drawn = bootstrap.draws(values[:, :, None], bootstrap.everything(IMAGES), settings, 0)
    low, high = bootstrap.interval(drawn[:, 0, 0], settings)
    return float(low), float(high)


def share(values: np.ndarray, _: np.ndarray) -> np.ndarray:
    """A share of sums, as the high-frequency share is: exp of the first half of a pair over exp of both."""
    high, low = np.exp(0.5 * values).sum(0)
    return np.array([high / (high + low)])


def measured(rng: np.random.Generator, seeds: int, variance: float, draws: int) -> list[float]:
    """Coverage of the mean, its bootstrap, the accuracy, the difference of two runs and a share."""
    accuracy = float(norm.cdf(-THRESHOLD / (variance + 1 + REST**2) ** 0.5))
    hits = np.zeros(5)
    groups = np.arange(IMAGES) % 20
    for _ in range(draws):
        a, b = layout(rng, seeds, variance), layout(rng, seeds, variance)
        row = summary(
            jackknife(np.stack([a, b], axis=2), share, groups), StatisticsSettings(confidence=0.95, groups=20)
        )
        pairs = [
            (0.0, *mean_interval(a)[1:]),
            (0.0, *resampled(a)),
            (accuracy, *mean_interval((a > THRESHOLD).astype(float))[1:]),
            (0.0, *difference_interval(a, b)[1:]),
            (0.5, row["low"][0], row["high"][0]),
        ]
        hits += [bottom <= truth <= top for truth, bottom, top in pairs]
    return (hits / draws).tolist()


def main(draws: Annotated[int, typer.Option(help="Repetitions of each row.")] = 1000) -> None:
    print("| networks | variance of networks | mean | accuracy | difference of two runs | share | mean, bootstrap |")
    print("|---|---|---|---|---|---|---|")
    for seeds in (3, 5, 10):
        for variance in (0, 0.05, 1):
            mean, drawn, accuracy, difference, ratio = measured(
                np.random.default_rng([seeds, int(100 * variance)]), seeds, variance, draws
            )
            row = [f"{value:.3f}" for value in (mean, accuracy, difference, ratio, drawn)]
            print(f"| {seeds} | {variance:g} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    typer.run(main)

"""What images tell about their classes in a band, known because it was planted there."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from spectroscope.frequency.partitions import partition
from spectroscope.frequency.spectrum import dct2, idct2
from spectroscope.information import InformationSettings, adcs, class_spectra, magnitudes, probe, probes
from spectroscope.pipeline.io import Images
from spectroscope.statistics.estimates import StatisticsSettings
from spectroscope.statistics.intervals import mean_interval

STATISTICS = StatisticsSettings(confidence=0.95, groups=20)
SETTINGS = InformationSettings(n_train=300, n_test=200, partition="octave", bands=None, penalty=1e-3, steps=40, seed=0)


def planted(n: int, band: int, how: str, seed: int) -> Images:
    """Noise images of three classes that differ in one octave only: by a fixed pattern, or by how strong it is."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    spectrum = torch.randn(n, 1, 16, 16, generator=random)
    inside = partition(16, 16, "octave", None, "dct") == band
    if how == "pattern":
        patterns = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(99))
        spectrum = spectrum + 1.5 * (patterns * inside)[labels][:, None]
    else:
        spectrum = torch.where(inside, spectrum * torch.tensor([1.0, 3.0, 9.0])[labels][:, None, None, None], spectrum)
    return Images(0.5 + 0.02 * idct2(spectrum), labels, ("a", "b", "c"))


@pytest.mark.parametrize(("how", "features", "band"), [("pattern", "signed", 2), ("strength", "magnitude", 4)])
def test_the_probe_finds_the_planted_band_and_no_other(how, features, band):
    train, test = planted(300, band, how, 0), planted(200, band, how, 1)
    table = probes(train, test, SETTINGS, STATISTICS, lambda items, _: items)
    assert list(table)[-4:] == ["mean", "low", "high", "n_images"] and (table["n_images"] == 200).all()
    true = table[(table["features"] == features) & (table["labels"] == "true")].set_index("band")
    assert true.loc[str(band), "mean"] > 0.9
    assert true.loc["all", "mean"] > 0.75
    others = true.drop(index=[str(band), "all"])["mean"]
    assert len(others) == 4 and others.between(0.2, 0.47).all()
    permuted = table[(table["labels"] == "permuted") & ~table["band"].isin([str(band), "all"])]
    assert permuted["mean"].mean() == pytest.approx(1 / 3, abs=0.05)  # without clusters of classes: independent hits
    assert true["coefficients"].tolist() == [256, 1, 3, 12, 48, 192]
    assert (table["low"] <= table["mean"]).all() and (table["mean"] <= table["high"]).all()
    if how == "strength":  # without a pattern, signed coefficients have the same mean in every class
        signed = table[(table["features"] == "signed") & (table["labels"] == "true")].set_index("band")
        assert signed.loc[str(band), "mean"] < 0.5


def test_the_probe_is_the_minimum_scipy_finds():
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 4, generator=random, dtype=torch.float64), torch.arange(60) % 3
    x[:, 0] += y
    scaled = ((x - x.mean(0)) / x.std(0)).numpy()

    def loss(flat: np.ndarray) -> float:
        logits = scaled @ flat[:12].reshape(4, 3) + flat[12:]
        top = logits.max(1)
        log_sum = top + np.log(np.exp(logits - top[:, None]).sum(1))
        return (log_sum - logits[np.arange(60), y]).mean() + 0.01 * (flat[:12] ** 2).sum()

    best = minimize(loss, np.zeros(15), method="BFGS", tol=1e-9).x
    points = torch.randn(500, 4, generator=random, dtype=torch.float64) * 2
    expected = ((points - x.mean(0)) / x.std(0)).numpy() @ best[:12].reshape(4, 3) + best[12:]
    predicted = probe(x, y, points, 3, 0.01, 200).numpy()
    assert (predicted == expected.argmax(1)).mean() > 0.995


def test_adcs_counts_the_classes_that_are_weaker_less_those_that_are_stronger():
    spectra = torch.tensor([3.0, 1.0, 1.0, 2.0])[:, None, None].expand(4, 2, 3).clone()
    spectra[:, 0, 0] = torch.tensor([0.0, 1.0, 2.0, 3.0])
    scores = adcs(spectra)
    assert scores[:, 0, 0].tolist() == [-3, -1, 1, 3]
    assert scores[:, 1, 2].tolist() == [3, -2, -2, 1]
    by_hand = [[sum(np.sign(a - b) for b in spectra[:, 0, 1].tolist()) for a in spectra[:, 0, 1].tolist()]]
    assert scores[:, 0, 1].tolist() == by_hand[0]


def test_class_spectra_are_means_of_magnitudes_by_shell():
    images = planted(90, 3, "strength", 0)
    in_colour = images.pixels.repeat(1, 3, 1, 1)
    table = class_spectra(Images(in_colour, images.labels, images.classes), STATISTICS)
    assert list(table) == ["class", "statistic", "shell", "mean", "low", "high", "n_images"]
    assert (table["n_images"] == 30).all()
    index = partition(16, 16, "linf", None, "dct")
    of_b = dct2(images.pixels[images.labels == 1, 0]).abs()
    rows = table[(table["class"] == "b") & (table["statistic"] == "magnitude")]
    for shell in (0, 6, 15):
        expected = mean_interval(of_b[:, index == shell].mean(1).double().numpy())
        assert rows[["mean", "low", "high"]].iloc[shell].tolist() == pytest.approx(expected, rel=1e-5)
    own = table[(table["statistic"] == "adcs") & table["shell"].between(4, 7)].groupby("class")["mean"].mean()
    assert own.tolist() == pytest.approx([-2, 0, 2], abs=0.2)
    scores = table[table["statistic"] == "adcs"]
    assert scores["mean"].between(-2, 2).all() and scores[["low", "high"]].isna().all().all()
    torch.testing.assert_close(magnitudes(in_colour), magnitudes(images.pixels))


def test_images_of_one_cluster_are_not_counted_as_independent():
    images = planted(90, 3, "strength", 0)
    clusters = images.clusters // 12  # four images of each class to a cluster

    def rows(images: Images) -> list[float]:
        train = class_spectra(images, STATISTICS).query("statistic == 'magnitude'")
        test = probes(images.head(60), images, SETTINGS, STATISTICS, lambda items, _: items[:1])
        return [*train.iloc[20][["low", "high"]], *test.iloc[0][["low", "high"]]]

    one = images.labels == 1
    clustered = rows(Images(images.pixels, images.labels, images.classes, clusters))
    by_hand = dct2(images.pixels[one, 0]).abs()[:, partition(16, 16, "linf", None, "dct") == 4].mean(1).double().numpy()
    expected = mean_interval(by_hand, clusters=clusters[one].numpy())
    assert clustered[:2] == pytest.approx([expected.low, expected.high], rel=1e-5)
    assert (np.abs(np.subtract(clustered, rows(images))) > 1e-4).all()


def test_a_class_of_one_cluster_has_means_without_an_interval():
    images = planted(30, 2, "pattern", 0)
    clusters = torch.where(images.labels == 1, 100, images.clusters)
    table = class_spectra(Images(images.pixels, images.labels, images.classes, clusters), STATISTICS)
    rows = table[table["statistic"] == "magnitude"].groupby("class")
    assert rows["mean"].count().tolist() == [16, 16, 16] and rows["low"].count().tolist() == [16, 0, 16]


def test_a_class_without_images_is_named():
    images = planted(30, 2, "pattern", 0)
    with pytest.raises(ValueError, match="expected images of every class, got none of d"):
        class_spectra(Images(images.pixels, images.labels, ("a", "b", "c", "d")), STATISTICS)

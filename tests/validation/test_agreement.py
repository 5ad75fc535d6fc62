"""Kendall's W and rank correlations against scipy and numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import friedmanchisquare, rankdata, spearmanr

from spectroscope.statistics.bootstrap import StatisticsSettings
from spectroscope.validation import agreement

SETTINGS = StatisticsSettings(confidence=0.9, resamples=100, seed=0)


def values(curves, seeds=2, classes=2, n=4):
    """A table of values: curves (method, seed, label) -> bands; every image has the curve of its class."""
    rows = []
    for method in ("a", "b"):
        for seed in range(seeds):
            for image in range(n):
                label = image % classes
                bands = {f"band_{k}": value for k, value in enumerate(curves(method, seed, label))}
                rows.append({"method": method, "seed": seed, "image": image, "label": label, **bands})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("levels", [1000, 4])  # without ties, and with many
def test_kendalls_w_is_friedmans_statistic_over_its_most(levels):

    scores = np.random.default_rng(1).integers(0, levels, (5, 7))
    expected = friedmanchisquare(*scores.T).statistic / (5 * 6)  # chi^2 = m (n - 1) W, ties corrected in both
    assert agreement.kendall_w(rankdata(scores, axis=-1)) == pytest.approx(expected, rel=1e-12)


def test_kendalls_w_of_a_textbook_example():
    judges = np.array([[1, 6, 3, 2, 5, 4], [1, 5, 6, 2, 4, 3], [6, 3, 2, 5, 4, 1.0]])
    assert agreement.kendall_w(judges) == pytest.approx(12 * 33.5 / (9 * 210))  # rank sums 8 14 11 9 13 8
    assert agreement.kendall_w(np.stack([judges[0]] * 4)) == pytest.approx(1)
    assert np.isnan(agreement.kendall_w(np.ones((3, 4))))


def test_kendalls_w_of_two_rankings_follows_from_spearmans_rho():
    one, other = (np.random.default_rng(seed).permutation(7) + 1 for seed in (1, 2))
    rho = spearmanr(one, other).statistic
    assert agreement.kendall_w(np.stack([one, other])) == pytest.approx((rho + 1) / 2)


def test_agreement_is_spearmans_rho():
    table = values(lambda method, seed, label: [9, 1, 2, 3] if method == "a" else [0, 3, 1, 2])
    found = agreement.pairwise("standard", 0, table, SETTINGS).set_index(["method", "other"])["mean"]
    rho = spearmanr([1, 2, 3], [3, 1, 2]).statistic
    assert found["a", "b"] == pytest.approx(rho)
    assert list(found.index) == [("a", "b")]


def test_each_kind_of_rater_has_its_w():
    def curve(method, seed, label):
        if method == "a":
            return [9, 1, 2, 3]
        return [0, 3, 1, 2] if seed == label == 1 else [0, 1, 2, 3]  # a seed and a class that stand out

    tables = {"standard": values(curve), "other": values(lambda *_: [9, 3, 2, 1])}
    found = agreement.concordance(tables, SETTINGS).set_index(["run", "method", "across"])
    w = found["mean"]
    other = (spearmanr([1, 2, 3], [3, 1, 2]).statistic + 1) / 2
    assert w["standard", "a", "seeds"] == w["standard", "a", "classes"] == pytest.approx(1)
    assert w["standard", "b", "seeds"] == pytest.approx((1 + other) / 2)  # of the two classes
    mean = [0, 2, 1.5, 2.5]  # of class 1 over its seeds
    expected = (spearmanr([1, 2, 3], mean[1:]).statistic + 1) / 2
    assert w["standard", "b", "classes"] == pytest.approx(expected)
    assert w["standard", "all", "measures"] == pytest.approx((1 + expected) / 2)
    assert w["all", "a", "runs"] == pytest.approx(0)  # one ranks the other way round
    assert w["other", "all", "measures"] == pytest.approx(1)
    assert (found["raters"] == 2).all() and (found["n_images"] == 4).all() and (found["n_seeds"] == 2).all()
    assert (found["low"] <= found["mean"] + 1e-12).all() and (found["mean"] <= found["high"] + 1e-12).all()


def test_what_is_alone_of_its_kind_has_no_w():
    table = values(lambda *_: [9, 1, 2, 3], seeds=1, classes=1)
    found = agreement.concordance({"standard": table}, SETTINGS)
    assert set(found["across"]) == {"measures"}
    assert agreement.pairwise("standard", 0, table[table["method"] == "a"], SETTINGS).empty

"""Kendall's W and rank correlations against scipy and numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import friedmanchisquare, rankdata, spearmanr
from validation_cases import CLUSTERS, assert_points_lie_in_their_intervals

from spectroscope.statistics.cells import CELLS
from spectroscope.statistics.estimates import SUMMARY, StatisticsSettings
from spectroscope.validation import agreement

SETTINGS = StatisticsSettings(confidence=0.9, groups=20)


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
    found = agreement.pairwise("standard", table, CLUSTERS, SETTINGS)
    assert list(found) == ["method", "other", "run", *SUMMARY]
    rho = spearmanr([1, 2, 3], [3, 1, 2]).statistic
    assert found.set_index(["method", "other"])["mean"].to_dict() == {("a", "b"): pytest.approx(rho)}


def test_rankings_of_two_networks_are_not_pooled():
    curves = {0: [0, 1, 2, 3], 1: [0, 90, 50, 10]}  # the second outweighs the first in a pooled curve
    table = values(lambda method, seed, label: [0, 1, 2, 3] if method == "a" else curves[seed])
    (row,) = agreement.pairwise("standard", table, CLUSTERS, SETTINGS).itertuples()
    assert row.mean == pytest.approx(0) and row.networks == "1 -1"


def test_each_kind_of_rater_has_its_w():
    def curve(method, seed, label):
        if method == "a":
            return [9, 1, 2, 3]
        return [0, 3, 1, 2] if seed == label == 1 else [0, 1, 2, 3]  # a seed and a class that stand out

    tables = {"standard": values(curve), "other": values(lambda *_: [9, 3, 2, 1])}
    found = agreement.concordance(tables, CLUSTERS, SETTINGS).set_index(["run", "method", "across"])
    w = found["mean"]
    other = (spearmanr([1, 2, 3], [3, 1, 2]).statistic + 1) / 2
    assert w["standard", "a", "seeds"] == w["standard", "a", "classes"] == pytest.approx(1)
    assert w["standard", "b", "seeds"] == pytest.approx((1 + other) / 2)  # of the two classes
    assert w["standard", "b", "classes"] == pytest.approx((1 + other) / 2)  # of the two networks
    assert w["standard", "all", "methods"] == pytest.approx((3 + other) / 4)  # of two classes of two networks
    assert w["all", "a", "runs"] == pytest.approx(0)  # one ranks the other way round
    assert w["other", "all", "methods"] == pytest.approx(1)
    assert (found["raters"] == 2).all() and (found["n_images"] == 4).all() and (found["n_seeds"] == 2).all()
    assert found["low"].isna().all()  # two networks have no interval, and the curves of a class are all alike


def noisy(n_seeds, n=12, classes=2):
    """Two methods, bands with noise: rankings that are neither all alike nor independent."""
    rng = np.random.default_rng(n_seeds)
    table = values(lambda method, seed, label: [9, 1, 2, 3], n_seeds, classes, n)
    names = [f"band_{k}" for k in range(4)]
    table[names] += rng.normal(size=(len(table), 4))
    return table


def test_every_w_and_every_rho_lies_in_its_interval():
    tables = {"one": noisy(3), "other": noisy(4)}
    found = [agreement.concordance(tables, CLUSTERS, SETTINGS)]
    found += [agreement.pairwise(run, table, CLUSTERS, SETTINGS) for run, table in tables.items()]
    for table in found:
        assert_points_lie_in_their_intervals(table)
        there = table.dropna(subset=["low"])  # a W that no weight of images moves has none
        assert len(there) >= len(table) - 1 and (there["low"] < there["high"]).all()
        least = 0 if "across" in table else -1  # no W below 0, no rank correlation below -1
        assert (there["low"] >= least).all() and (there["high"] <= 1).all()


def test_runs_with_other_numbers_of_networks_are_compared_as_far_as_both_go():
    tables = {"one": noisy(3), "other": noisy(5)}
    found = agreement.concordance(tables, CLUSTERS, SETTINGS).set_index(["run", "method", "across"])
    shortened = {"one": tables["one"], "other": tables["other"][tables["other"]["seed"] < 3]}
    expected = agreement.concordance(shortened, CLUSTERS, SETTINGS).set_index(["run", "method", "across"])
    assert found.loc[("all", "a", "runs"), "mean"] == expected.loc[("all", "a", "runs"), "mean"]
    assert found.loc[("all", "a", "runs"), "n_seeds"] == 3 and found.loc[("other", "a", "seeds"), "n_seeds"] == 5


def test_the_first_networks_of_every_run_are_compared():
    up, down = [9, 1, 2, 3], [9, 3, 2, 1]
    tables = {"one": values(lambda *_: up, seeds=2), "other": values(lambda _, seed, __: [up, up, down][seed], seeds=3)}
    found = agreement.concordance(tables, CLUSTERS, SETTINGS).set_index(["run", "across"]).loc[("all", "runs")]
    assert found["mean"].tolist() == pytest.approx([1, 1]) and found["networks"].tolist() == ["1 1", "1 1"]


def test_what_rests_on_a_class_that_vanishes_has_no_interval():
    table = noisy(3)
    table.loc[table["image"] == 0, "label"] = 2  # one image of its own class
    found = agreement.concordance({"one": table}, CLUSTERS, SETTINGS).set_index("across")
    assert found["mean"].notna().all()
    assert found["low"].isna().all() and found["high"].isna().all()
    paired = agreement.pairwise("one", table, CLUSTERS, SETTINGS)
    assert paired["mean"].notna().all() and paired["low"].isna().all()


def test_a_class_whose_bands_are_tied_is_left_out():
    table = noisy(3)
    table.loc[(table["method"] == "b") & (table["label"] == 1), ["band_1", "band_2", "band_3"]] = 0.0
    found, first = (agreement.pairwise("one", rows, CLUSTERS, SETTINGS) for rows in (table, table[table["label"] == 0]))
    assert found["mean"].tolist() == pytest.approx(first["mean"].tolist()) and found["low"].notna().all()


def test_what_is_alone_of_its_kind_has_no_w():
    table = values(lambda *_: [9, 1, 2, 3], seeds=1, classes=1)
    found = agreement.concordance({"standard": table}, CLUSTERS, SETTINGS)
    assert set(found["across"]) == {"methods"}
    assert agreement.pairwise("standard", table[table["method"] == "a"], CLUSTERS, SETTINGS).empty


def test_rankings_at_random_agree_by_one_over_their_number_and_estimates_know_their_groups():
    rng = np.random.default_rng(0)
    orders = rng.random((9, 2000, 8)).argsort(-1)
    assert agreement.kendall_w(orders).mean() == pytest.approx(1 / 9, abs=0.002)  # 2,000 draws: deviation .0008
    cells = agreement.concordance({"one": noisy(3, n=40)}, CLUSTERS, SETTINGS)[CELLS]
    assert all(np.array_equal(each.groups, cells[0].groups) for each in cells) and len(cells[0].groups) == 16


def test_a_class_whose_groups_fold_into_one_has_no_interval():
    table = noisy(3, n=10, classes=1)
    table["label"] = table["image"].map(lambda image: 0 if image < 4 else 1 if image < 6 else 2)
    five = StatisticsSettings(confidence=0.9, groups=5)  # four when folded: the first and the last become one
    found = agreement.pairwise("one", table, CLUSTERS, five)
    assert found["mean"].notna().all() and found["low"].isna().all()

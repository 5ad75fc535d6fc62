"""Tables of strength that are small enough to work out by hand."""

import numpy as np
import pandas as pd
import pytest
from attack_outcomes import ALL, HALF, SETTINGS, attack, cells
from scipy import stats

from spectroscope.attack_checks import strength


def test_success_counts_among_the_images_that_were_right():
    rows = attack("pgd", [[1, 0, 0, 1], [0, 0, 0, 1]], right=[[1, 1, 0, 0], [1, 1, 0, 1]])
    table = strength.success_table(cells([rows], ("pgd", "white box", "linf", 0.1)), SETTINGS)
    columns = ["run", "attack", "kind", "norm", "eps", "l2", "linf", "queries", *strength.MEDIAN_NORM]
    assert list(table) == [*columns, "clean", "n_attacked", *strength.SUMMARY, "cells"]
    assert table["mean"].tolist() == [pytest.approx((1 / 2 + 1 / 3) / 2)]  # network by network: not 2 of 5
    assert table["networks"].tolist() == ["0.5 0.3333"]
    assert table["n_images"].tolist() == [3] and table["n_seeds"].tolist() == [2]
    assert table["queries"].tolist() == [5] and table["linf"].tolist() == [0.1]


def test_clean_accuracy_is_that_of_the_images_the_attack_ran_on():
    right = [[1, 1, 0, 0], [1, 1, 0, 1]]
    table = strength.success_table(cells([attack("pgd", right, right=right)], ("pgd", "white box", "l2", 1)), SETTINGS)
    assert table["clean"].tolist() == [pytest.approx(5 / 8)] and table["n_attacked"].tolist() == [4]
    assert table["n_images"].tolist() == [3] and table["mean"].tolist() == [1]


def test_an_interval_is_one_over_three_networks_over_images_for_one_and_none_for_two():
    fooled = np.random.default_rng(0).random((3, 40)) < 0.4
    for n, there in ((1, True), (2, False), (3, True)):
        rows = [attack("pgd", fooled[:n])]
        (row,) = strength.success_table(cells(rows, ("pgd", "white box", "linf", 0.1)), SETTINGS).to_dict("records")
        assert np.isfinite([row["low"], row["high"]]).all() == there and row["n_seeds"] == n


# ---- median norms


UNBOUNDED = ("cw", "white box", None, None)


def medians(fooled, l2, cell=UNBOUNDED, right=None):
    table = strength.success_table(cells([attack("cw", fooled, l2=l2, right=right)], cell), SETTINGS)
    return table[strength.MEDIAN_NORM].iloc[0].to_numpy(float)


def test_the_median_norm_counts_failures_as_infinite():
    l2 = np.arange(1.0, 10)  # of nine images; the attack fails on the third
    fooled = np.ones((1, 9))
    fooled[0, 2] = 0
    assert medians(fooled, l2)[0] == 6  # 1 2 4 5 [6] 7 8 9 inf; the median of the successes is 5.5
    assert medians(np.repeat(fooled, 2, 0), np.stack([l2, 3 * l2]))[0] == 12  # network by network
    assert medians(fooled, l2, right=np.array([l2 != 1]))[0] == 6.5  # an image that was wrong before does not count


def test_the_median_norm_is_missing_in_a_ball_and_where_half_of_the_images_of_a_network_resist():
    half = np.tile([1, 0], (1, 8))
    assert np.isnan(medians(half, 1.0)).all()
    assert np.isnan(medians(np.concatenate([np.ones((1, 16)), half]), 1.0)).all()
    assert np.isnan(medians(np.ones((1, 16)), 1.0, ("cw", "white box", "l2", 2.0))).all()


def test_the_interval_of_the_median_norm_is_that_of_leaving_out_each_of_sqrt_n_groups():
    l2 = np.random.default_rng(1).permutation(np.arange(1.0, 17) ** 2)
    median, low, high = medians(np.ones((1, 16)), l2)
    without = np.array([np.median(np.delete(l2, slice(group, None, 4))) for group in range(4)])  # one class: in turn
    pseudo = 4 * np.median(l2) - 3 * without
    half = stats.t.ppf(0.95, 3) * pseudo.std(ddof=1) / 2
    assert median == np.median(l2) and half > 0
    factor = np.exp(half / median)  # a norm is positive: symmetric on the logarithmic scale
    assert (low, high) == (pytest.approx(median / factor), pytest.approx(median * factor))


def test_where_a_group_carries_the_median_it_has_no_interval():
    fooled = np.ones((1, 9))
    fooled[0, :4] = 0
    median, low, high = medians(fooled, np.arange(9.0))
    assert median == 8 and np.isnan([low, high]).all()


def test_images_of_one_cluster_have_a_median_norm_without_an_interval():
    (cell,) = cells([attack("cw", np.ones((1, 9)), l2=np.arange(1.0, 10))], UNBOUNDED)
    found = strength.median_norm(cell._replace(clusters=np.zeros(9, int)), SETTINGS)
    assert found["median_l2"] == 5 and np.isnan([found["median_l2_low"], found["median_l2_high"]]).all()


def test_the_query_curve_rises_where_the_successes_come():
    rows = [attack("square", HALF, first=3), attack("pgd", ALL)]
    study = cells(rows, ("square", "black box", "linf", 0.1), ("pgd", "white box", "linf", 0.1))
    table = strength.query_table(study, SETTINGS)
    assert set(table["attack"]) == {"square"} and list(table)[3:] == strength.SUMMARY
    assert table["queries"].iloc[0] == 1 and table["queries"].iloc[-1] == 20
    assert (table["mean"] == np.where(table["queries"] < 3, 0, 0.5)).all()


def test_confined_attacks_are_compared_at_one_l2_norm():
    low, high = 1.0, 1.001  # the larger norm does not count, and a rounding error does not make a norm larger
    rows = [attack("c low", ALL, l2=low), attack("c high", ALL, l2=high * (1 + 5e-6))]
    sizes = {"low": 16, "high": 48}
    drops = [
        {"run": "a", "entry": "c", "variant": band, "coefficients": size, "relied": drop}
        for band, size in sizes.items()
        for drop in (0.1, 0.3)
    ]
    for norm, eps, expected in (
        ("linf", 0.1, [["low", 16, 1, 0.2, 1], ["high", 48, 1, 0.2, 0]]),
        (None, None, [["low", 16, 1, 0.2, 1], ["high", 48, 1, 0.2, 0]]),
        ("l2", high, [["low", 16, high, 0.2, 1], ["high", 48, high, 0.2, 1]]),
    ):
        study = cells(rows, *((name, "confined", norm, eps) for name in ("c low", "c high")))
        table = strength.confined_table(study, pd.DataFrame(drops), SETTINGS)
        assert list(table) == [
            "run",
            "entry",
            "band",
            "coefficients",
            "norm",
            "l2",
            "relied",
            *strength.SUMMARY,
            "cells",
        ]
        assert table[["band", "coefficients", "l2", "relied", "mean"]].to_numpy().tolist() == expected

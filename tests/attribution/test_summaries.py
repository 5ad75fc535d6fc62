"""Summaries of curves: by hand, and the published ones of the curves read off Wang et al.'s Fig. 1."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spectroscope.attribution.shell_bands import single
from spectroscope.attribution.summaries import (
    centroid,
    centroid_abs,
    hf_share,
    negative_share,
)
from spectroscope.attribution.summaries import class_shares as shares_of
from spectroscope.attribution.summaries import shell_summaries as summaries_of

TABLE = {  # model: DC, sum k = 2..8, sum 9..16, sum 17..31, centroid in k, share of k >= 17
    "nat": ("5.30", "1.62", "2.33", "4.39", "16.8", "0.50"),  # centroid 16.846
    "l2_0.25": ("6.64", "4.58", "3.04", "1.54", "10.0", "0.16"),
    "l2_0.5": ("6.51", "5.57", "2.66", "1.07", "8.6", "0.11"),
}
SUMS = ("dc", "low_sum", "mid_sum", "high_sum")


def shell_summaries(curves, hf_from):
    """With the share of every class that has one; every shell is a band."""
    return summaries_of(curves, single(curves.shape[-1]), hf_from, np.ones(curves.shape[-2], bool))


def class_shares(curves, hf_from):
    return shares_of(curves, single(curves.shape[-1]), hf_from)


@pytest.fixture(scope="module")
def paper():
    """Class curves of each model, k = 1..31: (10, 31)."""
    rows = pd.read_csv(Path(__file__).parents[1] / "data" / "paper_fig1.csv")
    rows = rows[rows["k"] > 0]
    pivots = {
        model: part.pivot(index="class", columns="k", values="avg_logit_attribution")
        for model, part in rows.groupby("model")
    }
    return {model: pivot.to_numpy() for model, pivot in pivots.items()}


@pytest.mark.parametrize("model", TABLE)
def test_the_summary_of_the_papers_curves_is_the_published_one(paper, model):
    curves = paper[model]
    assert curves.shape == (10, 31)
    summary = shell_summaries(curves, 0.5)
    sums = [f"{summary[name]:.2f}" for name in SUMS]
    centroid_k = summary["centroid"] + 1  # the paper counts k = shell + 1
    assert (*sums, f"{centroid_k:.1f}", f"{summary['hf_share']:.2f}") == TABLE[model]


def test_the_papers_linf_curves_are_its_l2_curves(paper):
    np.testing.assert_array_equal(paper["linf_8"], paper["l2_0.5"])


def test_natural_has_more_high_and_robust_more_low_mass(paper):
    by_class = {
        model: shell_summaries(curves[:, None], 0.5) for model, curves in paper.items()
    }  # a stack of ten single classes
    natural, robust = by_class["nat"], by_class["l2_0.5"]
    assert (natural["high_sum"] > robust["high_sum"]).sum() == 9
    assert (robust["low_sum"] > natural["low_sum"]).sum() == 10


def test_the_sums_add_up_to_the_whole_curve(paper):
    for hf_from in (0.01, 0.3, 0.5, 0.77, 0.99):
        for curves in (paper["nat"], paper["nat"][:, :7], paper["nat"][:, :1]):
            np.testing.assert_allclose(
                sum(shell_summaries(curves, hf_from)[name] for name in SUMS), curves.mean(0).sum(), rtol=1e-12
            )


def test_high_frequencies_begin_where_the_fraction_says():
    for shells_, hf_from, first in [(32, 0.5, 16), (31, 0.5, 16), (20, 0.55, 11), (25, 0.28, 7), (10, 0.31, 4)]:
        curves = np.zeros((1, shells_))
        curves[0, first:] = 1.0
        summary = shell_summaries(curves, hf_from)
        assert summary["hf_share"] == 1.0 and summary["high_sum"] == shells_ - first
        curves[0, first - 1] = 1.0
        summary = shell_summaries(curves, hf_from)
        assert summary["hf_share"] < 1.0 and summary["high_sum"] == shells_ - first


def test_summaries_by_hand_leave_negative_parts_and_dc_out():
    curves = np.array([[9.0, 1.0, -2.0, 3.0], [9.0, 3.0, 0.0, 1.0]])  # mean 9, 2, -1, 2; shells 0..3
    assert shell_summaries(curves, 0.5) == {
        "centroid": pytest.approx((1 * 2 + 3 * 2) / 4),
        "centroid_abs": pytest.approx((1 * 2 + 2 * 1 + 3 * 2) / 5),
        "negative_share": pytest.approx(1 / 5),
        "hf_share": pytest.approx((3 / 4 + 1 / 4) / 2),
        "class_negative": pytest.approx((2 / 6 + 0) / 2),
        **{"dc": 9.0, "low_sum": 0.0, "mid_sum": 2.0, "high_sum": 1.0},
    }
    assert np.isfinite(class_shares(curves, 0.5)).all()
    only_second = summaries_of(curves, single(4), 0.5, np.array([False, True]))
    assert only_second["hf_share"] == pytest.approx(1 / 4)
    assert only_second["centroid"] == pytest.approx((1 * 2 + 3 * 2) / 4)  # of all classes


def test_a_band_of_several_shells_counts_at_its_mean_shell():
    curves, every = np.array([[9.0, 2.0, 1.0, 1.0], [9.0, 2.0, -1.0, 3.0]]), np.array([True, True])  # mean 9, 2, 0, 2
    edges = np.array([[0, 0], [1, 2], [3, 6], [7, 7]])  # at 0, 1.5, 4.5 and 7 of 8 shells; high from 4 on, low below 2
    assert summaries_of(curves, edges, 0.5, every) == {
        "centroid": pytest.approx((1.5 * 2 + 7 * 2) / 4),
        "centroid_abs": pytest.approx((1.5 * 2 + 7 * 2) / 4),
        "negative_share": 0.0,
        "hf_share": pytest.approx((2 / 4 + 3 / 5) / 2),
        "class_negative": pytest.approx((0 + 1 / 6) / 2),
        **{"dc": 9.0, "low_sum": 2.0, "mid_sum": 0.0, "high_sum": 2.0},
    }
    assert summaries_of(curves, edges, 0.6, every)["mid_sum"] == 0.0  # high from 5 on: 4.5 is a middle shell
    assert shares_of(curves, edges, 0.6).tolist() == pytest.approx([1 / 4, 3 / 5])


def test_a_class_with_nothing_positive_has_no_share_and_is_counted():
    curves = np.array([[5.0, 1.0, 1.0, 2.0], [5.0, -1.0, 0.0, -2.0], [np.nan] * 4])
    assert shell_summaries(curves, 0.5)["hf_share"] == pytest.approx(3 / 4)
    assert np.isnan(class_shares(curves, 0.5)).tolist() == [False, True, True]
    assert shell_summaries(curves, 0.5)["centroid"] == pytest.approx(2.0)  # mean 5, 0, .5, 0


def test_a_network_with_nothing_positive_has_no_share_and_no_centroid():
    for curves in (np.array([[5.0, -1.0, 0.0, -2.0]] * 2), np.full((2, 4), np.nan)):
        summary = shell_summaries(curves, 0.5)
        assert np.isnan(summary["hf_share"]) and np.isnan(summary["centroid"])
        assert np.isnan(class_shares(curves, 0.5)).all()


def test_a_stack_of_draws_is_summarised_as_each_draw_alone():
    curves = np.random.default_rng(0).normal(size=(6, 3, 8))
    curves[2, 1], curves[4] = np.nan, -1.0
    summaries = [shell_summaries(drawn, 0.5) for drawn in curves]
    for name, values in shell_summaries(curves, 0.5).items():
        np.testing.assert_allclose(values, [summary[name] for summary in summaries], rtol=1e-12)
    np.testing.assert_allclose(class_shares(curves, 0.5), [class_shares(drawn, 0.5) for drawn in curves], rtol=1e-12)


def test_the_summaries_of_a_curve_are_those_worked_out_by_hand():
    curve, position = np.array([5.0, 1.0, 3.0, -1.0]), np.array([0, 0.2, 0.6, 0.9])
    assert hf_share(curve, position, 0.5) == pytest.approx(3 / 4)
    assert centroid(curve, position) == pytest.approx((0.2 * 1 + 0.6 * 3) / 4)
    assert hf_share(-curve, position, 0.5) == 1.0  # only the last band is then positive
    assert np.isnan(centroid(np.array([5.0, -1, 0, -2]), position))
    assert centroid_abs(curve, position) == pytest.approx((0.2 * 1 + 0.6 * 3 + 0.9 * 1) / 5)
    assert negative_share(curve) == pytest.approx(1 / 5)
    assert negative_share(np.array([-5.0, 1, 2])) == 0 and np.isnan(negative_share(np.array([1.0, 0, 0])))

"""Class curves and their summaries, worked out by hand; what is compared, left out and marked."""

import numpy as np
import pandas as pd
import pytest
from findings_cases import CLASSES, SETTINGS, attribution

from spectroscope.findings import reliance
from spectroscope.pipeline import io
from spectroscope.pipeline.arrays import Labels
from spectroscope.statistics.estimates import SUMMARY

CURVES = {0: [5.0, 1.0, 0.0, 3.0], 2: [3.0, 2.0, 2.0, -1.0]}  # mean 4, 1.5, 1, 1; shells 0..3
SCORES = ("margin", "probability", "logit")


def losses(drops: pd.DataFrame, band: str = "high", lost: float = 0.25, right_after: bool = False) -> pd.DataFrame:
    """A table as of `band_loss.band_losses`, of the images of a table of drops."""
    front = drops[["seed", "image", "label", "right"]].drop_duplicates()
    cell = {"band": band, "change": "without", "right_after": right_after, "lost": lost, "energy": 0.1}
    return front.assign(**cell)


@pytest.fixture
def of_runs(tmp_path):
    """`reliance.of_runs` of drops by run, or by (run, score): the same by every score if it is not given."""

    def compute(drops, classes=CLASSES, images="all", at_chance=(), clusters=None, without=None):
        folders = {}
        for run, of_run in drops.items():
            by_score = of_run if isinstance(of_run, dict) else dict.fromkeys(SCORES, of_run)
            table = pd.concat(rows.assign(score=score) for score, rows in by_score.items())
            folders[run] = tmp_path / run
            io.write_table(folders[run] / "occluded_frequency.parquet", table)
            io.write_table(folders[run] / "band_loss.parquet", losses(table) if without is None else without)
        n = 1 + int(table["image"].max())
        clusters = np.arange(n) if clusters is None else np.array(clusters)
        test = Labels(np.zeros(n, np.int64), clusters, tuple(classes))
        return reliance.of_runs(folders, test, images, 0.5, list(at_chance), SETTINGS)

    return compute


def by_name(table: pd.DataFrame, run: str, score: str) -> pd.DataFrame:
    return table[(table["run"] == run) & (table["score"] == score)].set_index("statistic")


def test_curves_are_means_of_each_class(of_runs):
    _, tables = of_runs({"standard": attribution(CURVES, seeds=3)})
    shells = tables["occluded_frequency"]
    assert list(shells) == ["run", "score", "shell", "at_chance", *SUMMARY]
    for _, rows in shells.groupby("score"):
        np.testing.assert_allclose(rows["mean"], [4.0, 1.5, 1.0, 1.0])
        assert rows["shell"].tolist() == [0, 1, 2, 3]
    assert (shells["n_images"] == 6).all() and (shells["n_seeds"] == 3).all() and not shells["at_chance"].any()

    by_class = tables["class_occluded_frequency"]
    assert list(by_class) == ["run", "score", "class", "shell", *SUMMARY]
    for _, rows in by_class.groupby("score"):
        assert rows["class"].tolist() == 4 * ["brick"] + 4 * ["moon"]  # no image is grass
        np.testing.assert_allclose(rows["mean"], CURVES[0] + CURVES[2])
        assert rows[["low", "high"]].isna().all(axis=None)  # equal values are no certainty
    assert (by_class["n_images"] == 3).all()


def test_statistics_are_those_worked_out_by_hand(of_runs):
    findings, tables = of_runs({"standard": attribution(CURVES)})
    table = tables["reliance"]
    assert list(table) == ["run", "score", "statistic", "marked", "n_missing", *SUMMARY, "cells"]
    shape = {"centroid": 6.5 / 3.5, "centroid_abs": 6.5 / 3.5, "hf_share": (3 / 4 + 2 / 4) / 2, "negative_share": 0.0}
    shape["class_negative"] = (0 + 1 / 5) / 2
    amounts = {"dc": 4.0, "low_sum": 0.0, "mid_sum": 1.5, "high_sum": 2.0, "negative_share": 0.0}
    for score, expected in {"margin": shape, "probability": amounts, "logit": shape}.items():
        assert by_name(table, "standard", score)["mean"].to_dict() == pytest.approx(expected), score
    assert not table["marked"].any()
    assert (table["n_missing"] == table["statistic"].isin(["hf_share", "class_negative"])).all()  # grass
    named = ["centroid by margin", "hf_share by margin"]
    named += [f"{name} by probability" for name in ("dc", "low_sum", "mid_sum", "high_sum")]
    assert [finding.statistic for finding in findings] == [*named, "centroid by logit", "hf_share by logit"]
    assert findings[0].estimates.by_network.tolist() == [[pytest.approx(6.5 / 3.5)]] * 2
    assert [finding.n_missing for finding in findings] == [0, 1, 0, 0, 0, 0, 0, 1]


def test_bands_of_several_shells_stand_at_their_mean_shell(of_runs):
    names = {"shell_1": "shell_1-2", "shell_2": "shell_3-6", "shell_3": "shell_7"}  # high from shell 4 of 8 on
    findings, tables = of_runs({"standard": attribution(CURVES).rename(columns=names)})
    for name in ("occluded_frequency", "class_occluded_frequency"):
        assert tables[name]["shell"].unique().tolist() == [0, 1.5, 4.5, 7]
    found = by_name(tables["reliance"], "standard", "margin")["mean"]
    assert found["centroid"] == pytest.approx((1.5 * 1.5 + 4.5 + 7) / 3.5)
    assert found["hf_share"] == pytest.approx((3 / 4 + 2 / 4) / 2)
    sums = by_name(tables["reliance"], "standard", "probability")["mean"]
    assert sums[["dc", "low_sum", "mid_sum", "high_sum"]].tolist() == pytest.approx([4, 1.5, 0, 2])
    assert findings[0].estimates.bounds == (1.5, 7)  # between which a centroid of these bands lies


def test_a_summary_of_copies_of_a_network_is_that_of_one(of_runs):
    one = attribution(CURVES, seeds=1, spread=2.0, per_class=10)
    copies = pd.concat(one.assign(seed=seed) for seed in range(3))
    _, tables = of_runs({"one": one, "copies": copies})
    for name in ("reliance", "occluded_frequency"):
        means = {run: rows["mean"].to_numpy() for run, rows in tables[name].groupby("run")}
        np.testing.assert_allclose(means["one"], means["copies"], rtol=1e-12)


def test_a_centroid_is_taken_of_each_network_and_not_of_their_mean(of_runs):
    first = attribution({0: [1.0, 4.0, -4.0, 0.0]}, seeds=1)
    second = attribution({0: [1.0, -4.0, 4.0, 0.0]}, seeds=1).assign(seed=1)
    third = attribution({0: [1.0, 0.0, 0.0, 1.0]}, seeds=1).assign(seed=2)
    _, tables = of_runs({"standard": pd.concat([first, second, third])})  # their mean has nothing in shells 1 and 2
    row = by_name(tables["reliance"], "standard", "margin").loc["centroid"]
    assert row["mean"] == pytest.approx((1 + 2 + 3) / 3) and row["networks"] == "1 2 3"


def test_more_than_a_tenth_of_negative_mass_marks_the_centre_and_makes_no_finding(of_runs):
    marked, clear = attribution({0: [9.0, 8.0, -1.0]}), attribution({0: [9.0, 9.2, -0.8]})
    findings, tables = of_runs({"marked": marked, "clear": clear}, classes=["brick"])
    rows = {run: by_name(tables["reliance"], run, "margin") for run in ("marked", "clear")}
    assert rows["marked"].loc["negative_share", "mean"] == pytest.approx(1 / 9)
    assert rows["marked"]["marked"].to_dict() == {
        "centroid": True,
        "centroid_abs": False,
        "hf_share": True,
        "negative_share": False,
        "class_negative": False,
    }
    assert rows["marked"].loc["centroid_abs", "mean"] == pytest.approx((1 * 8 + 2 * 1) / 9)
    assert not rows["clear"]["marked"].any()
    of_shape = {finding.run for finding in findings if finding.statistic.startswith(("centroid", "hf_share"))}
    assert of_shape == {"clear"}
    assert {finding.run for finding in findings if finding.statistic == "high_sum by probability"} == {
        "marked",
        "clear",
    }


def test_negative_classes_that_the_mean_curve_hides_mark_the_share(of_runs):
    curves = {0: [9.0, 4.0, -4.0, 1.0], 1: [9.0, -3.0, 6.0, 1.0]}  # mean 9, .5, 1, 1
    _, tables = of_runs({"standard": attribution(curves)}, classes=["brick", "grass"])
    rows = by_name(tables["reliance"], "standard", "margin")
    assert rows.loc["class_negative", "mean"] == pytest.approx((4 / 9 + 3 / 10) / 2)
    assert rows["marked"][["centroid", "hf_share"]].tolist() == [False, True]


def test_a_class_that_a_group_of_images_holds_alone_leaves_no_interval(of_runs):
    table = attribution({0: [9.0, 4.0, 1.0], 1: [9.0, 2.0, 3.0]}, seeds=3, spread=0.1, per_class=12)
    clusters = np.where(table["label"] == 1, 99, table["image"])
    _, tables = of_runs({"standard": table}, classes=["brick", "grass"], clusters=clusters[table["seed"] == 0])
    row = by_name(tables["reliance"], "standard", "margin").loc["centroid"]
    assert np.isfinite(row["mean"]) and np.isnan(row["low"])


def test_an_interval_of_a_share_lies_within_0_and_1(of_runs):
    drops = attribution({0: [5.0, 3.0, 0.1, 0.1], 1: [5.0, 3.0, 0.1, 0.1]}, seeds=3, spread=1.0)
    rows = by_name(of_runs({"standard": drops}, ["a", "b"])[1]["reliance"], "standard", "margin")
    shares = rows.loc[["hf_share", "negative_share"], ["low", "high"]]
    assert shares.notna().all(axis=None) and (shares >= 0).all(axis=None) and (shares <= 1).all(axis=None)
    assert (shares["low"] == 0).any()


def test_a_class_without_a_share_in_one_network_is_left_out_of_all_runs(of_runs):
    whole = attribution({0: [1.0, 1.0, 3.0, 0.0], 1: [1.0, 3.0, 1.0, 0.0], 2: [1.0, 1.0, 1.0, 0.0]}, seeds=3)
    lacking = whole.copy()
    lacking.loc[(lacking["seed"] == 1) & (lacking["label"] == 1), ["shell_1", "shell_2"]] = -0.01
    drops = {"whole": whole, "lacking": {"margin": lacking, "probability": whole, "logit": whole}}
    _, tables = of_runs(drops)
    for run in drops:
        rows = by_name(tables["reliance"], run, "margin")
        assert rows.loc["hf_share", "mean"] == pytest.approx((3 / 4 + 1 / 2) / 2)
        assert rows.loc["hf_share", "n_missing"] == 1 and rows.loc["centroid", "n_missing"] == 0
        rows = by_name(tables["reliance"], run, "logit")
        assert rows.loc["hf_share", "mean"] == pytest.approx((3 / 4 + 1 / 4 + 1 / 2) / 3)
        assert rows.loc["hf_share", "n_missing"] == 0
    assert by_name(tables["reliance"], "whole", "margin").loc["centroid", "mean"] == pytest.approx(1.5)


def test_of_runs_at_chance_only_the_curves_are_reported(of_runs):
    nothing = attribution({0: [1.0, -1.0, -3.0], 1: [1.0, 1.0, 1.0]})
    findings, tables = of_runs(
        {"good": attribution({0: [1.0, 2.0, 2.0], 1: [1.0, 1.0, 1.0]}), "guess": nothing},
        ["a", "b"],
        at_chance=["guess"],
    )
    assert set(tables["reliance"]["run"]) == set(tables["band_loss"]["run"]) == {"good"}
    assert {finding.run for finding in findings} == {"good"}
    curves = tables["occluded_frequency"]
    assert curves.groupby("run")["at_chance"].agg(["all", "any"]).to_numpy().tolist() == [[False] * 2, [True] * 2]
    assert set(tables["class_occluded_frequency"]["run"]) == {"good", "guess"}
    assert (tables["reliance"]["n_missing"] == 0).all()  # a run at chance takes no class from the others

    findings, tables = of_runs({"guess": nothing}, ["a", "b"], at_chance=["guess"])
    assert not findings and tables["reliance"].empty and tables["band_loss"].empty
    assert list(tables["reliance"]) == [*reliance.TABLES["reliance"], *SUMMARY]


def test_images_a_network_gets_wrong_do_not_count_among_the_correct(of_runs):
    table = attribution({0: [4.0, 1.0], 1: [2.0, 5.0]})
    wrong = (table["image"] == 0) | ((table["image"] == 1) & (table["seed"] == 1))
    table.loc[wrong, ["shell_0", "shell_1"]] = 1000.0
    table.loc[wrong, "right"] = False
    _, tables = of_runs({"standard": table}, ["a", "b"], "correct")
    curves = tables["occluded_frequency"].query("score == 'margin'")
    np.testing.assert_allclose(curves["mean"], [3.0, 3.0])
    assert (curves["n_images"] == 5).all()  # image 1 counts for one network, image 0 for none
    assert tables["class_occluded_frequency"].query("score == 'margin'")["n_images"].tolist() == [2, 2, 3, 3]
    _, tables = of_runs({"standard": table}, ["a", "b"], "all")
    assert tables["occluded_frequency"]["mean"].iloc[0] > 100


def test_a_network_that_gets_nothing_right_is_missing_not_an_error(of_runs):
    table = attribution({0: [4.0, 1.0], 1: [2.0, 5.0]}).assign(right=False)
    _, tables = of_runs({"standard": table}, ["a", "b"], "correct")
    assert tables["occluded_frequency"][["mean", "low", "high"]].isna().all(axis=None)
    assert tables["class_occluded_frequency"].empty
    row = by_name(tables["reliance"], "standard", "margin").loc["hf_share"]
    assert np.isnan(row["mean"]) and row["n_images"] == row["n_seeds"] == 0
    assert row["n_missing"] == 2 and row["marked"]


def test_images_of_one_cluster_are_left_out_together(of_runs):
    table = attribution({0: [4.0, 1.0, 2.0]}, seeds=1, per_class=40, spread=1.0)
    twice = table.loc[table.index.repeat(2)].reset_index(drop=True).assign(image=np.arange(80))
    _, alone = of_runs({"standard": table}, ["a"])
    _, together = of_runs({"standard": twice}, ["a"], clusters=np.arange(80) // 2)
    _, apart = of_runs({"standard": twice}, ["a"])
    widths = [
        (tables["occluded_frequency"]["high"] - tables["occluded_frequency"]["low"]).to_numpy()
        for tables in (alone, together, apart)
    ]
    np.testing.assert_allclose(widths[1], widths[0], rtol=1e-9)  # copies say nothing new
    assert (widths[2] < widths[0]).all()


def test_what_images_of_one_cluster_lose_without_a_band_counts_as_one(of_runs):
    drops = attribution({0: [4.0, 1.0]}, seeds=1, per_class=40)
    without = losses(drops).assign(lost=np.random.default_rng(0).random(40))
    twice, copies = (table.loc[table.index.repeat(2)].assign(image=np.arange(80)) for table in (drops, without))
    widths = []
    for table, lost, clusters in ((drops, without, None), (twice, copies, np.arange(80) // 2), (twice, copies, None)):
        _, tables = of_runs({"standard": table}, ["a"], clusters=clusters, without=lost)
        row = tables["band_loss"].set_index("measure").loc["probability"]
        widths.append(row["high"] - row["low"])
    assert widths[1] == pytest.approx(widths[0], rel=1e-9) and widths[2] < 0.8 * widths[0]


def test_what_is_lost_without_a_band_is_counted_by_hand(of_runs):
    drops = attribution(CURVES, seeds=3)
    without = pd.concat([losses(drops), losses(drops, "low", lost=-0.5, right_after=True)])
    wrong = (without["image"] < 3) & (without["band"] == "low")
    without.loc[wrong, "right"] = False  # wrong on the whole image, right without its low band
    _, tables = of_runs({"standard": drops}, without=without)
    table = tables["band_loss"]
    assert list(table) == ["run", "band", "change", "measure", "energy", *SUMMARY, "cells"]
    means = table.set_index(["band", "measure"])["mean"].to_dict()
    assert means == {
        ("high", "accuracy"): pytest.approx(1.0),
        ("high", "probability"): pytest.approx(0.25),
        ("low", "accuracy"): pytest.approx(-0.5),
        ("low", "probability"): pytest.approx(-0.5),
    }
    np.testing.assert_allclose(table["energy"], 0.1)
    assert (table["n_images"] == 6).all() and (table["n_seeds"] == 3).all()

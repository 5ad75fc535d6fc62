"""Tables small enough to work out by hand, and differences whose answer is known."""

import json

import numpy as np
import pandas as pd
import pytest

from spectroscope import bootstrap
from spectroscope.bootstrap import StatisticsSettings
from spectroscope.findings import accuracy, reliance, tables

SETTINGS = StatisticsSettings(confidence=0.9, resamples=200, seed=0)
RUNS = ["standard", "adversarial"]
CLASSES = ["brick", "grass", "moon"]
ENDING = ["mean", "low", "high", "n_images", "n_seeds"]


def predictions(right: dict[tuple[str, str], list[list[int]]], labels: list[int]) -> pd.DataFrame:
    """One row for each run, name, seed and image; right[run, name][seed][image]."""
    return pd.DataFrame(
        {"run": run, "seed": 10 * seed, "name": name, "image": image, "label": labels[image], "right": bool(value)}
        for (run, name), seeds in right.items()
        for seed, images in enumerate(seeds)
        for image, value in enumerate(images)
    )


@pytest.fixture
def small():
    """Four images of two classes, two networks each."""
    right = {
        ("standard", "clean"): [[1, 1, 1, 0], [1, 1, 0, 1]],
        ("standard", "pgd"): [[0, 0, 0, 0], [0, 1, 0, 0]],
        ("adversarial", "clean"): [[1, 0, 1, 0], [1, 0, 1, 0]],
        ("adversarial", "pgd"): [[1, 0, 1, 0], [1, 0, 0, 0]],
    }
    return predictions(right, [0, 0, 2, 2])


def attribution(
    curves: dict[int, list[float]], seeds: int = 2, per_class: int = 3, spread: float = 0.0
) -> pd.DataFrame:
    """A table as of `attribution.table`: every image of a class has its curve, give or take."""
    rng, rows = np.random.default_rng(0), []
    labels = np.repeat(list(curves), per_class)
    for seed in range(seeds):
        for image, label in enumerate(labels):
            values = np.array(curves[label]) + spread * rng.normal(size=len(curves[label]))
            shells = {f"shell_{k}": value for k, value in enumerate(values)}
            rows.append({"seed": seed, "image": image, "label": label, "right": True, **shells})
    return pd.DataFrame(rows)


# Accuracy


def test_accuracies_are_those_counted_by_hand(small):
    rows = tables.rows(accuracy.accuracies(small, RUNS, SETTINGS), SETTINGS)
    assert list(rows) == ["run", "statistic", *ENDING, "n_missing"]
    found = {
        (run, measure): mean for run, measure, mean in zip(rows["run"], rows["statistic"], rows["mean"], strict=True)
    }
    expected = {
        ("standard", "clean"): 6 / 8,
        ("standard", "pgd"): 1 / 8,
        ("adversarial", "clean"): 4 / 8,
        ("adversarial", "pgd"): 3 / 8,
    }
    assert found == pytest.approx(expected)
    assert ((rows["low"] <= rows["mean"]) & (rows["mean"] <= rows["high"])).all()
    assert (rows["n_images"] == 4).all()
    assert (rows["n_seeds"] == 2).all()


def test_accuracies_do_not_depend_on_the_order_of_the_rows(small):
    shuffled = small.sample(frac=1, random_state=0)
    one, other = (
        tables.rows(accuracy.accuracies(each, RUNS, SETTINGS), SETTINGS).sort_values(
            ["run", "statistic"], ignore_index=True
        )
        for each in (small, shuffled)
    )
    pd.testing.assert_frame_equal(one, other)


def test_a_run_that_was_not_asked_for_is_left_out(small):
    assert {finding.run for finding in accuracy.accuracies(small, ["adversarial"], SETTINGS)} == {"adversarial"}


def test_class_accuracies_are_those_counted_by_hand(small):
    rows = accuracy.class_accuracies(small, RUNS, CLASSES, SETTINGS)
    assert list(rows) == ["run", "attack", "class", *ENDING]
    found = rows.set_index(["run", "attack", "class"])["mean"].to_dict()
    assert found == pytest.approx(
        {
            ("standard", "clean", "brick"): 1.0,
            ("standard", "clean", "moon"): 0.5,
            ("standard", "pgd", "brick"): 0.25,
            ("standard", "pgd", "moon"): 0.0,
            ("adversarial", "clean", "brick"): 0.5,
            ("adversarial", "clean", "moon"): 0.5,
            ("adversarial", "pgd", "brick"): 0.5,
            ("adversarial", "pgd", "moon"): 0.25,
        }
    )  # no image is grass
    assert (rows["n_images"] == 2).all()


# Reliance


def test_reliance_is_the_mean_of_each_class():
    curves = {0: [5.0, 1.0, 0.0, 3.0], 2: [3.0, 2.0, 2.0, -1.0]}
    found = reliance.reliance("standard", 0, attribution(curves, spread=0.0), 3, "all", SETTINGS)
    np.testing.assert_allclose(found.curves, [curves[0], [np.nan] * 4, curves[2]])
    assert found.drawn.shape == (200, 3, 4)

    shells = found.shell_rows(SETTINGS)
    assert list(shells) == ["run", "shell", *ENDING]
    np.testing.assert_allclose(shells["mean"], [4.0, 1.5, 1.0, 1.0])
    assert (shells["n_images"] == 6).all()
    assert (shells["n_seeds"] == 2).all()

    by_class = found.class_rows(CLASSES, SETTINGS)
    assert list(by_class) == ["run", "class", "shell", *ENDING]
    assert by_class["class"].tolist() == 4 * ["brick"] + 4 * ["moon"]
    np.testing.assert_allclose(by_class["mean"], curves[0] + curves[2])
    np.testing.assert_allclose(by_class["low"], by_class["mean"])
    assert (by_class["n_images"] == 3).all()


def test_findings_are_those_worked_out_by_hand():
    curves = {0: [5.0, 1.0, 0.0, 3.0], 2: [3.0, 2.0, 2.0, -1.0]}  # mean 4, 1.5, 1, 1; k = 1..4
    findings = reliance.reliance("standard", 0, attribution(curves), 3, "all", SETTINGS).findings(0.5)
    found = {finding.statistic: finding.point for finding in findings}
    expected = {
        "centroid": (2 * 1.5 + 3 * 1 + 4 * 1) / 3.5,
        "hf_share": (3 / 4 + 2 / 4) / 2,
        "dc": 4.0,
        "low_sum": 0.0,
        "mid_sum": 1.5,
        "high_sum": 2.0,
    }
    assert found == pytest.approx(expected)
    missing = {finding.statistic: finding.n_missing for finding in findings}
    assert missing.pop("hf_share") == 1  # grass
    assert set(missing.values()) == {0}


def test_images_a_network_gets_wrong_do_not_count_among_the_correct():
    table = attribution({0: [4.0, 1.0], 1: [2.0, 5.0]})
    wrong = (table["image"] == 0) | ((table["image"] == 1) & (table["seed"] == 1))
    table.loc[wrong, ["shell_0", "shell_1"]] = 1000.0
    table.loc[wrong, "right"] = False
    before = table.copy()
    found = reliance.reliance("standard", 0, table, 2, "correct", SETTINGS)
    np.testing.assert_allclose(found.curves, [[4.0, 1.0], [2.0, 5.0]])
    pd.testing.assert_frame_equal(table, before)
    assert reliance.reliance("standard", 0, table, 2, "all", SETTINGS).curves[0, 0] > 100
    assert (found.shell_rows(SETTINGS)["n_images"] == 5).all()  # image 1 counts for one seed, image 0 for none
    assert found.class_rows(["a", "b"], SETTINGS)["n_images"].tolist() == [2, 2, 3, 3]


def test_a_network_that_gets_nothing_right_is_missing_not_an_error():
    table = attribution({0: [4.0, 1.0], 1: [2.0, 5.0]}).assign(right=False)
    found = reliance.reliance("standard", 0, table, 2, "correct", SETTINGS)
    assert found.shell_rows(SETTINGS)[["mean", "low", "high"]].isna().all(axis=None)
    assert found.class_rows(["a", "b"], SETTINGS).empty
    figures = tables.metrics(tables.rows(found.findings(0.5), SETTINGS))["standard"]
    expected = {"mean": None, "low": None, "high": None, "n_images": 0, "n_seeds": 2, "n_missing": 2}
    assert figures["hf_share"] == expected


def test_reliance_with_nothing_positive_is_missing_and_counted():
    table = attribution({0: [4.0, -1.0, -2.0], 1: [2.0, -1.0, 0.0]})
    findings = reliance.reliance("standard", 0, table, 2, "all", SETTINGS).findings(0.5)
    figures = tables.metrics(tables.rows(findings, SETTINGS))["standard"]
    assert figures["hf_share"]["mean"] is None
    assert figures["hf_share"]["n_missing"] == 2
    assert figures["centroid"]["mean"] is None
    assert figures["dc"]["mean"] == pytest.approx(3.0, abs=0.01)
    assert "NaN" not in json.dumps(figures, allow_nan=False)


# Differences


def test_the_difference_from_an_identical_copy_is_zero():
    table = attribution({0: [4.0, 1.0, 2.0], 1: [2.0, 5.0, 1.0]}, seeds=3, per_class=20, spread=1.0)
    findings = [
        finding
        for stream, run in enumerate(["standard", "copy"])
        for finding in reliance.reliance(run, stream, table, 2, "all", SETTINGS).findings(0.5)
    ]
    rows = tables.contrasts(findings, "standard", SETTINGS)
    assert list(rows) == ["run", "reference", "statistic", *ENDING]
    assert (rows["run"] == "copy").all()
    assert (rows["reference"] == "standard").all()
    np.testing.assert_array_equal(rows["mean"], 0.0)
    assert ((rows["low"] <= 0) & (rows["high"] >= 0)).all()


def test_differences_are_paired_by_image():
    hard = (np.arange(200) % 2).tolist()  # every network gets the same half of the images right
    table = predictions({("standard", "clean"): [hard], ("copy", "clean"): [hard]}, [0] * 200)
    findings = accuracy.accuracies(table, ["standard", "copy"], SETTINGS)
    alone, difference = tables.rows(findings, SETTINGS), tables.contrasts(findings, "standard", SETTINGS)
    assert (alone["high"] - alone["low"] > 0.05).all()
    np.testing.assert_array_equal(difference[["mean", "low", "high"]], 0.0)


def test_a_difference_is_the_run_minus_the_reference(small):
    rows = tables.contrasts(accuracy.accuracies(small, RUNS, SETTINGS), "standard", SETTINGS)
    assert rows["statistic"].tolist() == ["clean", "pgd"]
    np.testing.assert_allclose(rows["mean"], [-0.25, 0.25])
    turned = tables.contrasts(accuracy.accuracies(small, RUNS, SETTINGS), "adversarial", SETTINGS)
    np.testing.assert_allclose(turned["mean"], [0.25, -0.25])
    np.testing.assert_allclose(turned["low"], -rows["high"])


def test_a_measure_the_reference_lacks_has_no_difference(small):
    kept = small[(small["run"] != "standard") | (small["name"] == "clean")]
    rows = tables.contrasts(accuracy.accuracies(kept, RUNS, SETTINGS), "standard", SETTINGS)
    assert rows["statistic"].tolist() == ["clean"]


def test_one_run_alone_gives_an_empty_table_with_its_columns(small):
    rows = tables.contrasts(accuracy.accuracies(small, ["standard"], SETTINGS), "standard", SETTINGS)
    assert rows.empty
    assert list(rows) == ["run", "reference", "statistic", *ENDING]


def test_an_unknown_reference_names_the_runs_there_are(small):
    with pytest.raises(
        ValueError, match=r"findings\.reference: expected a run among standard, adversarial, got 'robust'"
    ):
        tables.contrasts(accuracy.accuracies(small, RUNS, SETTINGS), "robust", SETTINGS)


# Tables


def test_the_grid_has_seeds_and_images_in_order():
    table = pd.DataFrame({"seed": [2, 10, 2, 10], "image": [11, 3, 3, 11], "a": [1, 2, 3, 4], "b": [5, 6, 7, 8]})
    expected = [[[3, 7], [1, 5]], [[2, 6], [4, 8]]]
    np.testing.assert_array_equal(bootstrap.grid(table, ["a", "b"]), expected)


def test_labels_are_in_the_order_of_the_grid():
    table = pd.DataFrame({"seed": [0, 0, 1, 1], "image": [11, 3, 3, 11], "label": [7, 9, 9, 7]})
    assert bootstrap.labels(table).tolist() == [9, 7]


@pytest.mark.parametrize(
    ("rows", "got"),
    [
        ([(0, 0), (0, 1), (1, 0)], "2 seeds to have the same 2 images, got 3 rows"),
        ([(0, 0), (0, 1), (1, 0), (1, 0)], "2 seeds to have the same 2 images, got 4 rows"),
        ([(0, 0), (0, 1), (1, 0), (1, 2)], "2 seeds to have the same 3 images, got 4 rows"),
    ],
    ids=["missing", "twice", "other"],
)
def test_the_grid_refuses_missing_and_repeated_rows(rows, got):
    table = pd.DataFrame(rows, columns=["seed", "image"]).assign(right=True)
    with pytest.raises(ValueError, match=f"expected every one of {got}"):
        bootstrap.grid(table, ["right"])


def test_metrics_are_nested_and_have_none_for_what_does_not_exist():
    finding = tables.Finding("standard", "centroid", np.nan, np.full(100, np.nan), (3, 50), 2)
    other = tables.Finding("standard", "dc", 1.5, np.full(100, 1.5), (3, 50))
    figures = tables.metrics(tables.rows([finding, other], SETTINGS))
    n = {"n_images": 50, "n_seeds": 3}
    assert figures == {
        "standard": {
            "centroid": {"mean": None, "low": None, "high": None, **n, "n_missing": 2},
            "dc": {"mean": 1.5, "low": 1.5, "high": 1.5, **n, "n_missing": 0},
        }
    }
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures

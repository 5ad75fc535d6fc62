"""The sections on measures hold the numbers of their tables, and leave out what was not computed."""

import io

import numpy as np
import pandas as pd
import pytest

from spectroscope.report import evidence, measurefigures, pictures, style

RUNS = ["standard", "adversarial"]
HUES = style.colours(RUNS)
END = {"low": 0.1, "high": 0.4, "n_images": 24, "n_seeds": 3}


def rows(**columns) -> pd.DataFrame:
    """Every combination of the columns' values, with a mean of its own and the ending of all tables."""
    table = pd.MultiIndex.from_product(columns.values(), names=columns.keys()).to_frame(index=False)
    return table.assign(mean=np.linspace(0.2, 0.3, len(table)), **END)


def computed(runs: list[str]) -> dict[str, pd.DataFrame]:
    """The tables of measures that were never taken."""
    measures = rows(run=runs, method=["occluded", "waves"], band=[0, 1, 2])
    pairs = rows(run=runs, method=["occluded"], other=["waves"])
    choices = {name: ["a"] for name in ("basis", "shape", "baseline", "clip", "normalisation")}
    multiverse = rows(
        run=["adversarial"], reference=["standard"], statistic=["hf_share"], score=["logit", "margin"], **choices
    )
    sign = {"run": "adversarial", "statistic": "hf_share", "n_choices": 2, "median": 0.2, "same_sign": 1.0, "sure": 0.5}
    recovery = rows(run=["standard"], method=["occluded"])
    return {
        "methods": measures.assign(position=measures["band"] / 2),
        "agreement": pairs,
        "concordance": pd.concat(
            [
                rows(run=runs, method=["all"], across=["measures"]).assign(raters=2),
                rows(run=runs, method=["occluded", "waves"], across=["seeds"]).assign(raters=3),
            ]
        ),
        "faithfulness": rows(run=runs, order=["occluded", "energy"], unit=["band"], kind=["deletion", "insertion"]),
        "recovery": recovery.assign(mean=0.95, hurt_named=0.4, hurt_other=0.1, hurts_more=1.0),
        "multiverse": multiverse,
        "signs": pd.DataFrame([sign]),
    }


def mapped(runs: list[str]) -> dict[str, pd.DataFrame]:
    """A map of each run."""
    u, v = np.indices((4, 4)).reshape(2, -1)
    one = pd.DataFrame({"method": "waves", "u": u, "v": v, "value": u - 1.0 * v, "seed": 0})
    return dict.fromkeys(runs, one)


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    return computed(RUNS)


@pytest.fixture
def maps() -> dict[str, pd.DataFrame]:
    return mapped(RUNS)


def drawn(chart) -> pd.DataFrame:
    held = [values for values in chart.to_dict()["datasets"].values() if isinstance(values, str)]
    return pd.concat(pd.read_csv(io.StringIO(text)) for text in held)


def test_charts_hold_the_rows_of_their_tables(tables):
    made = {
        "methods": measurefigures.measures(tables["methods"], HUES),
        "agreement": measurefigures.agreement(tables["agreement"], RUNS),
        "faithfulness": measurefigures.faithfulness(tables["faithfulness"], HUES),
        "multiverse": measurefigures.specification(tables["multiverse"], tables["signs"], HUES),
    }
    expected = dict(tables)
    expected["methods"] = tables["methods"].query("band > 0")
    for name, chart in made.items():
        np.testing.assert_allclose(sorted(drawn(chart)["mean"]), sorted(expected[name]["mean"]), rtol=1e-5)
        assert "n\u00a0=\u00a024" in chart.to_dict()["description"] and "3 seeds" in chart.to_dict()["description"]
    assert "100% of 2 choices have one sign, 50% an interval" in made["multiverse"].to_dict()["description"]


def test_the_page_has_a_section_for_each_thing_that_was_computed(tables, maps):
    found = {section.label: "".join(section.blocks) for section in evidence.sections(tables, maps, HUES)}
    assert list(found) == ["Measures", "Agreement", "Planted truth", "Choices"]
    assert found["Measures"].count("<img") == 2 and "-3 to 3" in found["Measures"]
    assert "[0.10, 0.40]" in found["Agreement"] and "0.27 to 0.30" in found["Agreement"]
    assert "95.0 %" in found["Planted truth"] and "40.0 %" in found["Planted truth"]
    empty = pd.DataFrame(columns=["run"])
    left = tables | dict.fromkeys(("agreement", "faithfulness", "recovery", "multiverse", "signs"), empty)
    assert [section.label for section in evidence.sections(left, maps, HUES)] == ["Measures"]


def test_a_signed_map_is_grey_at_zero_and_has_a_colour_for_each_sign():
    below, zero, above = pictures.signed(np.array([[-1.0, 0.0, 1.0]]))[:, 0].T
    assert below[2] > below[0] and above[0] > above[2]
    assert zero.max() - zero.min() < 0.1

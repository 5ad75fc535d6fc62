"""Tables small enough to work out by hand, and warnings that must come and must not come."""

import numpy as np
import pandas as pd
import pytest

from spectroscope.attack_checks import strength
from spectroscope.bootstrap import StatisticsSettings

SETTINGS = StatisticsSettings(confidence=0.9, resamples=200, seed=0)
ENDING = ["mean", "low", "high", "n_images", "n_seeds"]


def about(*rows):
    """attack, kind, norm, eps; a variant after a space."""
    columns = ["attack", "kind", "norm", "eps"]
    table = pd.DataFrame(rows, columns=columns).astype({"eps": float})
    names = table["attack"].str.split(" ", n=1)
    return table.assign(entry=names.str[0], variant=[part[1] if len(part) > 1 else "" for part in names])


def attack(name, fooled, l2=1.0, first=5, run="a", right=None):
    """Rows of two seeds; fooled, right: (seeds, images)."""
    fooled = np.array(fooled, bool)
    right = np.ones_like(fooled) if right is None else np.array(right, bool)
    rows = []
    for seed, image in np.ndindex(fooled.shape):
        success = bool(fooled[seed, image] and right[seed, image])
        rows.append(
            {
                "run": run,
                "attack": name,
                "seed": seed,
                "image": image,
                "label": 0,
                "before": 0 if right[seed, image] else 1,
                "success": success,
                "queries": 20,
                "queries_to_success": first if success else -1,
                "l2": l2 if success else 0.0,
            }
        )
    return pd.DataFrame(rows)


NOTHING = pd.DataFrame(columns=["run", "attack", "source", "seed", "image", "label", "fooled"])
SOUND = pd.DataFrame([{"run": "a", "zero_gradients": 0.0, "varies": 0.0, "probabilities": 0.0}])
NONE, HALF, ALL = np.zeros((2, 20)), np.tile([0, 1], (2, 10)), np.ones((2, 20))


def warnings(rows, described, checks=SOUND, carried=NOTHING):
    return strength.warnings(pd.concat(rows), described, checks, carried, ["a"], SETTINGS)


def test_success_counts_among_the_images_that_were_right():
    rows = attack("pgd", [[1, 0, 0, 1], [0, 0, 0, 1]], right=[[1, 1, 0, 0], [1, 1, 0, 1]])
    table = strength.successes(rows, about(("pgd", "white box", "linf", 0.1)), ["a"], SETTINGS)
    assert list(table) == ["run", "attack", "kind", "norm", "eps", "l2", "queries", *ENDING]
    assert table["mean"].tolist() == [pytest.approx(2 / 5)]
    assert table["n_images"].tolist() == [3] and table["n_seeds"].tolist() == [2]
    assert table["queries"].tolist() == [5]


def test_the_query_curve_rises_where_the_successes_come():
    rows = pd.concat([attack("square", HALF, first=3), attack("pgd", ALL)])
    described = about(("square", "black box", "linf", 0.1), ("pgd", "white box", "linf", 0.1))
    table = strength.query_curves(rows, described, ["a"], SETTINGS)
    assert set(table["attack"]) == {"square"} and list(table)[3:] == ENDING
    assert table["queries"].iloc[0] == 1 and table["queries"].iloc[-1] == 20
    assert (table["mean"] == np.where(table["queries"] < 3, 0, 0.5)).all()


def test_confined_attacks_are_compared_at_one_l2_norm():
    rows = pd.concat([attack("c low", ALL, l2=1.0), attack("c high", ALL, l2=2.0)])
    described = about(("c low", "confined", "linf", 0.1), ("c high", "confined", "linf", 0.1))
    lost = [{"run": "a", "entry": "c", "variant": band, "relied": drop} for band in ("low", "high") for drop in (1, 3)]
    table = strength.confined(rows, described, ["a"], pd.DataFrame(lost), SETTINGS)
    assert list(table) == ["run", "entry", "band", "norm", "l2", "relied", *ENDING]
    assert table[["band", "l2", "relied", "mean"]].to_numpy().tolist() == [["low", 1, 2, 1], ["high", 1, 2, 0]]
    in_l2 = strength.confined(rows, described.assign(norm="l2", eps=2.0), ["a"], pd.DataFrame(lost), SETTINGS)
    assert in_l2[["l2", "mean"]].to_numpy().tolist() == [[2, 1], [2, 1]]


def test_transfer_leaves_out_what_does_not_count():
    rows = pd.DataFrame(
        {"run": "a", "source": "b", "attack": "pgd", "seed": [0, 0, 1, 1], "image": [0, 1, 0, 1], "label": 0}
    ).assign(fooled=[1.0, np.nan, 0.0, 1.0])
    table = strength.transfers(rows, ["a", "b"], SETTINGS)
    assert list(table) == ["attack", "source", "run", *ENDING]
    assert table["mean"].tolist() == [pytest.approx(2 / 3)] and table["n_images"].tolist() == [2]


@pytest.mark.parametrize("kind", ["black box", "control", "confined", "single step"])
def test_an_attack_that_beats_the_white_box_at_its_radius_is_told(kind):
    rows, other = [attack("pgd", HALF), attack("other", ALL)], ("other", kind, "linf", 0.1)
    found = warnings(rows, about(("pgd", "white box", "linf", 0.1), other))
    assert list(found) == ["a"] and list(found["a"]) == ["other"]
    assert "50.0%" in found["a"]["other"] and "pgd, at linf 0.1" in found["a"]["other"]


@pytest.mark.parametrize(
    ("rows", "described"),
    [
        ([attack("pgd", ALL), attack("o", HALF)], [("pgd", "white box", "linf", 0.1), ("o", "black box", "linf", 0.1)]),
        ([attack("pgd", HALF), attack("o", HALF)], [("pgd", "white box", "linf", 0.1), ("o", "control", "linf", 0.1)]),
        ([attack("pgd", HALF), attack("o", ALL)], [("pgd", "white box", "linf", 0.1), ("o", "black box", "linf", 0.2)]),
        ([attack("pgd", HALF), attack("o", ALL)], [("pgd", "white box", "linf", 0.1), ("o", "black box", "l2", 0.1)]),
        ([attack("pgd", HALF), attack("o", ALL)], [("pgd", "white box", "linf", 0.1), ("o", "ensemble", "linf", 0.1)]),
        ([attack("pgd", HALF), attack("o", ALL)], [("pgd", "white box", "linf", 0.1), ("o", "white box", "linf", 0.1)]),
        ([attack("o", ALL)], [("o", "black box", "linf", 0.1)]),
    ],
    ids=["weaker", "equal", "larger radius", "other norm", "ensemble", "stronger white box", "no white box"],
)
def test_there_is_no_warning_without_cause(rows, described):
    assert warnings(rows, about(*described)) == {}


def test_one_image_more_is_chance():
    more = HALF.copy()
    more[0, 0] = 1
    described = about(("pgd", "white box", "l2", 1.0), ("o", "black box", "l2", 1.0))
    assert warnings([attack("pgd", HALF), attack("o", more)], described) == {}


def test_an_attack_without_a_ball_is_compared_by_the_l2_norm_it_needed():
    described = about(("pgd", "white box", "l2", 1.0), ("simba", "black box", None, None))
    assert "simba" in warnings([attack("pgd", HALF), attack("simba", ALL, l2=0.9)], described)["a"]
    assert warnings([attack("pgd", HALF), attack("simba", ALL, l2=1.1)], described) == {}


def test_attacks_on_different_numbers_of_images_are_compared_on_those_they_share():
    short = attack("o", ALL[:, :4])
    described = about(("pgd", "white box", "l2", 1.0), ("o", "black box", "l2", 1.0))
    rows = attack("pgd", np.concatenate([ALL[:, :4], NONE[:, 4:]], 1))
    assert warnings([rows, short], described) == {}


def test_perturbations_of_another_run_that_do_more_are_told():
    carried = attack("pgd", ALL).assign(source="b", fooled=1.0)
    described = about(("pgd", "white box", "linf", 0.1))
    found = warnings([attack("pgd", HALF)], described, carried=carried)
    assert list(found["a"]) == ["pgd from b"]


@pytest.mark.parametrize("name", strength.CHECKS)
def test_a_check_that_fires_is_told_with_its_share(name):
    found = warnings([attack("pgd", ALL)], about(("pgd", "white box", "linf", 0.1)), SOUND.assign(**{name: 0.25}))
    assert list(found["a"]) == [name] and "25%" in found["a"][name]

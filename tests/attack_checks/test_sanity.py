"""Each check fires for its fault alone, and warnings come where they must and nowhere else."""

import numpy as np
import pandas as pd
import pytest
import torch
from attack_outcomes import ALL, HALF, NONE, SETTINGS, SHAPE, Linear, attack, cells

from spectroscope.attack_checks import sanity
from spectroscope.frequency.passbands import FullBand, PassBand

NO_ROWS = pd.DataFrame(columns=["run", "attack", "source", "seed", "image", "label", "fooled"])
SOUND = pd.DataFrame([{"run": "a", "zero_gradients": 0.0, "varies": 0.0, "probabilities": 0.0}])


def warnings(rows, attacks, flags=SOUND, transferred=NO_ROWS):
    return sanity.warnings(cells(rows, *attacks), flags, transferred, SETTINGS)


@pytest.fixture
def x():
    return torch.rand(70, *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda logits: logits, [0, 0, 0]),
        (lambda logits: logits * 0 + torch.tensor([1.0, -1.0]), [1, 0, 0]),
        (lambda logits: logits + torch.rand(()), [0, 1, 0]),
        (lambda logits: (0.01 * logits).softmax(1), [0, 0, 1]),
        (lambda logits: logits.round() + 0 * logits, [1, 0, 0]),
    ],
    ids=["sound", "constant", "random", "probabilities", "rounded"],
)
def test_each_check_fires_for_its_fault_alone(change, expected, x):
    model = Linear(torch.full(SHAPE, 0.1), change)
    found = sanity.checks(model, x, torch.zeros(70, dtype=torch.int64))
    assert list(found) == ["zero_gradients", "varies", "probabilities"]
    assert found.iloc[0].tolist() == expected
    assert model.weight.grad is None


def test_what_a_linear_network_relies_on_is_the_part_of_its_score_in_the_band(x):
    model = Linear(torch.ones(SHAPE))  # reads DC alone
    dc = PassBand(keep="inside", basis="dct", shape="linf", unit="shells", low=0, high=1, clip=False)
    rest = dc.model_copy(update={"keep": "outside"})
    bands = {("c", "dc"): dc, ("c", "rest"): rest, ("c", "all"): FullBand(keep="all", clip=False)}
    found = sanity.relied_on(model, x, torch.zeros(70, dtype=torch.int64), bands).set_index("variant")["relied"]
    score = float(x.sum((1, 2, 3)).mean())
    assert found["dc"] == pytest.approx(score, rel=1e-4)
    assert found["rest"] == pytest.approx(0, abs=1e-3)
    assert found["all"] == pytest.approx(score, rel=1e-4)


@pytest.mark.parametrize("kind", ["black box", "control", "confined", "single step"])
def test_an_attack_that_beats_the_white_box_at_its_radius_is_warned_of(kind):
    rows, other = [attack("pgd", HALF), attack("other", ALL)], ("other", kind, "linf", 0.1)
    found = warnings(rows, [("pgd", "white box", "linf", 0.1), other])
    assert list(found) == ["a"] and list(found["a"]) == ["other"]
    assert "50.0%" in found["a"]["other"] and "pgd, at linf 0.1" in found["a"]["other"]


@pytest.mark.parametrize(
    ("rows", "attacks"),
    [
        ([attack("pgd", ALL), attack("o", HALF)], [("pgd", "white box", "linf", 0.1), ("o", "black box", "linf", 0.1)]),
        ([attack("pgd", HALF), attack("o", HALF)], [("pgd", "white box", "linf", 0.1), ("o", "control", "linf", 0.1)]),
        ([attack("pgd", HALF), attack("o", ALL)], [("pgd", "white box", "linf", 0.1), ("o", "black box", "linf", 0.2)]),
        ([attack("pgd", HALF), attack("o", ALL)], [("pgd", "white box", "linf", 0.1), ("o", "black box", "l2", 0.1)]),
        ([attack("pgd", HALF), attack("o", ALL)], [("pgd", "white box", "linf", 0.1), ("o", "ensemble", "linf", 0.1)]),
        ([attack("pgd", HALF), attack("o", ALL)], [("pgd", "white box", "linf", 0.1), ("o", "white box", "linf", 0.1)]),
        ([attack("o", ALL)], [("o", "black box", "linf", 0.1)]),
        (
            [attack("weak", NONE), attack("pgd", ALL), attack("o", HALF)],
            [("weak", "white box", "linf", 0.1), ("pgd", "white box", "linf", 0.1), ("o", "black box", "linf", 0.1)],
        ),
    ],
    ids=["weaker", "equal", "radius", "norm", "ensemble", "stronger white box", "no white box", "one weak white box"],
)
def test_there_is_no_warning_without_cause(rows, attacks):
    assert warnings(rows, attacks) == {}


def test_one_image_more_is_chance():
    more = HALF.copy()
    more[0, 0] = 1
    attacks = [("pgd", "white box", "l2", 1.0), ("o", "black box", "l2", 1.0)]
    assert warnings([attack("pgd", HALF), attack("o", more)], attacks) == {}


def test_an_attack_without_a_ball_is_compared_by_the_l2_norm_it_needed():
    attacks = [("pgd", "white box", "l2", 1.0), ("simba", "black box", None, None)]
    assert "simba" in warnings([attack("pgd", HALF), attack("simba", ALL, l2=0.9)], attacks)["a"]
    assert warnings([attack("pgd", HALF), attack("simba", ALL, l2=1.1)], attacks) == {}


def test_attacks_on_different_numbers_of_images_are_compared_on_those_they_share():
    short = attack("o", ALL[:, :4])
    attacks = [("pgd", "white box", "l2", 1.0), ("o", "black box", "l2", 1.0)]
    rows = attack("pgd", np.concatenate([ALL[:, :4], NONE[:, 4:]], 1))
    assert warnings([rows, short], attacks) == {}


def test_perturbations_of_another_run_that_do_more_are_warned_of():
    elsewhere = attack("pgd", ALL).assign(source="b", fooled=1.0)
    found = warnings([attack("pgd", HALF)], [("pgd", "white box", "linf", 0.1)], transferred=elsewhere)
    assert list(found["a"]) == ["pgd from b"]


@pytest.mark.parametrize("name", sanity.CHECKS)
def test_a_check_that_fires_is_warned_of_with_its_share(name):
    found = warnings([attack("pgd", ALL)], [("pgd", "white box", "linf", 0.1)], SOUND.assign(**{name: 0.25}))
    assert list(found["a"]) == [name] and "25%" in found["a"][name]

"""Each check fires for its fault alone, and warnings come where they must and nowhere else."""

import numpy as np
import pandas as pd
import pytest
import torch
from attack_outcomes import ALL, HALF, NONE, SETTINGS, SHAPE, Linear, attack, cells
from scipy import stats

from spectroscope.attack_checks import sanity
from spectroscope.attack_checks.describe import Subspace
from spectroscope.attacks.band_projection import subspace_projection
from spectroscope.frequency.passbands import FullBand, PassBand

NO_ROWS = pd.DataFrame(columns=["run", "attack", "source", "seed", "image", "label", "fooled"])
SOUND = pd.DataFrame([{"run": "a", "zero_gradients": 0.0, "varies": 0.0, "probabilities": 0.0}])


def warnings(rows, attacks, flags=SOUND, transferred=NO_ROWS):
    """Without the note that no black box was tried, which most of these studies would have."""
    found = sanity.warnings(cells(rows, *attacks), flags, transferred, SETTINGS)
    signs = {run: {key: text for key, text in own.items() if key != "no_black_box"} for run, own in found.items()}
    return {run: own for run, own in signs.items() if own}


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


def test_what_a_linear_network_relies_on_is_the_probability_it_loses_with_the_coefficients(x):
    model = Linear(torch.full(SHAPE, 0.05))  # reads DC alone
    dc = PassBand(keep="inside", basis="dct", shape="linf", unit="shells", low=0, high=1, clip=False)
    rest = dc.model_copy(update={"keep": "outside"})
    whole = FullBand(keep="all", clip=False)
    bands = {"dc": (dc, None, 70), "rest": (rest, None, 70), "all": (whole, None, 70), "few": (whole, None, 9)}
    bands = {("c", name): Subspace(*parts) for name, parts in bands.items()} | {("n", "all"): Subspace(whole, 16, 70)}
    found = sanity.relied_on(model, x, torch.zeros(70, dtype=torch.int64), bands)
    assert list(found) == ["entry", "variant", "coefficients", "relied"]
    assert found["coefficients"].tolist() == [1, 63, 64, 64, 16]
    scores = 2 * 0.05 * x.sum((1, 2, 3))  # the difference of two logits; without DC it is 0, a probability of 1/2
    drops = (scores.sigmoid() - 0.5).tolist()
    dc_drawn = [drop for drop, image in zip(drops, range(70), strict=True) if draws_dc(image)]
    expected = [np.mean(drops), 0, np.mean(drops), np.mean(drops[:9]), sum(dc_drawn) / 70]
    assert 5 < len(dc_drawn) < 40
    np.testing.assert_allclose(found["relied"], expected, rtol=0, atol=1e-5)


def draws_dc(image):
    """Whether DC is among the 16 of 64 coefficients that an image has for every network."""
    whole, change = FullBand(keep="all", clip=False), torch.ones(1, *SHAPE)
    return bool(subspace_projection(whole, 16, torch.tensor([image]), *SHAPE[1:])(change).abs().max() > 0.5)


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


@pytest.mark.parametrize(("n", "warned"), [(2, False), (4, False), (5, True), (9, True)])
def test_a_few_images_are_too_few_for_a_warning(n, warned):
    attacks = [("pgd", "white box", "l2", 1.0), ("o", "black box", "l2", 1.0)]
    found = warnings([attack("pgd", NONE[:, :n]), attack("o", ALL[:, :n])], attacks)
    assert bool(found) == warned  # at a confidence of .9 the exact test needs five images: 2 * .5^5 = .06


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


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_a_warning_is_about_the_networks_there_are_however_few(seeds):
    more = np.tile(HALF[:1], (seeds, 1))
    attacks = [("pgd", "white box", "l2", 1.0), ("o", "black box", "l2", 1.0)]
    found = warnings([attack("pgd", more), attack("o", np.ones_like(more))], attacks)
    half = max(stats.t.ppf(0.95, 19) * np.sqrt(0.25 * 20 / 19 / 20), 1.5 * (1 - 0.05 ** (1 / 20)))
    assert f"fools 50.0% [{0.5 - half:.1%}, {0.5 + half:.1%}] more images" in found["a"]["o"]


def test_runs_with_different_numbers_of_networks_are_compared_on_those_they_share():
    elsewhere = attack("pgd", ALL[:1]).assign(source="b", fooled=1.0)
    found = warnings([attack("pgd", HALF)], [("pgd", "white box", "linf", 0.1)], transferred=elsewhere)
    assert "fools 50.0%" in found["a"]["pgd from b"]


def test_a_radius_without_a_black_box_is_told():
    def told(*attacks):
        rows = [attack(name, HALF) for name, *_ in attacks]
        return sanity.warnings(cells(rows, *attacks), SOUND, NO_ROWS, SETTINGS).get("a", {})

    white, black = ("pgd", "white box", "linf", 0.1), ("square", "black box", "linf", 0.1)
    text = "no black box at this radius: masking is not checked"
    assert told(white) == {"no_black_box": f"{text} (linf 0.1)"}
    assert told(white, ("square", "black box", "linf", 0.2)) == {"no_black_box": f"{text} (linf 0.1)"}
    assert told(white, ("auto", "ensemble", "linf", 0.1)) == {"no_black_box": f"{text} (linf 0.1)"}
    assert told(white, black) == {} and told(black) == {}
    assert told(("pgd", "white box", "l2", 1.5), ("simba", "black box", None, None)) == {}  # compared by its norm
    both = told(white, ("cw", "white box", "l2", 2.0))
    assert both == {"no_black_box": f"{text} (linf 0.1, l2 2)"}


@pytest.mark.parametrize("name", sanity.CHECKS)
def test_a_check_that_fires_is_warned_of_with_its_share(name):
    found = warnings([attack("pgd", ALL)], [("pgd", "white box", "linf", 0.1)], SOUND.assign(**{name: 0.25}))
    assert list(found["a"]) == [name] and "25%" in found["a"][name]

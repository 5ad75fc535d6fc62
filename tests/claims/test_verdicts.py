"""Verdicts: planted effects are supported, absent ones are not, and Holm's levels are those worked out by hand."""

import math

import numpy as np
import pytest
from claims_cases import ACCURACY, SETTINGS, cells, claim, values

from spectroscope.claims import verdicts
from spectroscope.claims.effects import Measured
from spectroscope.claims.verdicts import decide, holm, p_value
from spectroscope.statistics.estimates import Estimates


def row(found, **changes):
    return verdicts.table({"c": claim(**changes)}, found, SETTINGS).iloc[0]


PLANTED = {"a": values(0.4), "b": values(0.7, seed=1)}
OWN = {**ACCURACY, "less": None}


@pytest.mark.parametrize(
    ("effect", "expect", "verdict"),
    [
        (0.3, "above", "supported"),
        (0.0, "above", "refuted"),
        (-0.3, "above", "refuted"),
        (0.1, "above", "undetermined"),
        (-0.3, "below", "supported"),
        (0.3, "below", "refuted"),
        (0.0, "below", "refuted"),
    ],
)
def test_an_effect_beyond_its_margin_is_supported_and_one_on_the_other_side_refuted(effect, expect, verdict):
    a = values(0.4, noise=0.1)
    b = a[::-1] + effect  # the same networks and images, moved
    found = row(cells(a=a, b=b), expect=expect)
    assert found["verdict"] == verdict and found["mean"] == pytest.approx(effect)
    assert found["low"] < effect < found["high"] and found["confidence"] == pytest.approx(0.95)


def test_two_networks_leave_a_claim_undetermined():
    found = row(cells(a=values(0.4, networks=2), b=values(0.9, networks=2)))
    assert found["verdict"] == "undetermined" and found["reason"] == "two networks have no interval"
    assert found["needed"] == "at least 3 networks a run" and found["mean"] == pytest.approx(0.5)


def test_an_interval_that_spans_everything_at_its_level_says_so():
    rng = np.random.default_rng(0)
    groups = 0.9 + 3 * rng.normal(size=(1, 5, 1))
    wide = Estimates(np.array([[0.9]]), groups, 50, bounds=(0.0, 1.0), groups=np.arange(5))
    found = row(cells(b=wide), effect=OWN)
    assert math.isnan(found["low"]) and found["verdict"] == "undetermined"
    assert found["reason"] == "at this confidence the interval spans all values that there are"


def test_a_claim_whose_control_shows_the_effect_is_void():
    control = {**ACCURACY, "where": {"run": "c", "attack": "pgd"}}
    with_effect = row(cells(**PLANTED, c=values(0.7, seed=2)), control=control)
    assert with_effect["verdict"] == "void" and with_effect["void"] == "the control shows the effect too"
    without = row(cells(**PLANTED, c=values(0.4, seed=2)), control=control)
    assert without["verdict"] == "supported" and without["void"] == "" and abs(without["control"]) < 0.1


def test_a_claim_whose_cause_is_not_established_is_void():
    def manipulated(margin):
        return row(cells(**PLANTED), manipulation=[{"effect": OWN, "expect": "above", "margin": margin}])

    assert manipulated(0.5)["verdict"] == "supported"
    failed = manipulated(0.9)
    assert failed["verdict"] == "void"
    assert failed["void"].startswith("its cause is not established: b, pgd is 0.679 [")
    assert failed["void"].endswith(", expected above 0.9") and failed["low"] > 0.1


def effect(mean, half):
    """An effect whose interval has this half width at the confidence .95, and a logarithm of 1 - confidence more."""
    scale = half / -math.log(0.05)
    return Measured(mean, lambda level: (mean + scale * math.log(1 - level), mean - scale * math.log(1 - level)), 3, 9)


def test_p_is_the_level_at_which_the_interval_touches_the_margin():
    found = effect(1.1, 0.5)  # the interval reaches the margin .1 where -scale * log p = 1
    assert p_value(found, claim()) == pytest.approx(0.05**2, rel=1e-3)
    assert p_value(effect(-0.9, 0.5), claim()) == pytest.approx(0.05**2, rel=1e-3)
    assert p_value(effect(0.1, 0.5), claim()) == 1


def test_holm_tests_the_clearest_claim_first_and_stops_at_the_first_undetermined():
    # p: .05^4, .05^1.2, .05^1.1, 1
    means = {"clear": 4.1, "next": 1.3, "unclear": 1.2, "none": 0.1}
    levels = holm({name: (effect(mean, 1.0), claim()) for name, mean in means.items()}, 0.05)
    assert levels == pytest.approx({"clear": 0.05 / 4, "next": 0.05 / 3, "unclear": 0.05 / 3, "none": 0.05 / 3})
    assert decide(effect(1.3, 1.0), claim(), 0.95) == "supported"  # alone it would be decided
    alone = holm({"next": (effect(1.3, 1.0), claim())}, 0.05)
    assert alone == pytest.approx({"next": 0.05})


def test_a_claim_that_cannot_be_decided_counts_among_the_claims():
    found = verdicts.table(
        {"c": claim(), "gone": claim(effect={**OWN, "where": {"run": "x", "attack": "pgd"}})},
        cells(**PLANTED),
        SETTINGS,
    )
    assert found["verdict"].tolist() == ["supported", "undetermined"]
    assert found["confidence"].tolist() == pytest.approx([0.975, 0.95])
    assert found["reason"][1] == "x, pgd: the table lacks the row"


def test_no_claims_give_a_table_with_a_header():
    assert list(verdicts.table({}, cells(), SETTINGS)) == verdicts.COLUMNS


def test_more_networks_decide_where_networks_differ_and_more_images_where_images_do():
    networks = row(cells(b=values(0.2, between=0.3, noise=0.1)), effect=OWN)
    assert networks["verdict"] == "undetermined" and networks["needed"].endswith("networks a run")
    images = row(cells(b=values(0.12, between=0.0, noise=1, images=100)), effect=OWN)
    assert images["verdict"] == "undetermined" and images["needed"].endswith("images")
    n = int(networks["needed"].split()[1])
    decided = row(cells(b=np.tile(values(0.2, between=0.3, noise=0.1), (math.ceil(n / 5), 1))), effect=OWN)
    assert decided["verdict"] != "undetermined"


def simulated(rng, effects, networks=3, images=60):
    """A study of claims that share networks and images; effects: true values of each run above that of run a."""
    common, of_images = rng.normal(0, 0.1, (networks, 1)), rng.normal(0, 0.3, (1, images))
    runs = {}
    for name, true in {"a": 0.0, **effects}.items():
        runs[name] = true + common * rng.normal() + of_images + rng.normal(0, 0.2, (networks, images))
    return cells(**runs)


def test_false_verdicts_are_rare_in_simulated_studies():
    """Every effect lies at its margin or clearly on one side; benchmarks/verdicts.py has 200 studies and more kinds."""
    effects = {"b": 0.1, "c": 0.1, "d": -0.4, "e": 0.6}
    truth = {"b": {"undetermined", "refuted"}, "c": {"undetermined", "refuted"}}
    truth |= {"d": {"undetermined", "refuted"}, "e": {"undetermined", "supported"}}
    claims = {name: claim(effect={**ACCURACY, "where": {"run": name, "attack": "pgd"}}) for name in effects}
    rng, wrong, right = np.random.default_rng(0), 0, 0
    for _ in range(20):
        table = verdicts.table(claims, simulated(rng, effects), SETTINGS).set_index("claim")["verdict"]
        wrong += any(table[name] not in truth[name] for name in effects)
        right += (table["d"] == "refuted") + (table["e"] == "supported")
    assert wrong <= 2 and right > 20  # 1 expected at most; decided in most studies

"""Effects have the intervals that their tables' rows and differences have, and say why where there is none."""

import math

import numpy as np
import pytest
from claims_cases import ACCURACY, SETTINGS, cells, claim, estimates, values
from scipy import stats

from spectroscope.claims.effects import correlation_ends, measure
from spectroscope.claims.settings import Correlation
from spectroscope.pipeline import params
from spectroscope.statistics.cells import MARKED
from spectroscope.statistics.estimates import StatisticsSettings, difference, from_replicates, subtract, summary


def of(effect, found):
    return measure(claim(effect=effect).effect, found, SETTINGS)


def figures(row):
    return [float(row[name][0]) for name in ("mean", "low", "high")]


def test_a_row_has_the_interval_of_its_table():
    found = of({**ACCURACY, "less": None}, cells(b=values(0.5)))
    np.testing.assert_allclose([found.mean, *found.ends(0.95)], figures(summary(estimates(values(0.5)), SETTINGS)))
    assert (found.n_networks, found.n_images, found.why) == (5, 200, "")


def test_two_runs_are_paired_by_image_and_one_run_by_network_too():
    a, b = values(0.4), values(0.6, seed=1)
    study = cells(a=a, b=b)
    study["accuracy"]["b", "clean"] = (estimates(values(0.7, seed=1)), "")
    apart, own = of(ACCURACY, study), of({**ACCURACY, "less": {"attack": "clean"}}, study)
    expected = difference(estimates(b), estimates(a), SETTINGS)
    np.testing.assert_allclose([apart.mean, *apart.ends(0.95)], figures(expected))
    expected = summary(subtract(estimates(b), study["accuracy"]["b", "clean"][0]), SETTINGS)
    np.testing.assert_allclose([own.mean, *own.ends(0.95)], figures(expected), atol=1e-12)


def test_other_confidence_gives_the_interval_of_that_confidence():
    found = of(ACCURACY, cells(a=values(0.4), b=values(0.6, seed=1)))
    at = StatisticsSettings(confidence=0.99, groups=20)
    expected = difference(estimates(values(0.6, seed=1)), estimates(values(0.4)), at)
    np.testing.assert_allclose([found.mean, *found.ends(0.99)], figures(expected))


def test_a_range_of_shells_is_the_mean_of_their_rows():
    replicates = np.random.default_rng(0).normal(size=(3, 11, 4))
    found = cells()
    for shell in range(4):
        row = from_replicates(replicates[:, :, [shell]], 10, names=np.arange(10))
        found["calibrated"]["a", "pgd", "attack", "linf", str(shell)] = (row, "")
    where = {"run": "a", "attack": "pgd", "source": "attack", "shape": "linf", "shell": [1, 4]}
    effect = of({"table": "calibrated", "where": where, "less": None}, found)
    of_mean = from_replicates(replicates[:, :, 1:4].mean(2, keepdims=True), 10, names=np.arange(10))
    np.testing.assert_allclose([effect.mean, *effect.ends(0.95)], figures(summary(of_mean, SETTINGS)))
    beyond = of({"table": "calibrated", "where": {**where, "shell": [2, 5]}, "less": None}, found)
    assert beyond.why == "a, pgd, attack, linf, 4: the attack fooled no image" and math.isnan(beyond.mean)


def test_two_networks_have_no_interval_and_one_has_one_over_images():
    two, one = (of(ACCURACY, cells(a=values(0.4, networks=n), b=values(0.6, networks=n, seed=1))) for n in (2, 1))
    assert two.why == "two networks have no interval" and two.mean == pytest.approx(0.2, abs=0.1)
    assert one.why == "" and one.n_networks == 1 and np.isfinite(one.ends(0.95)).all()


def test_rows_that_are_missing_or_marked_say_so():
    centroid = {"table": "reliance", "where": {"run": "b", "score": "margin", "statistic": "centroid"}, "less": None}
    found = cells()
    assert of(centroid, found).why == "b, margin, centroid: the run is at chance"
    found["reliance"]["b", "margin", "centroid"] = (estimates(values(8)), MARKED)
    assert of(centroid, found).why == MARKED


ACROSS = {
    "across": "runs",
    "x": {"table": "accuracy", "where": {"attack": "pgd"}},
    "y": {"table": "accuracy", "where": {"attack": "clean"}},
    "runs": list("abcdefgh"),
}


def ranked(order, runs="abcdefgh"):
    found = cells(**{run: values(k) for k, run in enumerate(runs)})
    for k, run in zip(order, runs, strict=False):
        found["accuracy"][run, "clean"] = (estimates(values(k)), "")
    return of(ACROSS, found)


def test_a_correlation_over_runs_is_spearmans_with_its_interval():
    order = [1, 0, 2, 3, 5, 4, 7, 6]
    effect = ranked(order)
    rho = stats.spearmanr(order, range(8)).statistic
    half = 1.959964 * math.sqrt((1 + rho**2 / 2) / 5)
    ends = [math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)]
    np.testing.assert_allclose([effect.mean, *effect.ends(0.95)], [rho, *ends], rtol=1e-6)
    assert effect.n_runs == 8


def test_a_perfect_order_has_the_inner_end_of_its_nearest_neighbour():
    low, high = correlation_ends(1.0, 8, 0.95)
    nearest = stats.spearmanr(range(8), [1, 0, 2, 3, 4, 5, 6, 7]).statistic
    assert high == 1 and low == pytest.approx(correlation_ends(nearest, 8, 0.95)[0])
    assert correlation_ends(-1.0, 8, 0.95) == pytest.approx((-high, -low))


def test_a_run_without_a_value_is_left_out_until_there_are_too_few():
    assert ranked(range(6)).n_runs == 6
    assert ranked(range(5)).why == "only 5 runs have both statistics; without: f, g, h"


def test_fewer_than_six_runs_are_refused():
    with pytest.raises(ValueError, match="runs: expected at least 6 different runs, got a, b, c, d, e"):
        params.validate({**ACROSS, "runs": list("abcde")}, Correlation, "effect")


WORST = {"across": "choices", "take": "largest", "statistic": "centroid", "run": "b", "less": "a"}
KEYS_OF_CHOICES = [
    ("dct", "linf", "zero", "margin", "False", name) for name in ("raw", "per_coefficient", "per_energy")
]


def of_choices(b, a, marked=()):
    """Centroids of two runs under three choices, around b and a; `marked` choices have no centre in run b."""
    found = cells()
    for k, key in enumerate(KEYS_OF_CHOICES):
        for run, mean in (("b", b[k]), ("a", a[k])):
            why = MARKED if run == "b" and k in marked else ""
            found["choices"][run, "centroid", *key] = (estimates(values(mean, seed=7 * k + (run == "a"))), why)
    return found


def one_by_one(found, confidence):
    """Ends of the difference under each choice."""
    at = StatisticsSettings(confidence=confidence, groups=20)
    pairs = [[found["choices"][run, "centroid", *key][0] for run in "ba"] for key in KEYS_OF_CHOICES]
    return np.array([figures(difference(*pair, at)) for pair in pairs])


@pytest.mark.parametrize(("take", "sign"), [("largest", 1), ("smallest", -1)])
def test_an_extreme_over_choices_has_one_end_of_each_choice_and_one_corrected_for_all(take, sign):
    found = of_choices([0.3, 0.5, 0.4], [0.6, 0.6, 0.6])
    effect = of({**WORST, "take": take}, found)
    each, of_all = one_by_one(found, 0.95), one_by_one(found, 1 - 0.05 / 3)
    most = np.max if sign == 1 else np.min
    low, high = (of_all[:, 1], each[:, 2]) if sign == 1 else (each[:, 1], of_all[:, 2])
    np.testing.assert_allclose([effect.mean, *effect.ends(0.95)], [most(each[:, 0]), most(low), most(high)])
    place = 1 if sign == 1 else 0
    assert effect.mean == each[place, 0] and effect.n_networks == 5 and effect.n_images == 200
    name = KEYS_OF_CHOICES[place][-1]
    under = f"under basis dct, shape linf, baseline zero, score margin, clip False, normalisation {name}"
    assert effect.choice == f"{under}, one of 3 choices; 0 give no centre"
    assert len(effect.by_network) == 5 and np.mean(effect.by_network) == pytest.approx(effect.mean)


def test_choices_without_a_centre_are_left_out_and_counted():
    effect = of(WORST, of_choices([0.3, 0.5, 0.4], [0.6, 0.6, 0.6], marked=[1]))
    assert effect.choice.endswith("normalisation per_energy, one of 2 choices; 1 give no centre")
    nothing = of(WORST, of_choices([0.3, 0.5, 0.4], [0.6, 0.6, 0.6], marked=[0, 1, 2]))
    assert nothing.why == "none of 3 choices gives both runs a centre" and math.isnan(nothing.mean)


def test_the_largest_of_many_equal_differences_is_not_found_beyond_a_true_margin():
    """200 studies of 30 choices without a difference: a verdict in at most 5 %, where single intervals give many."""
    wrong = naive = 0
    for study in range(200):
        rng = np.random.default_rng(study)
        found = cells()
        for k in range(30):
            for run in "ab":
                row = estimates(rng.normal(size=(4, 1)) + 0.1 * rng.normal(size=(4, 20)))
                found["choices"][run, "centroid", str(k), *KEYS_OF_CHOICES[0][1:]] = (row, "")
        effect = of(WORST, found)
        wrong += effect.ends(0.95)[0] > 0 or effect.ends(0.95)[1] < 0
        each = [
            difference(*(found["choices"][r, "centroid", str(k), *KEYS_OF_CHOICES[0][1:]][0] for r in "ba"), SETTINGS)
            for k in range(30)
        ]
        naive += max(row["low"][0] for row in each) > 0
    assert wrong <= 0.05 * 200 and naive > 0.2 * 200


def test_an_extreme_of_a_run_and_itself_is_refused():
    with pytest.raises(ValueError, match="expected two different runs, got a twice"):
        claim(effect={**WORST, "run": "a"})


def test_a_choice_without_an_interval_takes_the_end_that_needs_them_all_and_is_named():
    found = of_choices([0.3, 0.5, 0.4], [0.6, 0.6, 0.6])
    for run in "ba":
        found["choices"][run, "centroid", *KEYS_OF_CHOICES[2]] = (estimates(np.full((5, 200), 0.2)), "")
    effect = of(WORST, found)
    assert effect.mean == 0 and np.isnan(effect.ends(0.95)).all()
    assert effect.why.startswith(
        "no interval under basis dct, shape linf, baseline zero, score margin, clip False, norm"
    )


def test_another_word_than_runs_or_choices_is_named():
    with pytest.raises(ValueError, match="expected across: runs or choices, or none, got 'choice'"):
        claim(effect={**WORST, "across": "choice"})

"""Weight decay and the schedule of the learning rate."""

import math

import pytest

from spectroscope.training.optimiser import lr_multiplier, sgd
from tests.trainings import network, settings


def test_weight_decay_acts_on_kernels_and_matrices_alone():
    model = network()
    decayed, free = sgd(model, settings(weight_decay=0.1)).param_groups
    assert decayed["weight_decay"] == 0.1 and free["weight_decay"] == 0
    assert {weight.ndim for weight in decayed["params"]} == {2, 4} and {weight.ndim for weight in free["params"]} == {1}
    assert len(decayed["params"]) + len(free["params"]) == len(list(model.parameters()))


@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("schedule", ["cyclic", "cosine"])
def test_the_learning_rate_starts_low_peaks_at_one_and_ends_near_zero(schedule, warmup):
    steps = 200
    multiplier = lr_multiplier(settings(schedule=schedule, warmup=warmup), steps)
    values = [multiplier(step) for step in range(steps)]
    peak = values.index(max(values))
    assert values[peak] == pytest.approx(1, abs=0.01) and peak == round(warmup * steps)
    assert values[0] < 0.1 or warmup == 0
    assert 0 < values[-1] < 0.01 and all(0 < value <= 1 for value in values)
    rise, fall = values[: peak + 1], values[peak:]
    assert rise == sorted(rise) and fall == sorted(fall, reverse=True)


def test_cyclic_falls_in_a_line_and_cosine_along_a_cosine():
    cyclic, cosine = (lr_multiplier(settings(schedule=name, warmup=0), 100) for name in ("cyclic", "cosine"))
    assert cyclic(25) == pytest.approx(0.75) and cosine(25) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)

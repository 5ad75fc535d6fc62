"""The settings of the loop: a bad value is named with its key."""

import math

import pytest

from tests.trainings import NO_CHANGE, SETTINGS, settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": []}, r"training\.seeds: expected at least 1 entry, got \[\]"),
        ({"seeds": [0, 1, 0]}, r"training\.seeds: expected seeds that differ, got \[0, 1, 0\]"),
        ({"seeds": [-1]}, r"training\.seeds\.0: .*greater than or equal to 0, got -1"),
        ({"epochs": 0}, r"training\.epochs: .*greater than or equal to 1, got 0"),
        ({"learning_rate": 0}, r"training\.learning_rate: .*greater than 0, got 0"),
        ({"learning_rate": math.inf}, r"training\.learning_rate: expected a finite number, got inf"),
        ({"momentum": 1.0}, r"training\.momentum: .*less than 1, got 1\.0"),
        ({"held_out": 0.5}, r"training\.held_out: .*less than 0\.5, got 0\.5"),
        ({"average": 1.0}, r"training\.average: .*less than 1, got 1\.0"),
        ({"keep": "first"}, r"training\.keep: expected 'last' or 'best', got 'first'"),
        ({"schedule": "step"}, r"training\.schedule: expected 'cyclic' or 'cosine', got 'step'"),
        ({"augmentation": {**NO_CHANGE, "flip": 1}}, r"training\.augmentation\.flip: expected a valid boolean, got 1"),
        ({"augmentation": {"flip": True, "padding": "zero"}}, r"augmentation\.crop: expected this setting, found none"),
        ({"augmentation": {**NO_CHANGE, "padding": "edge"}}, r"padding: expected 'reflect' or 'zero', got"),
        (
            {"validation_attack": {**SETTINGS["validation_attack"], "steps": 1}},
            r"attack: expected at least 2 steps, got 1",
        ),
        ({"lr": 0.1}, r"training\.lr: unknown setting"),
    ],
)
def test_a_bad_setting_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        settings(**change)

"""The small trained network that attacks are tested on, and what every case does to it, once for all files."""

import attack_cases
import pytest

from spectroscope.attacks import suite


@pytest.fixture(scope="session")
def model():
    return attack_cases.trained()


@pytest.fixture(scope="session")
def data():
    return attack_cases.synthetic(60, 2)


@pytest.fixture(scope="session")
def outcomes(model, data):
    return {case: suite.run(attack_cases.settings_of(case), model, *data, seed=3) for case in attack_cases.CASES}

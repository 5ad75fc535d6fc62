"""The small trained network that attacks are tested on, and the outcome of every case on it, shared by all files."""

import attack_cases
import pytest


@pytest.fixture(scope="session")
def model():
    return attack_cases.trained()


@pytest.fixture(scope="session")
def data():
    return attack_cases.synthetic(40, 2)


@pytest.fixture(scope="session")
def outcomes(model, data):
    return attack_cases.Outcomes(model, data)


@pytest.fixture(scope="session")
def few(data):
    """The first images alone."""
    return data[0][:16], data[1][:16]


@pytest.fixture(scope="session")
def few_outcomes(model, few):
    return attack_cases.Outcomes(model, few)

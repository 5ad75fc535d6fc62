"""Perturbations count where they fooled their own network and the other one has the image right."""

import numpy as np
import pandas as pd
import pytest
import torch
from attack_outcomes import SETTINGS, SHAPE, Linear

from spectroscope.attack_checks import transfer
from spectroscope.statistics.estimates import SUMMARY


@pytest.fixture
def x():
    return torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(0))


def test_only_what_fooled_its_own_network_and_is_right_here_is_counted(x):
    """Class 0 for a positive score: the network here has all images right but the one with label 1."""
    model = Linear(torch.ones(SHAPE))
    change = torch.cat([torch.zeros(4, *SHAPE), -2 * x[:2], torch.zeros(2, *SHAPE)])
    rows = pd.DataFrame({"seed": [3] * 4 + [7] * 4, "image": [0, 1, 2, 3] * 2, "label": [0, 1, 0, 0] * 2})
    rows["success"] = [False] * 4 + [True, True, True, False]
    found = transfer.transferred(model, x, {("other", "pgd"): (change, rows)}, 1)
    assert found["attack"].eq("pgd").all() and found["source"].eq("other").all()
    assert found["image"].tolist() == [0, 1, 2, 3]
    assert found["fooled"].tolist()[0] == 1 and found["fooled"].tolist()[2] == 0
    assert found["fooled"].isna().tolist() == [False, True, False, True]
    first = transfer.transferred(model, x, {("other", "pgd"): (change, rows)}, 0)
    assert first["fooled"].isna().all()


def test_a_network_without_a_partner_in_the_other_run_is_left_out(x):
    """The source has two networks: the third network here has nothing to be tried on."""
    rows = pd.DataFrame({"seed": [3] * 4 + [7] * 4, "image": [0, 1, 2, 3] * 2, "label": 0, "success": True})
    attacks = {("other", "pgd"): (torch.cat([-2 * x, 0 * x]), rows)}
    found = [transfer.transferred(Linear(torch.ones(SHAPE)), x, attacks, position) for position in range(3)]
    assert [len(part) for part in found] == [4, 4, 0] and list(found[2]) == list(found[0])
    rows = pd.concat(part.assign(run="a", seed=seed) for seed, part in enumerate(found))
    table = transfer.transfer_table(rows, np.arange(4), SETTINGS)
    assert table["mean"].tolist() == [0.5] and table["n_seeds"].tolist() == [2]


def test_a_study_of_one_run_has_no_transfer(x):
    found = transfer.transferred(Linear(torch.ones(SHAPE)), x, {}, 0)
    assert len(found) == 0 and list(found) == ["image", "label", "attack", "source", "fooled"]


def test_transfer_leaves_out_what_does_not_count():
    rows = pd.DataFrame(
        {"run": "a", "source": "b", "attack": "pgd", "seed": [0, 0, 1, 1], "image": [0, 1, 0, 1], "label": 0}
    ).assign(fooled=[1.0, np.nan, 0.0, 1.0])
    table = transfer.transfer_table(rows, np.arange(2), SETTINGS)
    assert list(table) == ["attack", "source", "run", *SUMMARY, "cells"]
    assert table["mean"].tolist() == [pytest.approx((1 + 1 / 2) / 2)] and table["n_images"].tolist() == [2]

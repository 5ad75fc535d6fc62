"""FGSM and CW, which advertorch computes, and the adapter to it."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from attack_cases import SHAPE, linear, settings_of

from spectroscope.attacks import advertorch_adapter, suite
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.pipeline import io


def test_the_adapter_takes_an_integer_eps(model, data):
    """advertorch itself accepts nothing but float."""
    x, labels = data[0][:6], data[1][:6]
    for eps in (1, 1.0, np.float32(1)):
        predict = CountingModel(model, x, labels, 4)
        assert (advertorch_adapter.fgsm(predict, x, labels, eps) - x).abs().amax() > 0.5


def test_fgsm_is_one_step_along_the_sign_on_a_linear_model():
    x = torch.full((2, *SHAPE), 0.5)
    outcome = suite.run(settings_of("fgsm", eps_255=51), linear, x, torch.tensor([0, 1]), seed=0)
    assert outcome.success.tolist() == [True, False]
    expected = -0.2 * torch.sign(torch.linspace(-1, 1, 12)).expand(SHAPE)
    torch.testing.assert_close(outcome.perturbation[0], expected, rtol=0, atol=1e-6)


def test_cw_finds_the_nearest_point_across_a_plane():
    x = torch.full((1, *SHAPE), 0.5)
    settings = settings_of("cw", learning_rate=0.02, search_steps=8, steps=150)
    outcome = suite.run(settings, linear, x, torch.tensor([0]), seed=0)
    slope = torch.linspace(-1, 1, 12).expand(SHAPE)
    distance = 5 / slope.norm()
    assert outcome.success.all()
    assert distance <= outcome.l2[0] <= 1.03 * distance
    torch.testing.assert_close(outcome.perturbation[0], -distance * slope / slope.norm(), rtol=0, atol=0.02)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_cw_moves_pixels_off_exactly_black_and_white(value):
    x = torch.full((1, *SHAPE), value)
    sign = 1 if value else -1

    def plane(x):
        score = sign * (x.sum((1, 2, 3)) - value * 432 + sign * 10)
        return torch.stack([score, -score], 1)

    settings = settings_of("cw", learning_rate=0.02, search_steps=8, steps=50)
    outcome = suite.run(settings, plane, x, torch.tensor([0]), seed=0)
    distance = 10 / 432**0.5
    assert outcome.success.all()
    assert distance <= outcome.l2[0] <= 1.05 * distance
    assert outcome.perturbation.abs().min() > 0


def test_cw_projected_onto_a_ball_is_tested_again(model, data, outcomes):
    free = outcomes["cw"]
    middle = float(free.l2[free.success].median())
    confined = suite.run(settings_of("cw", eps=middle), model, *data, seed=3)
    assert 0 < confined.success.sum() < free.success.sum()
    assert confined.l2.max() <= middle + 1e-6
    assert torch.equal(confined.success & ~free.success, torch.zeros_like(free.success))


def test_cw_s_perturbations_are_below_half_a_grey_level_in_most_pixels_and_survive_storage(outcomes, tmp_path):
    change = outcomes["cw"].perturbation
    io.write_arrays(tmp_path / "p.parquet", change, outcomes["cw"].table())
    small = (change != 0) & (change.abs() < 0.5 / 255)
    assert small.float().mean() > 0.1
    assert torch.equal(io.read_arrays(tmp_path / "p.parquet")[0][small], change[small])


@pytest.mark.parametrize("first", ["torchvision", "advertorch"])
def test_advertorch_and_torchvision_import_in_both_orders_in_a_fresh_process(first):
    steps = {
        "torchvision": "import torchvision",
        "advertorch": "from spectroscope.attacks import advertorch_adapter as a; a._attacks().CarliniWagnerL2Attack",
    }
    after = "import sys; assert not hasattr(sys.modules['torch.autograd.gradcheck'], 'zero_gradients')"
    code = "\n".join([*sorted(steps.values(), key=lambda step: step != steps[first]), after])
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_the_suite_brings_neither_advertorch_nor_torchvision():
    code = (
        "import sys, spectroscope.attacks.suite; print([m for m in ('advertorch', 'torchvision') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

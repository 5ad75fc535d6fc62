"""Images, labels and models that an attack refuses, and attacks that the suite refuses."""

import pytest
import torch
from attack_cases import CASES, EVERY, SHAPE, WHITE_BOX, settings_of
from torch import nn

from spectroscope.attacks import suite


@EVERY
def test_modes_are_restored_when_the_model_raises(case, model, data):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = nn.Dropout()

        def forward(self, x):
            raise ArithmeticError("no")

    broken = Broken().train()
    with pytest.raises(ArithmeticError):
        suite.run(settings_of(case), broken, *data, seed=0)
    assert broken.training and broken.part.training


@EVERY
def test_the_model_never_sees_a_pixel_outside_the_unit_interval(case, model, data):
    x = data[0][:8].clone()
    x[:, 0] = 0
    x[:, 1] = 1
    seen = []

    def watched(x):
        seen.extend(x.detach().aminmax())
        return model(x)

    suite.run(settings_of(case), watched, x, model(x).argmax(1), seed=0)
    assert len(seen) >= 4 and min(seen) >= 0 and max(seen) <= 1


@EVERY
@pytest.mark.parametrize("value", [-1e-3, 1.001, float("nan")])
def test_an_image_outside_the_unit_cube_is_refused(case, value, model, data):
    x = data[0][:4].clone()
    x[2, 1, 3, 3] = value
    with pytest.raises(ValueError, match=r"expected images in \[0, 1\], got values"):
        suite.run(settings_of(case), model, x, data[1][:4], seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(0, *SHAPE)}, r"expected float32 images \(N >= 1, C, H, W\)"),
        ({"images": torch.zeros(4, *SHAPE, dtype=torch.uint8)}, "got torch.uint8"),
        ({"images": torch.zeros(4, 12, 12)}, r"got torch.float32 \(4, 12, 12\)"),
        ({"labels": torch.tensor([0, 1, 2, 4])}, "expected labels 0..3, got 0..4"),
        ({"labels": torch.tensor([0, 1, -1, 3])}, "expected labels 0..3, got -1..3"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, "expected 4 integer labels"),
        ({"labels": torch.zeros(4)}, "expected 4 integer labels, got torch.float32"),
        ({"model": lambda x: x.flatten(1) * float("nan")}, "expected finite logits, got 1728 that are NaN"),
        ({"model": lambda x: x}, r"expected logits of shape \(4, classes >= 2\), got \(4, 3, 12, 12\)"),
        ({"model": lambda x: x[:2, 0, 0]}, r"expected logits of shape \(4, classes >= 2\), got \(2, 12\)"),
        ({"model": lambda x: x[:, 0, 0, :1]}, r"expected logits of shape \(4, classes >= 2\), got \(4, 1\)"),
    ],
)
def test_bad_input_is_refused(change, message, model, data):
    call = {"model": model, "images": data[0][:4], "labels": data[1][:4], **change}
    with pytest.raises(ValueError, match=message):
        suite.run(settings_of("fgsm"), seed=0, **call)


@pytest.mark.parametrize("case", WHITE_BOX)
def test_a_model_without_a_gradient_is_refused(case, model, data):
    with pytest.raises(ValueError, match="expected a model that is differentiable in its input"):
        suite.run(settings_of(case), lambda x: model(x).detach(), *data, seed=0)


@EVERY
def test_an_attack_that_leaves_its_bounds_is_an_error(case, model, data, monkeypatch):
    monkeypatch.setitem(suite.ATTACKS, CASES[case]["method"], lambda settings, predict, x, *others: x + 1)
    with pytest.raises(RuntimeError, match=r"expected adversaries in \[0, 1\]"):
        suite.run(settings_of(case), model, *data, seed=0)
    monkeypatch.setitem(suite.ATTACKS, CASES[case]["method"], lambda settings, predict, x, *others: 1 - x)
    if settings_of(case).ball:
        with pytest.raises(RuntimeError, match=r"expected perturbations of l(inf|2|1) norm <= "):
            suite.run(settings_of(case), model, *data, seed=0)

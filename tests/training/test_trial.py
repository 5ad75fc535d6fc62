"""Networks as people write them: trained and restored with the same logits, or refused before the first epoch."""

import sys

import pytest
import torch
from torch import nn
from trainings import bright_or_dark, settings

from spectroscope.models import architectures, inference
from spectroscope.pipeline import checkpoint, io
from spectroscope.training import networks, trial
from spectroscope.training.regimes.standard import Standard


def viewing(channels, n_classes, small):
    class Viewing(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(channels, 4, 3), nn.Linear(144, n_classes)

        def forward(self, x):
            return self.head(self.conv(x).relu().view(len(x), -1))

    return Viewing()


def tied(channels, n_classes, small):
    first, last = nn.Linear(64, 64), nn.Linear(64, 64)
    last.weight = first.weight
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), last, nn.ReLU(), nn.Linear(64, n_classes))


def parametrised(channels, n_classes, small):
    return nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(64, n_classes)))


def flat_norm(channels, n_classes, small):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, n_classes))


def cumulative(channels, n_classes, small):
    return nn.Sequential(nn.BatchNorm2d(channels, affine=False, momentum=None), nn.Flatten(), nn.Linear(64, n_classes))


def masked(channels, n_classes, small):
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, n_classes))
    network.register_buffer("mask", torch.full((2,), -torch.inf))
    return network


def constant(channels, n_classes, small):
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, n_classes))
    weight, bias = network[1].weight.detach(), network[1].bias.detach()
    del network[1].weight, network[1].bias
    network[1].register_buffer("weight", weight)
    network[1].register_buffer("bias", bias)
    return network


def frozen(channels, n_classes, small):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, n_classes)).requires_grad_(False)


def outputs(channels, n_classes, small):
    class Outputs(nn.Sequential):
        def forward(self, x):
            return {"logits": super().forward(x)}

    return Outputs(nn.Flatten(), nn.Linear(64, n_classes))


def exits(channels, n_classes, small):
    sys.exit("no network today")


def nothing(channels, n_classes, small):
    return None


def two(channels, n_classes):
    return viewing(channels, n_classes, True)


SOUND = [viewing, tied, parametrised, flat_norm, cumulative, masked]


def train(function, tmp_path, **changes):
    name, data = f"{__name__}:{function.__name__}", bright_or_dark()
    recipe = settings(**changes)
    with checkpoint.open_store("training", name=name, folder=str(tmp_path)) as store:
        models, rows = networks.train_networks("r", Standard(name="standard"), name, None, data, recipe, store)
    io.write_weights(tmp_path / "seed0.safetensors", models[0])
    ((_, restored),) = inference.restore_all(tmp_path, name, (1, 8, 8), 2)
    with torch.no_grad():
        turned = data.pixels.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(restored(turned), models[0](data.pixels), rtol=1e-4, atol=1e-5)
    return rows


@pytest.mark.parametrize("average", [None, 0.9])
@pytest.mark.parametrize(
    "function", [viewing, tied, parametrised, flat_norm, cumulative, masked], ids=lambda f: f.__name__
)
def test_a_network_of_ones_own_trains_and_is_restored(function, average, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train(function, tmp_path, average=average)[-1]["clean"] > 0.8


@pytest.mark.parametrize(
    ("function", "changes", "message"),
    [
        (constant, {}, r"expected weights as parameters \(torch.nn.Parameter\), got none"),
        (frozen, {}, "expected a network with weights that can be trained, got one without"),
        (outputs, {}, r"expected logits as one tensor \(8, 2\), got a dict of logits: return the logits alone"),
        (flat_norm, {"batch_size": 59}, r"training\.batch_size: expected .* batches of 1 of 60 images, got ValueError"),
        (exits, {}, r"from .*:exits\(1, 2, True\), got SystemExit in line \d+ of test_trial.py: no network"),
        (nothing, {}, r"expected a network from .*:nothing\(1, 2, True\), a torch\.nn\.Module, got NoneType"),
        (two, {}, r"expected .*:two to take \(channels, n_classes, small\), got: too many positional arguments"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_a_network_that_cannot_be_used_is_refused_before_the_first_epoch(
    function, changes, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(networks, "fit", lambda *_: pytest.fail("trained"))
    with pytest.raises(ValueError, match=message):
        train(function, tmp_path, **changes)


@pytest.mark.parametrize("code", ["raise RuntimeError('broken')", "import sys; sys.exit(2)", "1 / 0", "def x(:"])
def test_a_module_that_fails_is_named_by_check(code, tmp_path, monkeypatch):
    (tmp_path / "broken_module.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("broken_module", None)
    with pytest.raises(ValueError, match=r"expected a function 'make' in a module 'broken_module', got: \w+"):
        architectures.architecture("broken_module:make")


def test_the_trial_changes_neither_the_network_nor_the_random_numbers():
    model = architectures.build("resnet8", (1, 8, 8), 2)
    before, state = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    trial.require_sound(model, bright_or_dark())
    trial.require_trainable(model, bright_or_dark(), settings())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_logits_that_are_not_finite_are_not_the_first_class():
    with pytest.raises(ValueError, match="expected finite logits, got NaN or infinity for 1 of 2 images"):
        inference.predict(lambda x: x.mean((2, 3)), torch.tensor([1.0, torch.nan])[:, None, None, None])

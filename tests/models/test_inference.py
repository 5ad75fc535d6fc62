"""What freezing keeps, how a run's folder is read, and predictions."""

import pytest
import torch
from torch import nn

from spectroscope.models import architectures, inference, public, resnets, transformers
from spectroscope.pipeline import io, machine, passes

SHAPE = (3, 16, 16)


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def build(name="resnet8", shape=SHAPE, n_classes=4, seed=0):
    with torch.random.fork_rng():
        machine.seed(seed)
        return architectures.build(name, shape, n_classes)


@pytest.fixture(scope="module")
def trained():
    """A network after a few steps, so that its BatchNorm statistics are not those it began with."""
    model = build()
    x, y = rand(32, *SHAPE), torch.arange(32) % 4
    model.normalise.fit(x)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(4):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    assert (model[1][1].running_var - 1).abs().max() > 0.1
    return model


# ---- freezing


def test_freezing_changes_no_logit(trained):
    x = rand(9, *SHAPE, seed=1)
    frozen = inference.freeze(trained)
    torch.testing.assert_close(frozen(x), trained.eval()(x), atol=1e-4, rtol=0)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in frozen.modules())


def test_a_frozen_network_takes_no_gradient_but_passes_it_on(trained):
    frozen = inference.freeze(trained)
    x = rand(2, *SHAPE).requires_grad_()
    frozen(x).sum().backward()
    assert x.grad.abs().sum() > 0
    assert not any(weight.requires_grad or weight.grad is not None for weight in frozen.parameters())
    assert not any(layer.training for layer in frozen.modules())


@pytest.mark.parametrize("training", [True, False])
def test_freezing_leaves_the_network_itself_alone(trained, training):
    trained.train(training)
    modes = [layer.training for layer in trained.modules()]
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    frozen = inference.freeze(trained)
    with torch.no_grad():
        for weight in frozen.parameters():
            weight.zero_()
    assert [layer.training for layer in trained.modules()] == modes and modes[0] == training
    assert all(weight.requires_grad for weight in trained.parameters())
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())


def test_a_frozen_network_sees_each_image_alone(trained):
    x, frozen = rand(6, *SHAPE), inference.freeze(trained)
    torch.testing.assert_close(frozen(x)[2:3], frozen(x[2:3]), atol=1e-5, rtol=0)


def settled(model, seed=0):
    """The model with BatchNorm statistics, scales and shifts that are not those it began with."""
    generator = torch.Generator().manual_seed(seed)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor, low in ((layer.running_var, 0.5), (layer.weight.data, 0.5), (layer.running_mean, -0.5)):
                tensor.copy_(low + torch.rand(tensor.shape, generator=generator))
            layer.bias.data.copy_(torch.rand(layer.bias.shape, generator=generator) - 0.5)
    return model.eval().double()


@pytest.mark.parametrize(
    ("network", "left"),
    [
        # the last BatchNorm, and the first of all eight blocks but the one after the stem
        (resnets.PreActResNet18(3, 5), 9),
        (resnets.WideResNet(3, 5, depth=10, width=2), 3),
        (transformers.VisionTransformer(3, 5, 4), 0),
        (public.CifarResNet(3, 5, blocks=2), 0),
    ],
    ids=["preactresnet18", "wideresnet", "vit", "resnet14"],
)
def test_freezing_a_network_with_shortcuts_changes_no_logit(network, left):
    model = settled(architectures.Network(architectures.Normalise(3), network))
    x = rand(4, 3, 16, 16).double()
    frozen = inference.freeze(model)
    torch.testing.assert_close(frozen(x), model(x), atol=1e-5, rtol=0)
    assert model(x).std() > 1e-3
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in frozen.modules()) == left


def test_a_convolution_used_twice_is_not_folded():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.first, self.second = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

        def forward(self, x):
            return self.second(self.conv(self.first(self.conv(x)))).mean((2, 3))

    model, x = settled(Twice()), rand(2, *SHAPE).double()
    torch.testing.assert_close(inference.freeze(model)(x), model(x))


# ---- a run's folder


def test_networks_come_in_the_order_of_their_seeds(tmp_path):
    for seed in (10, 2, 0):
        io.write_weights(tmp_path / f"seed{seed}.safetensors", build(seed=seed))
    (tmp_path / "epochs.csv").touch()
    x = rand(3, *SHAPE)
    models = dict(inference.restore_all(tmp_path, "resnet8", SHAPE, 4))
    assert list(models) == [0, 2, 10]
    for seed, model in models.items():
        torch.testing.assert_close(model(x), build(seed=seed).eval()(x), atol=1e-4, rtol=0)


def test_a_network_that_is_not_folded_has_all_its_modules_and_the_same_logits(trained, tmp_path):
    io.write_weights(tmp_path / "seed0.safetensors", trained)
    (folded, whole) = (
        dict(inference.restore_all(tmp_path, "resnet8", SHAPE, 4, fold=fold))[0] for fold in (True, False)
    )
    kinds = [[type(module) for module in model.modules()].count(nn.BatchNorm2d) for model in (folded, whole)]
    assert kinds[0] == 0 < kinds[1] == [type(module) for module in trained.modules()].count(nn.BatchNorm2d)
    assert not whole.training and not any(weight.requires_grad for weight in whole.parameters())
    torch.testing.assert_close(whole(rand(5, *SHAPE)), folded(rand(5, *SHAPE)), atol=1e-4, rtol=0)


def test_normalisation_travels_with_the_weights(trained, tmp_path):
    io.write_weights(tmp_path / "seed0.safetensors", trained)
    ((_, model),) = inference.restore_all(tmp_path, "resnet8", SHAPE, 4)
    torch.testing.assert_close(model(rand(5, *SHAPE)), trained.eval()(rand(5, *SHAPE)), atol=1e-4, rtol=0)
    assert trained.normalise.mean.abs().min() > 0.1  # it was fitted: leaving it out would show


def own(channels, classes, small):
    """A network that decides by its input, which tracing could not see."""

    class Deciding(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(channels, classes)

        def forward(self, x):
            return self.linear(x.mean((2, 3))) * (1 if x.sum() > 0 else -1)

    return Deciding()


def test_a_network_of_ones_own_is_built_and_restored_as_it_is(tmp_path):
    name = f"{__name__}:own"
    io.write_weights(tmp_path / "seed0.safetensors", build(name))
    ((_, model),) = inference.restore_all(tmp_path, name, SHAPE, 4)
    x = rand(3, *SHAPE)
    torch.testing.assert_close(model(x), build(name)(x))
    assert not any(weight.requires_grad for weight in model.parameters())
    x = x.requires_grad_()
    model(x).sum().backward()
    assert x.grad.abs().max() > 0


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(ValueError, match=rf"{tmp_path}: expected seed<number>\.safetensors, found none"):
        list(inference.restore_all(tmp_path, "resnet8", SHAPE, 4))


def test_weights_of_another_number_of_classes_are_named(tmp_path):
    io.write_weights(tmp_path / "seed0.safetensors", build(n_classes=5))
    with pytest.raises(ValueError, match=r"seed0\.safetensors: .*1\.8\.bias: expected \(4,\), got \(5,\)"):
        list(inference.restore_all(tmp_path, "resnet8", SHAPE, 4))


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_predictions_in_batches_are_those_of_the_whole(trained, monkeypatch, batch_size):
    monkeypatch.setattr(passes, "forward_batch_size", lambda *_: batch_size)
    frozen, x = inference.freeze(trained), rand(7, *SHAPE)
    classes = inference.predict(frozen, x)
    assert torch.equal(classes, frozen(x).argmax(1)) and classes.shape == (7,) and classes.dtype == torch.int64

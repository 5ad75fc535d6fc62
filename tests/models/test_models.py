"""Networks: their shapes, what freezing keeps, and how a run's folder is read."""

import pytest
import torch
from torch import nn

from spectroscope.models import architectures, inference
from spectroscope.pipeline import io, machine

SHAPE = (3, 16, 16)


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def build(name="resnet8", shape=SHAPE, n_classes=4, seed=0):
    with torch.random.fork_rng():
        machine.seed(seed)
        return inference.build(name, shape, n_classes)


@pytest.fixture(scope="module")
def trained():
    """A network after a few steps, so that its BatchNorm statistics are not those it began with."""
    model = build()
    x, y = rand(32, *SHAPE), torch.arange(32) % 4
    model[0].fit(x)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(4):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    assert (model[1][1].running_var - 1).abs().max() > 0.1
    return model


@pytest.mark.parametrize("name", inference.MODELS)
@pytest.mark.parametrize("channels", [1, 3])
def test_small_images_become_logits(name, channels):
    model = build(name, (channels, 32, 32), 7).eval()
    with torch.no_grad():
        logits = model(rand(2, channels, 32, 32))
    assert logits.shape == (2, 7) and logits.isfinite().all() and not torch.equal(logits[0], logits[1])


@pytest.mark.parametrize("name", ["resnet18", "vgg19"])
@pytest.mark.parametrize("channels", [1, 3])
def test_large_images_become_logits(name, channels):
    with torch.no_grad():
        logits = build(name, (channels, 96, 80), 7).eval()(rand(2, channels, 96, 80))
    assert logits.shape == (2, 7) and logits.isfinite().all()


def test_the_small_form_keeps_the_resolution_that_the_large_form_halves():
    size = {}
    for side in (32, 96):
        model = build("resnet18", (3, side, side))
        hook = model[1].layer1.register_forward_hook(lambda module, x, y, side=side: size.update({side: y.shape[-1]}))
        with torch.no_grad():
            model.eval()(rand(1, 3, side, side))
        hook.remove()
    assert size == {32: 32, 96: 96 // 4}


def test_resnet8_refuses_large_images():
    with pytest.raises(ValueError, match="resnet8: expected images with no side above 64, got larger ones"):
        build("resnet8", (3, 65, 32))


def test_an_unknown_name_lists_the_known_ones():
    known = "resnet8, resnet18, resnet50, vgg19, preactresnet18, wideresnet28, vit"
    with pytest.raises(ValueError, match=f"expected a model among {known}, or module:function, got 'resnet9'"):
        inference.build("resnet9", SHAPE, 4)


# ---- normalisation


def test_normalisation_gives_each_channel_mean_0_and_deviation_1():
    x = rand(50, 3, 8, 8) * torch.tensor([1.0, 0.2, 0.5])[:, None, None] + 0.1
    layer = inference.Normalise(3)
    layer.fit(x)
    y = layer(x)
    assert y.mean((0, 2, 3)).abs().max() < 1e-5
    torch.testing.assert_close(y.std((0, 2, 3)), torch.ones(3))


def test_a_constant_channel_is_not_divided_by_zero():
    layer = inference.Normalise(1)
    layer.fit(torch.full((4, 1, 2, 2), 0.5))
    assert layer(torch.full((1, 1, 2, 2), 0.5 + 1 / 255)).allclose(torch.ones(1), atol=1e-4)


def test_normalisation_travels_with_the_weights(trained, tmp_path):
    io.write_weights(tmp_path / "seed0.safetensors", trained)
    ((_, found),) = inference.restore_all(tmp_path, "resnet8", SHAPE, 4)
    torch.testing.assert_close(found(rand(5, *SHAPE)), trained.eval()(rand(5, *SHAPE)), atol=1e-4, rtol=0)
    assert trained[0].mean.abs().min() > 0.1  # it was fitted: leaving it out would show


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


def settled(model, shape, seed=0):
    """The model with BatchNorm statistics, scales and shifts that are not those it began with."""
    generator = torch.Generator().manual_seed(seed)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor, low in ((layer.running_var, 0.5), (layer.weight.data, 0.5), (layer.running_mean, -0.5)):
                tensor.copy_(low + torch.rand(tensor.shape, generator=generator))
            layer.bias.data.copy_(torch.rand(layer.bias.shape, generator=generator) - 0.5)
    return model.eval().double()


SMALL_WIDE = architectures.WideResNet(3, 5, depth=10, width=2)


@pytest.mark.parametrize(
    ("network", "left"),
    [
        (
            architectures.PreActResNet18(3, 5),
            9,
        ),  # eight blocks' first BatchNorm but the one after the stem's, and the last
        (SMALL_WIDE, 3),
        (architectures.VisionTransformer(3, 5, 4), 0),
    ],
    ids=["preactresnet18", "wideresnet", "vit"],
)
def test_freezing_a_pre_activation_network_changes_no_logit(network, left):
    model = settled(nn.Sequential(inference.Normalise(3), network), (3, 16, 16))
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

    model, x = settled(Twice(), SHAPE), rand(2, *SHAPE).double()
    torch.testing.assert_close(inference.freeze(model)(x), model(x))


def test_a_wide_network_has_its_depth_its_width_and_the_names_of_published_weights():
    with torch.device("meta"):
        model = architectures.lookup("wideresnet28")(3, 10, True)
    assert sum(isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3) for layer in model.modules()) == 25
    assert sum(weight.numel() for weight in model.parameters()) == 36_479_194  # 36.5 M, Zagoruyko & Komodakis 2016
    names = {
        "block1.layer.0.convShortcut.weight",
        "block3.layer.3.bn2.running_var",
        "conv1.weight",
        "bn1.weight",
        "fc.bias",
    }
    assert names <= set(model.state_dict())


def test_the_pre_activation_resnet_has_the_size_and_the_names_of_published_weights():
    with torch.device("meta"):
        model = architectures.lookup("preactresnet18")(3, 10, True)
    assert sum(weight.numel() for weight in model.parameters()) == 11_172_170
    names = {"layer2.0.shortcut.0.weight", "layer4.1.bn2.weight", "bn.running_mean", "linear.weight"}
    assert names <= set(model.state_dict())


@pytest.mark.parametrize("name", ["preactresnet18", "wideresnet28"])
def test_networks_for_small_images_refuse_large_ones(name):
    with pytest.raises(ValueError, match=f"{name}: expected images with no side above 64, got larger ones; use"):
        build(name, (3, 65, 32))


@pytest.mark.parametrize("side", [32, 48, 96])
def test_the_transformer_takes_images_of_any_size(side):
    with torch.no_grad():
        assert build("vit", (1, side, 32), 4).eval()(rand(2, 1, side, 32)).shape == (2, 4)


def test_the_transformer_knows_where_a_patch_is():
    model, x = build("vit", (3, 16, 16), 4).eval(), rand(1, 3, 16, 16)
    swapped = torch.cat([x[..., 8:], x[..., :8]], -1)
    assert (model(x) - model(swapped)).abs().max() > 1e-4


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
    ((_, found),) = inference.restore_all(tmp_path, name, SHAPE, 4)
    x = rand(3, *SHAPE)
    torch.testing.assert_close(found(x), build(name)(x))
    assert not any(weight.requires_grad for weight in found.parameters())
    x = x.requires_grad_()
    found(x).sum().backward()
    assert x.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere:net", r"expected a function 'net' in a module 'nowhere', got: No module named 'nowhere'"),
        (f"{__name__}:nothing", r"expected a function 'nothing' in a module .*no attribute 'nothing'"),
        (f"{__name__}:SHAPE", r"expected .*:SHAPE to be a function, got tuple"),
    ],
)
def test_a_network_of_ones_own_that_is_not_there_is_named(name, message):
    with pytest.raises(ValueError, match=message):
        inference.build(name, SHAPE, 4)


# ---- a run's folder


def test_networks_come_in_the_order_of_their_seeds(tmp_path):
    for seed in (10, 2, 0):
        io.write_weights(tmp_path / f"seed{seed}.safetensors", build(seed=seed))
    (tmp_path / "epochs.csv").touch()
    x = rand(3, *SHAPE)
    found = dict(inference.restore_all(tmp_path, "resnet8", SHAPE, 4))
    assert list(found) == [0, 2, 10]
    for seed, model in found.items():
        torch.testing.assert_close(model(x), build(seed=seed).eval()(x), atol=1e-4, rtol=0)


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(ValueError, match=rf"{tmp_path}: expected seed<number>\.safetensors, found none"):
        list(inference.restore_all(tmp_path, "resnet8", SHAPE, 4))


def test_weights_of_another_number_of_classes_are_named(tmp_path):
    io.write_weights(tmp_path / "seed0.safetensors", build(n_classes=5))
    with pytest.raises(ValueError, match=r"seed0\.safetensors: .*1\.8\.bias: expected \(4,\), got \(5,\)"):
        list(inference.restore_all(tmp_path, "resnet8", SHAPE, 4))


@pytest.mark.parametrize("batch_size", [1, 4, 7, 64])
def test_predictions_in_batches_are_those_of_the_whole(trained, monkeypatch, batch_size):
    monkeypatch.setattr(machine, "forward_batch_size", lambda: batch_size)
    frozen, x = inference.freeze(trained), rand(7, *SHAPE)
    found = inference.predict(frozen, x)
    assert torch.equal(found, frozen(x).argmax(1)) and found.shape == (7,) and found.dtype == torch.int64

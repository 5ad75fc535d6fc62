"""Networks: their shapes, what freezing keeps, and how a run's folder is read."""

import pytest
import torch
from torch import nn

from spectroscope import io, models, runtime

SHAPE = (3, 16, 16)


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def build(name="resnet8", shape=SHAPE, n_classes=4, seed=0):
    with torch.random.fork_rng():
        runtime.seed(seed)
        return models.build(name, shape, n_classes)


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


@pytest.mark.parametrize("name", models.MODELS)
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
    with pytest.raises(ValueError, match="expected a model among resnet8, resnet18, resnet50, vgg19, got 'resnet9'"):
        models.build("resnet9", SHAPE, 4)


# ---- normalisation


def test_normalisation_gives_each_channel_mean_0_and_deviation_1():
    x = rand(50, 3, 8, 8) * torch.tensor([1.0, 0.2, 0.5])[:, None, None] + 0.1
    layer = models.Normalise(3)
    layer.fit(x)
    y = layer(x)
    assert y.mean((0, 2, 3)).abs().max() < 1e-5
    torch.testing.assert_close(y.std((0, 2, 3)), torch.ones(3))


def test_a_constant_channel_is_not_divided_by_zero():
    layer = models.Normalise(1)
    layer.fit(torch.full((4, 1, 2, 2), 0.5))
    assert layer(torch.full((1, 1, 2, 2), 0.5 + 1 / 255)).allclose(torch.ones(1), atol=1e-4)


def test_normalisation_travels_with_the_weights(trained, tmp_path):
    io.write_weights(tmp_path / "seed0.safetensors", trained)
    ((_, found),) = models.restore_all(tmp_path, "resnet8", SHAPE, 4)
    torch.testing.assert_close(found(rand(5, *SHAPE)), trained.eval()(rand(5, *SHAPE)), atol=1e-4, rtol=0)
    assert trained[0].mean.abs().min() > 0.1  # it was fitted: leaving it out would show


# ---- freezing


def test_freezing_changes_no_logit(trained):
    x = rand(9, *SHAPE, seed=1)
    frozen = models.freeze(trained)
    torch.testing.assert_close(frozen(x), trained.eval()(x), atol=1e-4, rtol=0)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in frozen.modules())


def test_a_frozen_network_takes_no_gradient_but_passes_it_on(trained):
    frozen = models.freeze(trained)
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
    frozen = models.freeze(trained)
    with torch.no_grad():
        for weight in frozen.parameters():
            weight.zero_()
    assert [layer.training for layer in trained.modules()] == modes and modes[0] == training
    assert all(weight.requires_grad for weight in trained.parameters())
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())


def test_a_frozen_network_sees_each_image_alone(trained):
    x, frozen = rand(6, *SHAPE), models.freeze(trained)
    torch.testing.assert_close(frozen(x)[2:3], frozen(x[2:3]), atol=1e-5, rtol=0)


# ---- a run's folder


def test_networks_come_in_the_order_of_their_seeds(tmp_path):
    for seed in (10, 2, 0):
        io.write_weights(tmp_path / f"seed{seed}.safetensors", build(seed=seed))
    (tmp_path / "epochs.csv").touch()
    x = rand(3, *SHAPE)
    found = dict(models.restore_all(tmp_path, "resnet8", SHAPE, 4))
    assert list(found) == [0, 2, 10]
    for seed, model in found.items():
        torch.testing.assert_close(model(x), build(seed=seed).eval()(x), atol=1e-4, rtol=0)


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(ValueError, match=rf"{tmp_path}: expected seed<number>\.safetensors, found none"):
        list(models.restore_all(tmp_path, "resnet8", SHAPE, 4))


def test_weights_of_another_number_of_classes_are_named(tmp_path):
    io.write_weights(tmp_path / "seed0.safetensors", build(n_classes=5))
    with pytest.raises(ValueError, match=r"seed0\.safetensors: .*1\.8\.bias: expected \(4,\), got \(5,\)"):
        list(models.restore_all(tmp_path, "resnet8", SHAPE, 4))


@pytest.mark.parametrize("batch_size", [1, 4, 7, 64])
def test_predictions_in_batches_are_those_of_the_whole(trained, monkeypatch, batch_size):
    monkeypatch.setattr(runtime, "images_at_once", lambda: batch_size)
    frozen, x = models.freeze(trained), rand(7, *SHAPE)
    found = models.predict(frozen, x)
    assert torch.equal(found, frozen(x).argmax(1)) and found.shape == (7,) and found.dtype == torch.int64

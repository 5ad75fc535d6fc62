"""Networks: their shapes, sizes and names, and what they do to pixels."""

import pytest
import torch
from torch import nn

from spectroscope.models import architectures
from spectroscope.models.architectures import ARCHITECTURES, FIXED_SIDES, Normalise, architecture
from spectroscope.models.public import PaddedBlock

SHAPE = (3, 16, 16)
KNOWN = (
    "resnet8, resnet18, resnet50, vgg19, preactresnet18, wideresnet28, vit, resnet20, resnet32, resnet44, resnet56, "
    "resnet2b, resnet4b, cnn-a, cnn-base, cnn-deep, conv-small, marabou-large, lenet5"
)


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def build(name="resnet8", shape=SHAPE, n_classes=4):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return architectures.build(name, shape, n_classes)


@pytest.mark.parametrize(("name", "channels"), [*((name, 1) for name in ARCHITECTURES), ("resnet8", 3)])
def test_small_images_become_logits(name, channels):
    side = FIXED_SIDES.get(name, 32)
    model = build(name, (channels, side, side), 7).eval()
    with torch.no_grad():
        logits = model(rand(2, channels, side, side))
    assert logits.shape == (2, 7) and logits.isfinite().all() and not torch.equal(logits[0], logits[1])


@pytest.mark.parametrize("name", ["resnet18", "vgg19", "vit"])
@pytest.mark.parametrize("channels", [1, 3])
def test_large_images_become_logits(name, channels):
    with torch.device("meta"):  # shapes without values, since the large form of vgg19 has 139 million weights
        assert architectures.build(name, (channels, 96, 80), 7)(torch.rand(2, channels, 96, 80)).shape == (2, 7)


def test_the_small_form_keeps_the_resolution_that_the_large_form_halves():
    size = {}
    for side in (32, 96):
        model = build("resnet18", (3, side, side))
        hook = model[1].layer1.register_forward_hook(lambda module, x, y, side=side: size.update({side: y.shape[-1]}))
        with torch.no_grad():
            model.eval()(rand(1, 3, side, side))
        hook.remove()
    assert size == {32: 32, 96: 96 // 4}


@pytest.mark.parametrize("name", ["resnet8", "preactresnet18", "wideresnet28", "resnet20"])
def test_networks_for_small_images_refuse_large_ones(name):
    with pytest.raises(
        ValueError, match=f"{name}: expected images with no side above 64, got larger ones; use resnet18"
    ):
        build(name, (3, 65, 32))


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=f"expected a model among {KNOWN}, or module:function, got 'resnet9'"):
        build("resnet9")


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
        build(name)


def test_a_wide_network_has_its_depth_its_width_and_the_names_of_published_weights():
    with torch.device("meta"):
        model = architecture("wideresnet28")(3, 10, True)
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
        model = architecture("preactresnet18")(3, 10, True)
    assert sum(weight.numel() for weight in model.parameters()) == 11_172_170
    names = {"layer2.0.shortcut.0.weight", "layer4.1.bn2.weight", "bn.running_mean", "linear.weight"}
    assert names <= set(model.state_dict())


@pytest.mark.parametrize(("depth", "weights"), [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018)])
def test_cifar_resnets_have_the_depth_and_the_size_of_the_paper(depth, weights):
    """He et al. 2016, Table 6: 0.27, 0.46, 0.66 and 0.85 million weights; their shortcuts have none."""
    with torch.device("meta"):
        model = architecture(f"resnet{depth}")(3, 10, True)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth and sum(weight.numel() for weight in model.parameters()) == weights
    assert {"layer2.0.bn1.running_var", "layer3.2.conv2.weight", "linear.bias"} <= set(model.state_dict())


def test_a_shortcut_without_weights_takes_every_second_pixel_between_channels_of_zeros():
    block = PaddedBlock(2, 4, 2).eval()
    nn.init.zeros_(block.bn2.weight)  # the block is its shortcut alone, and a ReLU
    x = rand(1, 2, 4, 4)
    zeros = torch.zeros(1, 1, 2, 2)
    assert torch.equal(block(x), torch.cat([zeros, x[..., ::2, ::2], zeros], 1))


@pytest.mark.parametrize(
    ("name", "side"), [("resnet4b", 32), ("cnn-a", 32), ("conv-small", 32), ("marabou-large", 32), ("lenet5", 28)]
)
def test_networks_with_linear_layers_on_all_pixels_take_images_of_one_size(name, side):
    with pytest.raises(ValueError, match=f"{name}: expected images of {side} x {side} pixels, got {side} x 30"):
        build(name, (3, side, 30))


@pytest.mark.parametrize(
    ("name", "units", "weights"),
    [
        ("resnet2b", 1024, 112_006),
        ("resnet4b", 512, 123_734),
        ("cnn-a", 2048, 214_918),
        ("cnn-base", 1024, 105_966),
        ("cnn-deep", 512, 54_902),
        ("conv-small", 1152, 125_318),
        ("marabou-large", 2304, 338_346),
    ],
)
def test_networks_with_public_weights_have_the_units_and_the_size_of_their_files(name, units, weights):
    with torch.device("meta"):
        model = architecture(name)(3, 10, True)
    assert next(layer for layer in model.modules() if isinstance(layer, nn.Linear)).in_features == units
    assert sum(weight.numel() for weight in model.parameters()) == weights


@pytest.mark.parametrize("side", [32, 48, 96])
def test_the_transformer_takes_images_of_any_size(side):
    with torch.no_grad():
        assert build("vit", (1, side, 32), 4).eval()(rand(2, 1, side, 32)).shape == (2, 4)


def test_the_transformer_knows_where_a_patch_is():
    model, x = build("vit").eval(), rand(1, *SHAPE)
    swapped = torch.cat([x[..., 8:], x[..., :8]], -1)
    assert (model(x) - model(swapped)).abs().max() > 1e-4


# ---- normalisation


def test_normalisation_gives_each_channel_mean_0_and_deviation_1():
    x = rand(50, 3, 8, 8) * torch.tensor([1.0, 0.2, 0.5])[:, None, None] + 0.1
    layer = Normalise(3)
    layer.fit(x)
    y = layer(x)
    assert y.mean((0, 2, 3)).abs().max() < 1e-5
    torch.testing.assert_close(y.std((0, 2, 3)), torch.ones(3))


def test_a_constant_channel_is_not_divided_by_zero():
    layer = Normalise(1)
    layer.fit(torch.full((4, 1, 2, 2), 0.5))
    assert layer(torch.full((1, 1, 2, 2), 0.5 + 1 / 255)).allclose(torch.ones(1), atol=1e-4)


def test_the_normalisation_is_a_network_s_first_layer():
    model, x = build().eval(), rand(5, *SHAPE)
    assert model.normalise is model[0]
    model.normalise.fit(x)
    torch.testing.assert_close(model(x), model[1](model.normalise(x)))

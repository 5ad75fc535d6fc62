"""Spectra by layer against layers whose spectrum is known in closed form, and every kind of layer output."""

import numpy as np
import pytest
import torch
from torch import nn

from spectroscope.frequency.partitions import cycles_per_side, partition
from spectroscope.frequency.spectrum import analyse
from spectroscope.models.transformers import EncoderBlock
from spectroscope.probing.features import read_layers
from spectroscope.probing.layers import spectrum_by_layer


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def low_pass(padding_mode):
    """Each of two channels smoothed by [1, 2, 1] / 4 in both directions, with a bias."""
    layer = nn.Conv2d(2, 2, 3, padding=1, padding_mode=padding_mode, groups=2)
    kernel = torch.tensor([1.0, 2, 1]) / 4
    layer.weight.data = (kernel[:, None] * kernel).expand(2, 1, 3, 3).clone()
    layer.bias.data = torch.tensor([3.0, -1])
    return layer


def of(table, layer, network="network"):
    return table[(table["layer"] == layer) & (table["network"] == network)]


class Ends(nn.Module):
    """A head that a vector leaves, so that the network is whole."""

    def forward(self, x):
        return x.flatten(1).mean(1, keepdim=True)


# ---- known spectra


@pytest.mark.parametrize("size", [(16, 16), (12, 20)])
@pytest.mark.parametrize(("basis", "padding"), [("dct", "replicate"), ("dft", "circular")])
def test_a_low_pass_has_the_spectrum_of_its_kernel(basis, padding, size):
    height, width = size
    images, index = rand(6, 2, height, width).double(), partition(height, width, "linf", 5, basis)
    found = spectrum_by_layer(nn.Sequential(low_pass(padding).double(), Ends()), images, index, basis=basis)

    def gain(n):  # of the kernel [1, 2, 1] / 4 at each coefficient of one axis
        k = torch.arange(n).double()
        return (1 + torch.cos((1 if basis == "dct" else 2) * np.pi * k / n)) / 2

    power = analyse(images, basis).abs().square().sum(1)
    after = power * (gain(height)[:, None] * gain(width)).square()
    ring = cycles_per_side(height, width, basis, "radial").sub(1e-9).ceil()

    def density(values):
        rings = [values[:, ring == k].mean(1) for k in range(1, int(ring.max()) + 1)]
        return torch.stack(rings, 1) / values[:, ring > 0].mean(1, keepdim=True)

    spectrum = of(found.spectra, "0")
    expected = density(after).mean(0) / density(power).mean(0)
    np.testing.assert_allclose(spectrum["relative"], expected, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(spectrum["density"], density(after).mean(0), rtol=1e-6, atol=1e-12)

    def share(values):
        bands = torch.stack([values[:, index == band].sum(1) for band in range(1, 5)], 1)
        return (bands / bands.sum(1, keepdim=True)).mean(0)

    passed = of(found.passed, "0")
    np.testing.assert_allclose(passed["passed"], share(after) / share(power), rtol=1e-6)
    np.testing.assert_allclose(passed["share"].sum(), 1, rtol=1e-5)  # a linear layer has no interactions


@pytest.mark.parametrize("basis", ["dct", "dft"])
@pytest.mark.parametrize("size", [(16, 16), (9, 15)])
def test_a_layer_that_copies_the_image_has_ratio_one(basis, size):
    copy = nn.Conv2d(3, 3, 1)
    copy.weight.data, copy.bias.data = 2 * torch.eye(3)[:, :, None, None], torch.tensor([5.0, 0, -7])
    index = partition(*size, "linf", 4, basis)
    found = spectrum_by_layer(nn.Sequential(copy, Ends()), rand(5, 3, *size), index, basis=basis)
    np.testing.assert_allclose(of(found.spectra, "0")["relative"], 1, rtol=1e-4)
    np.testing.assert_allclose(of(found.passed, "0")["passed"], 1, rtol=1e-4)


@pytest.mark.parametrize("basis", ["dct", "dft"])
def test_a_smaller_grid_is_compared_on_the_frequencies_it_holds(basis):
    """A wave that 2 x 2 averaging keeps is found at its own frequency; above the grid's highest there is no row."""
    steps = torch.arange(32).double()
    wave = torch.cos(np.pi * 6 * (2 * steps + 1) / 64) if basis == "dct" else torch.cos(2 * np.pi * 3 * steps / 32)
    images = 0.5 + 0.3 * wave.expand(1, 1, 32, 32) + 0.01 * rand(4, 1, 32, 32).double()
    found = spectrum_by_layer(nn.Sequential(nn.AvgPool2d(2), Ends()), images, basis=basis)
    spectrum = of(found.spectra, "0")
    assert spectrum["cycles"].max() == 11 if basis == "dct" else 10  # 16 pixels: 7.5 or 7 cycles in both directions
    assert spectrum.set_index("cycles")["density"].idxmax() == 3
    assert spectrum.set_index("cycles")["relative"][3] == pytest.approx(1, rel=0.01)


def test_intervals_are_over_images_and_one_image_has_none():
    network, images = nn.Sequential(low_pass("circular"), Ends()), rand(12, 2, 16, 16)
    passed = spectrum_by_layer(network, images).passed
    assert (passed["low"] < passed["passed"]).all() and (passed["passed"] < passed["high"]).all()
    assert (passed["n_images"] == 12).all()
    alone = spectrum_by_layer(network, images[:1]).passed
    assert alone["low"].isna().all() and alone["passed"].notna().all()


def test_the_nulls_shuffle_weights_or_pixels():
    network = nn.Sequential(low_pass("circular"), Ends())
    smooth = nn.functional.avg_pool2d(rand(8, 2, 24, 24), 9, 1)  # (8, 2, 16, 16): little power at high frequencies
    found = spectrum_by_layer(network, smooth)
    density = {name: of(found.spectra, "0", name)["density"].to_numpy() for name in found.spectra["network"].unique()}
    assert list(density) == ["network", "random weights", "shuffled pixels"]
    assert density["network"][-1] < 1e-3 * density["shuffled pixels"][0]
    assert density["network"][0] > 2 * density["shuffled pixels"][0]  # of white noise the kernel alone is seen
    assert not np.allclose(density["network"], density["random weights"], rtol=0.05)
    weights = network[0].weight.clone()
    again = spectrum_by_layer(network, smooth, chunk=3)
    assert network[0].weight.equal(weights)
    np.testing.assert_allclose(found.passed["passed"], again.passed["passed"], rtol=1e-4)


def test_features_that_are_constant_over_the_grid_count_in_no_mean():
    silent = nn.Conv2d(2, 2, 1)
    silent.weight.data.zero_()
    found = spectrum_by_layer(nn.Sequential(low_pass("circular"), silent, Ends()), rand(4, 2, 8, 8))
    assert of(found.spectra, "1").empty and len(of(found.spectra, "0"))


# ---- layers of every kind


class Block(nn.Module):
    """One activation in place, used twice: before and after the residual sum."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.act = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(x + self.two(self.act(self.one(x))))


class Transformer(nn.Module):
    """Patches of 4 pixels, a class token, one layer of `EncoderBlock`."""

    def __init__(self):
        super().__init__()
        self.patches, self.first = nn.Conv2d(3, 6, 4, 4), nn.Parameter(torch.ones(1, 1, 6))
        self.block = EncoderBlock(6, 2)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).mT
        return self.block(torch.cat([self.first.expand(len(x), -1, -1), tokens], 1))[:, 0]


def layers(model, *size):
    seen = []
    found = read_layers(model, rand(2, 3, *size), lambda layer, maps: seen.append((layer.name, tuple(maps.shape[1:]))))
    return {layer.name: layer for layer in found}, dict(seen)


def test_a_module_called_twice_is_two_layers_and_in_place_changes_none_of_them():
    before = []
    network = Block()
    network.two.weight.data.fill_(-1)

    def see(layer, maps):
        before.append((layer.name, maps.min().item() >= 0))

    found = read_layers(network, rand(2, 3, 8, 8) - 0.5, see)
    assert before == [("one", False), ("act", True), ("two", False), ("act (call 2)", True)]
    assert [layer.name for layer in found] == [name for name, _ in before]


def test_a_block_that_returns_its_last_layer_is_named_there():
    found, seen = layers(nn.Sequential(Block(), nn.Identity()), 8, 8)
    assert found["0.act (call 2)"].also == ["0", "1"] and "0" not in seen


@pytest.mark.parametrize("size", [(16, 16), (8, 20)])
def test_tokens_are_put_on_their_grid_without_the_class_token(size):
    found, seen = layers(Transformer(), *size)
    grid = (size[0] // 4, size[1] // 4)
    assert seen["block.mlp.0"] == (24, *grid) and seen["block"] == seen["patches"] == (6, *grid)
    assert (found["block"].form, found["block"].dropped, found["patches"].form) == ("tokens", 1, "maps")
    assert found["block.attention"].note == "output 0 of several"  # the second are weights, here None
    assert found["block.attention.out_proj"].note == "not called as a module"


def test_the_token_of_a_place_lands_on_that_place():
    class Tokens(nn.Module):
        def forward(self, x):
            return nn.functional.avg_pool2d(x, 4).flatten(2).mT

    images, shown = rand(2, 3, 8, 12), []
    read_layers(nn.Sequential(Tokens(), Ends()), images, lambda layer, maps: shown.append(maps))
    torch.testing.assert_close(shown[0], nn.functional.avg_pool2d(images, 4))


def test_a_vision_transformer_has_a_spectrum():
    found = spectrum_by_layer(Transformer(), rand(4, 3, 32, 32), chunk=16)
    spectrum = of(found.spectra, "block")
    assert spectrum["cycles"].tolist() == [1, 2, 3, 4, 5] and np.isfinite(spectrum["relative"]).all()
    assert of(found.passed, "block")["band"].tolist() == [1, 2, 3, 4, 5]


class Outputs(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, x):
        return self.make(x)


@pytest.mark.parametrize(
    ("make", "form", "note"),
    [
        (lambda x: (None, x * 2), "maps", "output 1 of several"),
        (lambda x: {"state": x * 2}, "maps", "output state of several"),
        (lambda x: (x * 2).movedim(1, 3), "maps", "channels last"),
        (lambda x: (x * 2).flatten(2).permute(2, 0, 1), "tokens", ""),
        (lambda x: x.flatten(1), "none", "no maps or tokens: 192"),
        (lambda x: x.mean((2, 3), keepdim=True), "none", "one position"),
        (lambda x: x.reshape(4, -1, 8, 8)[:, :1], "none", "first axis 4, not 2 images"),
        (lambda x: x.flatten(2)[:, :, :62].mT, "none", "62 tokens that fit no grid"),
        (lambda x: x.argmax(1), "none", "gives int64 values"),
        (lambda x: None, "none", "gives no tensor"),
    ],
)
def test_every_output_is_read_or_named(make, form, note):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = Outputs(make)

        def forward(self, x):
            self.layer(torch.cat([x, x[:, :1]], 1) if note.startswith("first") else x)
            return x.mean((1, 2, 3))

    found, seen = layers(Two(), 8, 8)
    assert (found["layer"].form, found["layer"].note) == (form, note)
    assert ("layer" in seen) == (form != "none")
    if form != "none":
        assert seen["layer"] == (3, 8, 8)


def test_attention_weights_are_no_maps():
    class Weights(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches, self.drop = nn.Conv2d(3, 6, 4, 4), nn.Dropout(0.1)

        def forward(self, x):
            tokens = self.patches(x).flatten(2).mT
            return self.drop((tokens @ tokens.mT)[:, None].softmax(-1) * 1).mean((1, 2))

    found, _ = layers(Weights(), 16, 16)
    assert (found["drop"].form, found["drop"].note) == ("none", "attention between 16 tokens")


# ---- the network stays as it was


def test_modes_and_hooks_are_restored_and_dropout_is_off():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.BatchNorm2d(4), Ends())
    network.train()
    network[2].eval()
    images, mean = rand(6, 3, 8, 8), network[2].running_mean.clone()
    one, two = spectrum_by_layer(network, images), spectrum_by_layer(network, images)
    assert one.spectra.equals(two.spectra)
    assert [module.training for module in network] == [True, True, False, True]
    assert network[2].running_mean.equal(mean)
    assert not any(module._forward_hooks for module in network.modules())


def test_modes_and_hooks_are_restored_after_an_error():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)).train()
    with pytest.raises(RuntimeError):
        spectrum_by_layer(network, rand(2, 3, 8, 8))
    assert network[0].training and not network[0]._forward_hooks


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda x: x, "expected a torch module, whose layers can be read, got function"),
        (
            nn.Sequential(nn.Flatten()),
            r"expected a network with layers that give maps or tokens, got none \(0: no maps",
        ),
    ],
)
def test_a_network_without_layers_is_refused(model, message):
    with pytest.raises(ValueError, match=message):
        spectrum_by_layer(model, rand(2, 3, 8, 8))

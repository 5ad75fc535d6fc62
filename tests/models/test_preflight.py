"""The preflight finds each fault in a network that really has it, and none in networks that have none."""

from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from spectroscope.models.architectures import ARCHITECTURES, build
from spectroscope.models.classifier import classifier
from spectroscope.models.preflight import preflight

IMAGES = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Body(nn.Module):
    """A small network whose forward pass is a function of the layers and the images."""

    def __init__(self, forward, **layers):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 2)
        for name, layer in layers.items():
            setattr(self, name, layer)
        self._forward = forward

    def features(self, x):
        return torch.relu(self.conv(x)).mean((2, 3))

    def forward(self, x):
        return self._forward(self, x)


def plain(net, x):
    return net.head(net.features(x))


def twice(net, x):
    return plain(net, x) + net.other(x.mean((2, 3)))


def counting(net, x):
    net.count += 1
    return plain(net, x)


def weight_norm():
    with pytest.warns(FutureWarning):
        return Body(
            lambda net, x: plain(net, x) + net.other(x.mean((2, 3))), other=nn.utils.weight_norm(nn.Linear(3, 2))
        )


class Buffered(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.register_buffer("count", value)


BATCH_STATISTICS = "expected logits that depend on one image alone, got others in another batch: BatchNorm without"
FAULTS = {
    "dropout": (Body(lambda net, x: net.head(F.dropout(net.features(x), 0.5))), "at a second pass in evaluation mode"),
    "batch norm": (
        Body(lambda net, x: plain(net, net.norm(x)), norm=nn.BatchNorm2d(3, track_running_stats=False)),
        BATCH_STATISTICS,
    ),
    "batch mean": (Body(lambda net, x: plain(net, x - x.mean(0))), BATCH_STATISTICS),
    "flat batch norm": (
        Body(lambda net, x: net.head(net.norm(net.features(x))), norm=nn.BatchNorm1d(4, track_running_stats=False)),
        r"expected logits of batches of any size, got ValueError: Expected more than 1 value .* for one image alone",
    ),
    "nan": (Body(lambda net, x: plain(net, x).log() * torch.nan), r"got NaN or infinity for 6 of 6 images"),
    "tuple": (Body(lambda net, x: (plain(net, x), x)), r"expected logits as one tensor \(6, 2\), got a tuple: return"),
    "dict": (Body(lambda net, x: {"logits": plain(net, x)}), r"one tensor \(6, 2\), got a dict of logits: return"),
    "model output": (
        Body(lambda net, x: type("ModelOutput", (OrderedDict,), {})(logits=plain(net, x))),
        r"one tensor \(6, 2\), got a ModelOutput of logits: return",
    ),
    "shape": (Body(lambda net, x: net.features(x)), r"expected logits \(6, 2\), got shape \(6, 4\)"),
    "bf16": (Body(lambda net, x: plain(net, x).bfloat16()), r"expected logits in float32, got bfloat16: end with"),
    "double": (Body(lambda net, x: plain(net, x).double()), r"expected logits in float32, got float64: end with"),
    "raises": (Body(lambda net, x: net.head(x)), r"expected logits of 6 images, got RuntimeError: mat1 and mat2"),
    "view": (Body(lambda net, x: net.flat(net.conv(x).view(len(x), -1)), flat=nn.Linear(256, 2)), "channels_last"),
    "in place": (Body(lambda net, x: plain(net, x.sub_(0.1))), "expected images to stay as they are, got them changed"),
    "counter": (Body(counting, count=nn.Buffer(torch.zeros(()))), "got changes of count"),
    "no gradient": (Body(lambda net, x: plain(net, x.detach())), "expected a gradient of the logits by the images"),
    "no layer": (
        nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        "expected a linear layer or a convolution",
    ),
    "no parameter": (
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        r"expected weights as parameters \(torch.nn.Parameter\), got none",
    ),
    "weight norm": (weight_norm(), r"expected a network that can be copied \(torch.nn.utils.weight_norm"),
    "lazy": (nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), "expected layers of known sizes, got lazy ones"),
    "sparse": (Buffered(torch.eye(2).to_sparse()), "expected dense weights with values, got a sparse.* in count"),
    "complex": (Buffered(torch.ones(2, dtype=torch.complex64)), "expected real weights, got complex ones in count"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault):
    network, message = FAULTS[fault]
    n_classes = 3 if fault in ("no layer", "no parameter") else 2
    found = preflight(network, IMAGES, n_classes)
    assert len(found) == 1 and "\n" not in found[0]
    with pytest.raises(ValueError, match=message):
        raise ValueError(found[0])


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in ("wideresnet28", "vgg19", "resnet50")])
def test_known_networks_have_no_fault(name):
    side = 28 if name == "lenet5" else 32
    images = torch.rand(4, 3, side, side, generator=torch.Generator().manual_seed(0))
    assert preflight(build(name, (3, side, side), 5), images, 5) == []


SOUND = {
    "dropout in training": Body(lambda net, x: net.head(F.dropout(net.features(x), 0.5, net.training))),
    "tied": Body(lambda net, x: net.twin(net.features(x)), twin=None),
    "parametrised": Body(twice, other=nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))),
    "infinite buffer": Body(lambda net, x: plain(net, x) + net.mask.exp(), mask=nn.Buffer(torch.tensor(-torch.inf))),
    "convolution last": nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
}  # fmt: skip
SOUND["tied"].twin = nn.Linear(4, 2)
SOUND["tied"].twin.weight = SOUND["tied"].head.weight


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_network_is_left_as_it_was(name):
    network, state = SOUND[name].train(), torch.get_rng_state()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert preflight(network, IMAGES, None) == []
    assert network.training and all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_classifier_is_the_layer_that_gives_the_logits():
    squeeze = Body(lambda net, x: net.head(net.features(x) * net.gate(x.mean((2, 3))).sigmoid()), gate=nn.Linear(3, 4))
    assert list(squeeze.modules())[-1] is squeeze.gate
    assert classifier(squeeze, IMAGES) is squeeze.head
    unused = Body(plain, auxiliary=nn.Linear(4, 2))
    assert classifier(unused, IMAGES) is unused.head
    later = Body(lambda net, x: (plain(net, x), net.late(x.mean((2, 3))))[0], late=nn.Linear(3, 2))
    assert classifier(later, IMAGES) is later.head
    scaled = Body(lambda net, x: 2 * plain(net, x))
    assert classifier(scaled, IMAGES) is scaled.head
    last = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert classifier(last, IMAGES) is last[0]

"""Networks are read from where people keep them; what cannot be read is refused in one sentence."""

import importlib.util
import sys
import types

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from spectroscope.models.architectures import build
from spectroscope.profile import libraries, networks, programs
from spectroscope.profile.network import Options

NONE = Options(None, None, None, None, None)
SHAPE = (3, 32, 32)


def options(**own):
    return Options(**{"architecture": None, "entry": None, "mean": None, "std": None, "size": None, **own})


def logits(network, shape=SHAPE, n_classes=10):
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return x, network.make(shape, n_classes)(x)


@pytest.fixture(scope="module")
def plain():
    torch.manual_seed(0)
    return build("cnn-a", SHAPE, 7).eval()


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".th", ".bin", ".ckpt", ".model"])
def test_a_file_of_tensors_is_read_whatever_it_is_called_and_wherever_they_lie(tmp_path, plain, suffix):
    path = tmp_path / f"net{suffix}"
    tensors = {f"module.{name}": value for name, value in plain[1].state_dict().items()}
    torch.save({"epoch": 3, "state_dict": [tensors]}, path)
    network = networks.read(str(path), options(architecture="cnn-a"))
    x, found = logits(network)
    torch.testing.assert_close(found, plain[1](x))
    assert (network.channels, network.size, network.run["entry"]) == (3, (32, 32), "state_dict")


def test_a_safetensors_file_is_read_with_as_many_classes_as_it_has(tmp_path, plain):
    save_file(plain[1].state_dict(), tmp_path / "net.safetensors")
    _, found = logits(networks.read(str(tmp_path / "net.safetensors"), options(architecture="cnn-a")))
    assert found.shape == (3, 7)


class Malicious:
    def __reduce__(self):
        return (print, ("code of a checkpoint ran",))


@pytest.mark.parametrize("name", ["net.pt", "net.pt2"])
def test_a_file_with_code_is_refused_and_its_code_is_not_run(tmp_path, capsys, name):
    torch.save({"state_dict": Malicious()}, tmp_path / name)
    with pytest.raises(ValueError, match=r"net\.pt2?: expected") as caught:
        networks.read(str(tmp_path / name), options(architecture="cnn-a"))
    assert "weights_only" not in str(caught.value)  # torch's advice to load it with its code
    assert "ran" not in capsys.readouterr().out


def test_weights_without_an_architecture_are_refused_with_the_known_ones(tmp_path, plain):
    torch.save(plain[1].state_dict(), tmp_path / "net.pt")
    with pytest.raises(ValueError, match=r"expected --architecture.*resnet20"):
        networks.read(str(tmp_path / "net.pt"), NONE)
    with pytest.raises(ValueError, match="expected a model among"):
        networks.read(str(tmp_path / "net.pt"), options(architecture="resnet2O"))


def test_a_function_of_nothing_and_one_of_a_study_are_called(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\ndef one():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 5))\n"
        "def three(channels, n_classes, small):\n    return nn.Sequential(nn.Flatten(), nn.Linear(3072, n_classes))\n"
        "def two(a, b): ...\n"
    )
    path = tmp_path / "mine.py"
    assert logits(networks.read(f"{path}:one", NONE))[1].shape == (3, 5)
    assert logits(networks.read(f"{path}:three", NONE), n_classes=4)[1].shape == (3, 4)
    with pytest.raises(ValueError, match=r"expected a function of nothing, or of .*got one of a, b"):
        networks.read(f"{path}:two", NONE)
    with pytest.raises(ValueError, match="has no attribute 'four'"):
        networks.read(f"{path}:four", NONE)


def test_a_function_of_a_module_is_found_by_its_name():
    assert logits(_lenet(), (1, 28, 28))[1].shape == (3, 10)


def _lenet():
    sys.modules["lenet_of_a_test"] = module = types.ModuleType("lenet_of_a_test")
    module.net = lambda: build("lenet5", (1, 28, 28), 10)
    return networks.read("lenet_of_a_test:net", NONE)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("keras:resnet", "expected timm:NAME.*got"),
        ("nothing-of-this-kind", "expected timm:NAME.*got none of them"),
        ("absent.pth", "expected a file, found none"),
        ("torchvision:resnet19", "expected a network of torchvision"),
        ("hf:.", "expected a folder with config.json"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(spec, words):
    if spec.startswith("torchvision"):
        pytest.importorskip("torchvision")
    with pytest.raises(ValueError, match=words) as caught:
        networks.read(spec, NONE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "package"), [("timm:resnet18", "timm"), ("hf:{}", "transformers"), ("net.onnx", "onnx")]
)
def test_a_missing_extra_is_named_with_what_to_install(tmp_path, monkeypatch, spec, package):
    for name in ("timm", "transformers", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "net.onnx").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=rf"pip install 'spectroscope\[{package}\]'"):
        networks.read(spec.format(tmp_path), NONE)


def test_the_last_layer_of_a_random_transformer_is_not_zeros():
    head = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
    nn.init.zeros_(head[1].weight)
    before = head[0].weight.clone()
    libraries._without_zeros(head)
    assert head[1].weight.std() > 0.005 and torch.equal(head[0].weight, before)


def test_torchvision_gives_size_normalisation_and_names_without_a_download():
    pytest.importorskip("torchvision")
    network = networks.read("torchvision:squeezenet1_1", NONE)
    assert (network.size, network.crop, network.random) == ((224, 224), 224 / 256, True)
    assert network.mean == (0.485, 0.456, 0.406) and network.std == (0.229, 0.224, 0.225)


def test_timm_gives_its_own_configuration(tmp_path):
    timm = pytest.importorskip("timm")
    model = timm.create_model("vit_tiny_patch16_224", num_classes=5).eval()
    torch.save(model.state_dict(), tmp_path / "w.pth")
    network = networks.read(f"timm:vit_tiny_patch16_224@{tmp_path / 'w.pth'}", NONE)
    assert network.mean == (0.5, 0.5, 0.5) and network.size == (224, 224) and not network.random
    assert network.name == "vit_tiny_patch16_224@w.pth"
    x, found = logits(network, (3, 224, 224))
    torch.testing.assert_close(found, model(x).detach())


@pytest.mark.parametrize(
    ("processing", "mean", "std"),
    [
        ({}, 0.5, 0.25),
        ({"do_rescale": False}, 0.5 / 255, 0.25 / 255),
        ({"rescale_factor": 1 / 127.5}, 0.25, 0.125),
        ({"do_rescale": False, "do_normalize": False}, 0, 1 / 255),
    ],
)
def test_a_transformer_of_a_folder_brings_its_processing_and_names(processing, mean, std, tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8,
        id2label={0: "cat", 1: "dog", 2: "cow"}, label2id={"cat": 0, "dog": 1, "cow": 2},
    )  # fmt: skip
    model = transformers.ViTForImageClassification(config).eval()
    model.save_pretrained(tmp_path)
    transformers.ViTImageProcessor(
        size={"height": 32, "width": 32}, image_mean=[0.5] * 3, image_std=[0.25] * 3, **processing
    ).save_pretrained(tmp_path)
    network = networks.read(f"hf:{tmp_path}", NONE)
    assert (network.size, network.classes) == ((32, 32), ("cat", "dog", "cow"))
    assert network.mean == pytest.approx([mean] * 3) and network.std == pytest.approx([std] * 3)
    x, found = logits(network)
    torch.testing.assert_close(found.logits, model(x).logits.detach())


@pytest.mark.parametrize("batch", [1, 2], ids=["one at a time", "two at a time"])
def test_an_exported_program_is_run_in_batches_of_its_own(tmp_path, plain, batch):
    torch.export.save(torch.export.export(plain, (torch.rand(batch, *SHAPE),)), tmp_path / "net.pt2")
    network = networks.read(str(tmp_path / "net.pt2"), NONE)
    x, found = logits(network)
    assert network.size == (32, 32)
    torch.testing.assert_close(found, plain(x).detach())


@pytest.mark.filterwarnings("ignore")  # of the exporter
def test_an_onnx_file_gives_the_same_logits_and_no_gradient(tmp_path, plain):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    torch.onnx.export(plain, (torch.rand(1, *SHAPE),), tmp_path / "net.onnx", dynamo=True, verbose=False)
    network = networks.read(str(tmp_path / "net.onnx"), NONE)
    x, found = logits(network)
    torch.testing.assert_close(found, plain(x).detach(), atol=1e-4, rtol=1e-4)
    assert not network.gradient


def test_mean_and_std_go_together():
    with pytest.raises(ValueError, match="expected --mean and --std together"):
        networks.read("torch.nn:Identity", options(mean=(0.5,)))


def test_a_plain_function_becomes_a_module():
    module = programs.Function(lambda x: x.flatten(1))
    assert isinstance(module, nn.Module) and module(torch.ones(2, 3, 2, 2)).shape == (2, 12)

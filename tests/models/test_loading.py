"""Weights that others saved: under every known naming, and every way in which they do not fit."""

from pathlib import Path

import pytest
import torch
from torch import nn

from spectroscope.models import architectures, loading
from spectroscope.pipeline import io

SHAPE, CLASSES = (3, 8, 8), 2


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def build(name="resnet18", n_classes=CLASSES, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return architectures.build(name, SHAPE, n_classes).eval()


@pytest.fixture(scope="module")
def trained():
    """A network whose normalisation and BatchNorm statistics are not those of a new one."""
    model = build(seed=1)
    for number, layer in enumerate(model.modules()):
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.copy_(0.2 * rand(len(layer.running_mean), seed=number) - 0.1)
    model.normalise.fit(rand(20, *SHAPE) * torch.tensor([0.5, 0.8, 1.0])[:, None, None])
    return model


def loaded(path, rules=(), entry=None, model=None):
    model = model or build()
    loading.load_weights(model, Path(path), entry, rules)
    return model


def madry(model):
    """The names of MadryLab's library: a wrapped network, its normaliser, and a copy of both in the attacker."""
    state = {}
    for name, value in model.state_dict().items():
        name = name.replace("downsample", "shortcut").replace("1.fc.", "1.linear.")
        new = {"0.mean": "normalizer.new_mean", "0.std": "normalizer.new_std"}.get(
            name, name.replace("1.", "model.", 1)
        )
        value = value[None] if new.startswith("normalizer") else value
        state |= {f"module.{new}": value, f"module.attacker.{new}": value}
    return state


@pytest.mark.parametrize("naming", ["own", "plain", "module", "madry", "rules"])
def test_weights_under_other_names_give_the_same_logits(trained, tmp_path, naming):
    state, file, rules, entry = trained.state_dict(), tmp_path / "w.pt", loading.RENAMES["plain"], None
    bare = {name.removeprefix("1."): value for name, value in state.items() if name.startswith("1.")}
    bare = {name: value for name, value in bare.items() if not name.endswith("num_batches_tracked")}  # as old files
    if naming == "own":
        file, rules = tmp_path / "w.safetensors", loading.RENAMES["own"]
        io.write_weights(file, trained)
    elif naming == "plain":
        torch.save(bare, file)
    elif naming == "module":
        torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in bare.items()}}, file)
        entry = "state_dict"
    elif naming == "madry":
        torch.save({"model": madry(trained)}, file)
        rules, entry = loading.RENAMES["madry"], "model"
    else:
        torch.save({f"net/{name}": value for name, value in bare.items()} | {"junk": torch.zeros(3)}, file)
        rules = [loading.Rename(pattern="^net/", to="1."), loading.Rename(pattern="^junk$", to=None)]
    model, x = loaded(file, rules, entry), rand(5, *SHAPE, seed=2)
    if naming not in ("own", "madry"):
        loading.set_normalisation(
            model, *(getattr(trained.normalise, name).flatten().tolist() for name in ("mean", "std"))
        )
    torch.testing.assert_close(model(x), trained(x), atol=1e-5, rtol=1e-5)


def test_a_pt_that_was_saved_on_a_gpu_is_read_on_a_cpu(trained, tmp_path, monkeypatch):
    with monkeypatch.context() as there:
        there.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        torch.save(trained.state_dict(), tmp_path / "w.pt")
    assert b"cuda:0" in (tmp_path / "w.pt").read_bytes()
    model, x = loaded(tmp_path / "w.pt"), rand(5, *SHAPE)
    assert {value.device.type for value in model.state_dict().values()} == {"cpu"}
    assert torch.equal(model(x), trained(x))


def test_a_pre_activation_network_takes_published_names(tmp_path):
    model, x = build("preactresnet18", 10, seed=1), rand(5, *SHAPE)
    published = {f"module.{k.removeprefix('1.')}": v for k, v in model.state_dict().items() if k[0] == "1"}
    torch.save(published, tmp_path / "w.pt")
    found = loaded(tmp_path / "w.pt", loading.RENAMES["plain"], model=build("preactresnet18", 10))
    torch.testing.assert_close(found(x), model(x))


class Code:
    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


@pytest.mark.parametrize(
    ("content", "change", "message"),
    [
        (None, {}, r"w\.pt: expected weights, found no file"),
        ({"a": torch.zeros(1)}, {}, r"w\.pt: the weights do not fit the model: missing 1\.bn1\.bias; .*"),
        ({"model": {}}, {"entry": "net"}, r"w\.pt: expected the entry 'net', got entries model"),
        ({"model": {"a": torch.zeros(1)}}, {}, r"expected tensors by name \(`entry` says where\), got entries model"),
        ([1, 2], {}, r"w\.pt: expected tensors by name .*, got list"),
        ({"x": Code()}, {}, r"w\.pt: expected tensors that load without running code, got: "),
        (
            {"a": torch.zeros(1), "module.a": torch.zeros(1)},
            {"rules": loading.RENAMES["plain"]},
            r"w\.pt: expected names that differ after renaming \(`keys`\), got 1\.a twice",
        ),
    ],
    ids=["no file", "other names", "no entry", "nested", "a list", "code", "twice"],
)
def test_weights_that_cannot_be_used_are_named(tmp_path, monkeypatch, content, change, message):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=message):
        loaded("w.pt", **change)
    assert not (tmp_path / "ran").exists()


def test_weights_of_other_shapes_and_endings_are_named(tmp_path):
    io.write_weights(tmp_path / "w.safetensors", build(n_classes=5))
    with pytest.raises(ValueError, match=r"w\.safetensors: .*1\.fc\.bias: expected \(2,\), got \(5,\)"):
        loaded(tmp_path / "w.safetensors")
    (tmp_path / "w.pt").write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"w\.pt: expected tensors that load without running code"):
        loaded(tmp_path / "w.pt")
    with pytest.raises(
        ValueError, match=r"w\.onnx: expected a name ending in \.safetensors, \.pt or \.pth, got '\.onnx'"
    ):
        loaded("w.onnx")


def test_a_normalisation_is_set_where_it_is_given():
    model = build("resnet8")
    loading.set_normalisation(model, [0.1, 0.2, 0.3], None)
    assert torch.equal(model.normalise.mean.flatten(), torch.tensor([0.1, 0.2, 0.3]))
    assert torch.equal(model.normalise.std, torch.ones(3, 1, 1))
    with pytest.raises(ValueError, match=r"std: expected 3 numbers, one for each channel, got \[0\.5\]"):
        loading.set_normalisation(model, None, [0.5])


def test_a_pattern_that_is_no_regular_expression_is_named():
    with pytest.raises(ValueError, match=r"expected a regular expression, got '\('"):
        loading.Rename(pattern="(", to="")

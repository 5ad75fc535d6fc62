"""Weights that others saved: under every known naming, and every way in which they do not fit."""

from pathlib import Path

import pytest
import torch
from torch import nn

from spectroscope.models import architectures, loading
from spectroscope.pipeline import io, params

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


def loaded(path, keys="own", entry=None, model=None):
    model = model or build()
    loading.load_weights(model, Path(path), entry, keys)
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
    state, file, keys, entry = trained.state_dict(), tmp_path / "w.pt", "plain", None
    bare = {name.removeprefix("1."): value for name, value in state.items() if name.startswith("1.")}
    bare = {name: value for name, value in bare.items() if not name.endswith("num_batches_tracked")}  # as old files
    if naming == "own":
        file, keys = tmp_path / "w.safetensors", "own"
        io.write_weights(file, trained)
    elif naming == "plain":
        torch.save(bare, file)
    elif naming == "module":
        torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in bare.items()}}, file)
        entry = "state_dict"
    elif naming == "madry":
        torch.save({"model": madry(trained)}, file)
        keys, entry = "madry", "model"
    else:
        torch.save({f"net/{name}": value for name, value in bare.items()} | {"junk": torch.zeros(3)}, file)
        keys = [loading.Rename(pattern="^net/", to="1."), loading.Rename(pattern="^junk$", to=None)]
    model, x = loaded(file, keys, entry), rand(5, *SHAPE, seed=2)
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
    found = loaded(tmp_path / "w.pt", "plain", model=build("preactresnet18", 10))
    torch.testing.assert_close(found(x), model(x))


class Code:
    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


@pytest.mark.parametrize(
    ("content", "change", "message"),
    [
        (None, {}, r"w\.pt: expected weights, found no file"),
        (
            {"b": torch.zeros(1), "a": torch.zeros(1)},
            {},
            r"w\.pt: the weights do not fit the model: missing 1\.bn1\.bias, 1\.bn1\.running_mean, "
            r"1\.bn1\.running_var, 1\.bn1\.weight, 1\.conv1\.weight and 97 more; unknown a, b$",
        ),
        ({"model": {}}, {"entry": "net"}, r"w\.pt: expected the entry 'net', got entries model"),
        ({"model": {"b": 1}}, {"entry": "model.a"}, r"w\.pt: expected the entry 'a' in 'model', got entries b"),
        ({"model": 3}, {"entry": "model.a"}, r"w\.pt: expected the entry 'a' in 'model', got int"),
        ({"model": {"a": torch.zeros(1)}}, {}, r"expected tensors by name \(`entry` says where\), got entries model"),
        ([{}, {}], {}, r"w\.pt: expected tensors by name .*, got a list of 2"),
        ({0: torch.zeros(1)}, {"keys": "plain"}, r"w\.pt: expected tensors by name .*, got entries 0"),
        ({"x": Code()}, {}, r"w\.pt: expected tensors that load without running code, got: "),
        (
            {"a": torch.zeros(1), "net.a": torch.zeros(1)},
            {"keys": [loading.Rename(pattern=r"^(net\.)?", to="1.")]},
            r"w\.pt: expected names that differ after renaming \(`keys`\), got 1\.a twice",
        ),
    ],
    ids=[
        "no file",
        "other names",
        "no entry",
        "no nested entry",
        "no mapping",
        "nested",
        "lists",
        "numbers",
        "code",
        "twice",
    ],
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
    endings = r"\.safetensors, \.pt, \.pth, \.th, \.bin, \.ckpt, \.model or \.pth\.tar"
    with pytest.raises(ValueError, match=rf"w\.tar: expected a name ending in {endings}, got 'w\.tar'"):
        loaded("w.tar")


LINEAR = f"{__name__}:linear"


def linear(channels, classes, small):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


WEIGHTS = {"2.weight": torch.arange(6.0).reshape(2, 3), "2.bias": torch.tensor([3.0, 4.0])}


def named(prefix):
    return {prefix + name: value for name, value in WEIGHTS.items()}


@pytest.mark.parametrize(
    ("content", "entry"),
    [
        (WEIGHTS, None),
        (named("module."), None),
        (named("model."), None),
        (named("_orig_mod."), None),
        (named("model._orig_mod.module."), None),
        ([WEIGHTS], None),
        ({"epoch": 3, "state_dict": WEIGHTS}, "state_dict"),
        ({"err": 0.5, "state_dict": [named("module.")]}, "state_dict"),
        ({"model": {"state_dict": WEIGHTS}}, "model.state_dict"),
        ([{"model": [{"ema.0": {"net": WEIGHTS}}]}], "model.ema.0.net"),
        ({"model.state_dict": WEIGHTS}, "model.state_dict"),
        ({name: value.half() for name, value in WEIGHTS.items()}, None),
        ({name: value.double() for name, value in WEIGHTS.items()}, None),
    ],
)
def test_weights_are_read_in_the_state_in_which_people_publish_them(tmp_path, content, entry):
    torch.save(content, tmp_path / "w.pt")
    state = loaded(tmp_path / "w.pt", "plain", entry, build(LINEAR)).state_dict()
    assert torch.equal(state["1.2.weight"], WEIGHTS["2.weight"]) and torch.equal(state["1.2.bias"], WEIGHTS["2.bias"])
    assert {value.dtype for value in state.values()} == {torch.float32}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("ending", ["pt", "pth", "th", "bin", "ckpt", "model", "pth.tar"])
def test_every_ending_that_people_give_to_files_of_torch_is_read(tmp_path, ending, zipped):
    torch.save(WEIGHTS, tmp_path / f"w.{ending}", _use_new_zipfile_serialization=zipped)
    model = loaded(tmp_path / f"w.{ending}", "plain", model=build(LINEAR))
    assert torch.equal(model[1][2].bias, WEIGHTS["2.bias"])


class Wrapped(nn.Module):
    """A network whose own names begin like those of a wrapper."""

    def __init__(self, channels, classes, small):
        super().__init__()
        self.model = linear(channels, classes, small)

    def forward(self, x):
        return self.model(x)


@pytest.mark.parametrize("prefix", ["model.", "module.model.", "model.model."])
def test_names_of_the_network_that_look_like_a_wrapper_stay(tmp_path, prefix):
    torch.save(named(prefix), tmp_path / "w.pt")
    model = loaded(tmp_path / "w.pt", "plain", model=build(f"{__name__}:Wrapped"))
    assert torch.equal(model[1].model[2].bias, WEIGHTS["2.bias"])


@pytest.mark.parametrize("kind", ["int64", "bool", "complex64"])
def test_numbers_that_are_no_floats_are_refused_by_name(tmp_path, kind):
    torch.save({**WEIGHTS, "2.bias": torch.ones(2, dtype=getattr(torch, kind))}, tmp_path / "w.pt")
    with pytest.raises(
        ValueError, match=rf"w\.pt: the weights do not fit .*: 1\.2\.bias: expected floats, got {kind}$"
    ):
        loaded(tmp_path / "w.pt", "plain", model=build(LINEAR))


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


def quantised(x):
    return torch.quantize_per_tensor(x, 0.1, 0, torch.qint8)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # torch's, of quantised tensors
@pytest.mark.parametrize(
    "make", [lambda x: x.to_sparse(), lambda x: x.to("meta"), quantised], ids=["sparse", "meta", "quantised"]
)
def test_a_tensor_without_dense_values_is_named(trained, tmp_path, make):
    torch.save({**trained.state_dict(), "1.fc.weight": make(trained.state_dict()["1.fc.weight"])}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"w\.pt: expected dense tensors with values, got .* one in 1\.fc\.weight"):
        loaded(tmp_path / "w.pt")


def test_a_flipped_bit_in_a_file_of_torch_is_found(tmp_path):
    torch.save(build("resnet8").state_dict(), tmp_path / "w.pt")
    good = bytearray((tmp_path / "w.pt").read_bytes())
    value = build("resnet8").state_dict()["1.0.weight"].numpy().tobytes()
    good[bytes(good).index(value) + 5] ^= 64
    (tmp_path / "w.pt").write_bytes(good)
    with pytest.raises(ValueError, match=r"w\.pt: expected weights, got a damaged file: .* does not fit its checksum"):
        loaded(tmp_path / "w.pt", model=build("resnet8"))


@pytest.mark.parametrize("to", ["\\2", "\\g<name>", "\\"])
def test_a_replacement_that_leads_nowhere_is_named(to):
    with pytest.raises(ValueError, match=r"expected a replacement for '\^\(a\)', got "):
        params.validate({"pattern": "^(a)", "to": to}, loading.Rename, "keys")

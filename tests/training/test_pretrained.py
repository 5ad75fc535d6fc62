"""Weights made elsewhere: every way they are saved, every way they do not fit, and what is written for such a run."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from spectroscope.models import inference
from spectroscope.pipeline import io, params
from spectroscope.training import held_out, pretrained
from spectroscope.training.cards import markdown
from spectroscope.training.regimes.registry import Regime
from spectroscope.training.settings import TrainingSettings
from stages import training as stage

ROOT = Path(__file__).parents[2]
SHAPE, CLASSES = (3, 8, 8), 2
GIVEN = {"name": "pretrained", "entry": None, "keys": "own", "mean": None, "std": None, "least_accuracy": 0.9}


def load(**values):
    return params.validate({**GIVEN, **values}, Regime, "regime")


def images(n=40):
    """Two classes of noise that differ in brightness."""
    labels = torch.arange(n) % 2
    noise = torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(0))
    return io.Images(0.4 * noise + 0.6 * labels[:, None, None, None], labels, ("dark", "bright"))


def untouched(model, x, y, generator):
    return x


@pytest.fixture(scope="module")
def settings():
    return params.load("training", TrainingSettings, ROOT / "studies" / "smoke.yaml")


@pytest.fixture(scope="module")
def trained():
    """A resnet18 whose logits are right: only its last layer and its normalisation are not random."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = inference.build("resnet18", SHAPE, CLASSES).eval()
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.uniform_(-0.1, 0.1)
    data = images()
    model[0].fit(data.pixels)
    with torch.no_grad():
        model[1].fc.weight.zero_(), model[1].fc.bias.zero_()
        features = copy.deepcopy(model)
        features[1].fc = nn.Identity()
        found = features(data.pixels)
        means = [found[data.labels == label].mean(0) for label in range(2)]
        model[1].fc.weight[1] = means[1] - means[0]
        model[1].fc.bias[1] = -(means[1] - means[0]) @ (means[0] + means[1]) / 2
    return model


def madry(model):
    """The names MadryLab's library gives: a wrapped network, its normaliser, and a copy of both in the attacker."""
    state = {}
    for name, value in model.state_dict().items():
        name = name.replace("downsample", "shortcut").replace("1.fc.", "1.linear.")
        new = {"0.mean": "normalizer.new_mean", "0.std": "normalizer.new_std"}.get(
            name, name.replace("1.", "model.", 1)
        )
        value = value[None] if new.startswith("normalizer") else value
        state |= {f"module.{new}": value, f"module.attacker.{new}": value}
    return state


def restored(regime, name="resnet18"):
    (found,) = pretrained.restore(regime, name, SHAPE, CLASSES)
    return found


@pytest.mark.parametrize("way", ["own", "plain", "module", "madry", "rules"])
def test_weights_under_other_names_give_the_same_logits(trained, tmp_path, way):
    state, file, more = trained.state_dict(), tmp_path / "w.pt", {"keys": "plain"}
    mean, std = (state[name].flatten().tolist() for name in ("0.mean", "0.std"))
    bare = {name.removeprefix("1."): value for name, value in state.items() if name.startswith("1.")}
    bare = {name: value for name, value in bare.items() if not name.endswith("num_batches_tracked")}  # as old files
    if way == "own":
        file, more = tmp_path / "w.safetensors", {"keys": "own"}
        io.write_weights(file, trained)
    elif way == "plain":
        torch.save(bare, file)
        more |= {"mean": mean, "std": std}
    elif way == "module":
        torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in bare.items()}}, file)
        more |= {"mean": mean, "std": std, "entry": "state_dict"}
    elif way == "madry":
        torch.save({"model": madry(trained)}, file)
        more = {"keys": "madry", "entry": "model"}
    else:
        torch.save({f"net/{name}": value for name, value in bare.items()} | {"junk": torch.zeros(3)}, file)
        rules = [{"pattern": "^net/", "to": "1."}, {"pattern": "^junk$", "to": None}]
        more = {"keys": rules, "mean": mean, "std": std}
    found, x = restored(load(weights=[str(file)], **more)), images().pixels
    torch.testing.assert_close(found(x), trained(x), atol=1e-5, rtol=1e-5)
    assert not any(layer.training for layer in found.modules())


def test_a_pt_that_was_saved_on_a_gpu_is_read_on_a_cpu(trained, tmp_path, monkeypatch):
    with monkeypatch.context() as there:
        there.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        torch.save(trained.state_dict(), tmp_path / "w.pt")
    assert b"cuda:0" in (tmp_path / "w.pt").read_bytes()
    found = restored(load(weights=[str(tmp_path / "w.pt")]))
    assert {value.device.type for value in found.state_dict().values()} == {"cpu"}
    assert torch.equal(found(images().pixels), trained(images().pixels))


def test_networks_of_the_wide_kind_take_published_names(tmp_path):
    model = inference.build("preactresnet18", SHAPE, 10).eval()
    torch.save(
        {f"module.{k.removeprefix('1.')}": v for k, v in model.state_dict().items() if k[0] == "1"}, tmp_path / "w.pt"
    )
    (found,) = pretrained.restore(load(weights=[str(tmp_path / "w.pt")], keys="plain"), "preactresnet18", SHAPE, 10)
    torch.testing.assert_close(found(images().pixels), model(images().pixels))


class Code:
    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


@pytest.mark.parametrize(
    ("save", "change", "message"),
    [
        (None, {}, r"w\.pt: expected weights, found no file"),
        ({"a": torch.zeros(1)}, {}, r"w\.pt: the weights do not fit the model: missing 1\.bn1\.bias; .*"),
        ({"model": {}}, {"entry": "net"}, r"w\.pt: expected the entry 'net', got entries model"),
        (
            {"model": {"a": torch.zeros(1)}},
            {},
            r"expected tensors by name \(regime\.entry says where\), got entries model",
        ),
        ([1, 2], {}, r"w\.pt: expected tensors by name .*, got list"),
        ({"x": Code()}, {}, r"w\.pt: expected tensors that load without running code, got: "),
        (
            {"a": torch.zeros(1), "module.a": torch.zeros(1)},
            {"keys": "plain"},
            r"w\.pt: expected names that differ after regime\.keys, got 1\.a twice",
        ),
    ],
    ids=["no file", "other names", "no entry", "nested", "a list", "code", "twice"],
)
def test_weights_that_cannot_be_used_are_named(tmp_path, monkeypatch, save, change, message):
    monkeypatch.chdir(tmp_path)
    if save is not None:
        torch.save(save, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=message):
        restored(load(weights=["w.pt"], **change))
    assert not (tmp_path / "ran").exists()


def test_weights_of_other_shapes_and_endings_are_named(trained, tmp_path):
    io.write_weights(tmp_path / "w.safetensors", inference.build("resnet18", SHAPE, 5))
    with pytest.raises(ValueError, match=r"w\.safetensors: .*1\.fc\.bias: expected \(2,\), got \(5,\)"):
        restored(load(weights=[str(tmp_path / "w.safetensors")]))
    (tmp_path / "w.pt").write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"w\.pt: expected tensors that load without running code"):
        restored(load(weights=[str(tmp_path / "w.pt")]))
    with pytest.raises(
        ValueError, match=r"w\.onnx: expected a name ending in \.safetensors, \.pt or \.pth, got '\.onnx'"
    ):
        restored(load(weights=["w.onnx"]))


def test_a_normalisation_for_other_channels_is_named(trained, tmp_path):
    io.write_weights(tmp_path / "w.safetensors", trained)
    with pytest.raises(ValueError, match=r"regime\.mean: expected 3 numbers, one a channel, got \[0\.5\]"):
        restored(load(weights=[str(tmp_path / "w.safetensors")], mean=[0.5]))


def test_a_known_network_needs_a_file():
    with pytest.raises(ValueError, match=r"regime\.weights: expected a file, since resnet18 has no weights of its own"):
        restored(load(weights=None))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": []}, r"regime\.weights: expected at least 1 entry, got \[\]"),
        ({"keys": "kaggle"}, r"regime\.keys.*expected 'own', 'plain' or 'madry', got 'kaggle'"),
        ({"keys": [{"pattern": "(", "to": ""}]}, r"pattern: expected a regular expression, got '\('"),
        ({"std": [0.0]}, r"regime\.std.*: expected a number greater than 0, got 0\.0"),
        ({"least_accuracy": 1.0}, r"regime\.least_accuracy: .*less than 1, got 1\.0"),
    ],
)
def test_a_bad_setting_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        load(**{"weights": ["w.pt"], **change})


# ---- the held-out images, and the stage


def test_what_is_measured_is_accuracy_and_loss_on_the_held_out_images(trained, settings, tmp_path):
    io.write_weights(tmp_path / "w.safetensors", trained)
    regime, data = load(weights=[str(tmp_path / "w.safetensors")]), images()
    (model,), (row,) = pretrained.adopt(regime, "resnet18", data, settings, untouched)
    _, out = held_out.split(data.labels, settings.held_out)
    logits = trained(data.pixels[out])
    assert row["loss"] == pytest.approx(nn.functional.cross_entropy(logits, data.labels[out]).item(), rel=1e-4)
    assert row["clean"] == row["robust"] == float((logits.argmax(1) == data.labels[out]).float().mean())
    assert (row["seed"], row["epoch"], row["kept"], row["overfitted"]) == (0, 0, True, False)
    torch.testing.assert_close(model(data.pixels), trained(data.pixels))


def test_an_accuracy_below_what_was_expected_is_refused(trained, settings, tmp_path):
    with torch.no_grad():
        wrong = copy.deepcopy(trained)
        wrong[1].fc.weight.neg_(), wrong[1].fc.bias.neg_()
    io.write_weights(tmp_path / "w.safetensors", wrong)
    with pytest.raises(ValueError, match=r"expected a held-out accuracy of at least 0\.9, got 0: normalisation"):
        pretrained.adopt(load(weights=[str(tmp_path / "w.safetensors")]), "resnet18", images(), settings, untouched)


@pytest.mark.parametrize("logits", [lambda x: x.mean((2, 3)), lambda x: x.mean((2, 3))[:, :2] / 0], ids=["3", "nan"])
def test_logits_of_another_shape_or_not_finite_are_refused(settings, logits):
    with pytest.raises(ValueError, match=r"expected finite logits of shape \(4, 2\), got shape \(4, [23]\)"):
        pretrained.examine(logits, images(), settings, untouched, torch.Generator())


def own(channels, classes, small):
    """A network of one's own that comes with its weights: the brightness."""
    layer = nn.Linear(channels, classes)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, channels))
        layer.bias.copy_(torch.tensor([1.5, -1.5]))
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), layer)


def test_the_stage_writes_the_same_files_for_a_network_that_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "studies" / "smoke.yaml", "params.yaml")
    study = params.read(tmp_path / "params.yaml")
    study["runs"]["theirs"] = {"band": "full", "regime": {**GIVEN, "weights": None}, "model": f"{__name__}:own"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    io.write_images(tmp_path / "train.parquet", images(), source="noise", digest="abc")
    stage.main("theirs", tmp_path / "train.parquet", tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"seed0.safetensors", "epochs.csv", "card.json"}
    rows = io.read_table(tmp_path / "out" / "epochs.csv")
    assert rows[["seed", "epoch", "kept"]].to_numpy().tolist() == [[0, 0, True]] and rows["clean"].tolist() == [1.0]
    ((_, found),) = inference.restore_all(tmp_path / "out", f"{__name__}:own", SHAPE, CLASSES)
    assert torch.equal(inference.predict(found, images().pixels), images().labels)
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["data"] == {"source": "noise", "digest": "abc", "images": 40} and card["classes"] == ["dark", "bright"]
    assert card["held_out"]["seed0"]["clean"] == 1.0 and card["settings"]["regime"]["name"] == "pretrained"
    measures = {"clean": {"mean": 0.98765, "low": None, "high": 1, "n_images": 40, "n_seeds": 1}}
    page = markdown(card, measures)
    assert "| clean | 0.9876 | - | 1 | 40 | 1 |" in page or "| clean | 0.9877 | - | 1 | 40 | 1 |" in page
    assert "| digest | `abc` |" in page and page.startswith("# theirs\n") and "3 x 8 x 8; 2 classes." in page

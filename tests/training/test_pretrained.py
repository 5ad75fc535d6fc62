"""Runs with pretrained weights: their settings, the check on held-out images, and the files of the stage."""

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from torch import nn

from spectroscope.models import inference
from spectroscope.models.held_out import split
from spectroscope.pipeline import io, memory, params
from spectroscope.training import pretrained
from spectroscope.training.cards import markdown
from spectroscope.training.regimes.registry import Regime
from spectroscope.training.settings import TrainingSettings
from stages import training as stage

ROOT = Path(__file__).parents[2]
SHAPE, CLASSES = (3, 8, 8), 2
PRETRAINED = {"name": "pretrained", "entry": None, "keys": "own", "mean": None, "std": None, "least_accuracy": 0.9}


def regime(**values):
    return params.validate({**PRETRAINED, **values}, Regime, "regime")


def images(n=40):
    """Two classes of noise that differ in brightness."""
    labels = torch.arange(n) % 2
    noise = torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(0))
    return io.Images(0.4 * noise + 0.6 * labels[:, None, None, None], labels, ("dark", "bright"))


def own(channels, classes, small):
    """A network of one's own that comes with its weights: the brightness."""
    layer = nn.Linear(channels, classes)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, channels))
        layer.bias.copy_(torch.tensor([1.5, -1.5]))
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), layer)


OWN = f"{__name__}:own"


def untouched(model, x, y, generator):
    return x


@pytest.fixture(scope="module")
def settings():
    return params.load("training", TrainingSettings, ROOT / "studies" / "smoke.yaml")


def test_a_network_is_restored_from_each_file_with_its_names_and_its_normalisation(tmp_path):
    model = own(3, CLASSES, True)
    for seed in range(2):
        torch.save({"net": {f"module.{k}": v + seed for k, v in model.state_dict().items()}}, tmp_path / f"{seed}.pt")
    chosen = regime(
        weights=[str(tmp_path / f"{seed}.pt") for seed in range(2)],
        entry="net",
        keys="plain",
        mean=[0.5] * 3,
        std=[2.0] * 3,
    )
    first, second = pretrained.networks(chosen, OWN, SHAPE, CLASSES)
    x = images().pixels
    torch.testing.assert_close(first(x), model((x - 0.5) / 2))
    assert not torch.allclose(second(x), first(x))
    assert not any(layer.training for layer in first.modules())


def test_rules_of_ones_own_rename(tmp_path):
    torch.save({f"head/{k}": v for k, v in own(3, CLASSES, True).state_dict().items()}, tmp_path / "w.pt")
    chosen = regime(weights=[str(tmp_path / "w.pt")], keys=[{"pattern": "^head/", "to": "1."}])
    (model,) = pretrained.networks(chosen, OWN, SHAPE, CLASSES)
    torch.testing.assert_close(model(images().pixels), own(3, CLASSES, True)(images().pixels))


def test_a_known_network_needs_a_file():
    with pytest.raises(ValueError, match=r"regime\.weights: expected a file, since resnet18 has no weights of its own"):
        list(pretrained.networks(regime(weights=None), "resnet18", SHAPE, CLASSES))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": []}, r"regime\.weights: expected at least 1 entry, got \[\]"),
        ({"keys": "kaggle"}, r"regime\.keys.*expected 'own', 'plain' or 'madry', got 'kaggle'"),
        ({"keys": [{"pattern": "(", "to": ""}]}, r"pattern: expected a regular expression, got '\('"),
        ({"std": [0.0]}, r"regime\.std.*: expected a number greater than 0, got 0\.0"),
        ({"least_accuracy": 1.0}, r"regime\.least_accuracy: .*less than 1, got 1\.0"),
        ({"least_accuracy": 0}, r"regime\.least_accuracy: expected a number greater than 0, got 0"),
    ],
)
def test_a_bad_setting_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        regime(**{"weights": ["w.pt"], **change})


# ---- the held-out images, and the stage


def test_logits_of_held_out_images_are_those_of_batches_that_fit(settings, monkeypatch):
    monkeypatch.setattr(memory, "_fitting", memory.BatchSize(10**9))
    model = own(3, CLASSES, True)

    def limited(x):
        if len(x) > 2:
            raise torch.OutOfMemoryError("no room")
        return model(x)

    x, _, logits = pretrained.on_held_out(limited, images(), settings)
    assert len(x) > 2 and torch.equal(logits, model(x))


def test_accuracy_and_loss_are_those_of_the_held_out_images(settings):
    data = images()
    (model,), (row,) = pretrained.adopt(regime(weights=None), OWN, data, settings, untouched)
    _, held_out = split(data, settings.held_out)
    logits = own(3, CLASSES, True)(data.pixels[held_out])
    assert row["loss"] == pytest.approx(nn.functional.cross_entropy(logits, data.labels[held_out]).item(), rel=1e-4)
    assert row["clean"] == row["robust"] == float((logits.argmax(1) == data.labels[held_out]).float().mean())
    assert (row["seed"], row["epoch"], row["kept"], row["overfitted"]) == (0, 0, True, False)
    torch.testing.assert_close(model(data.pixels[held_out]).cpu(), logits)


def test_an_accuracy_below_the_least_is_refused(settings):
    data = images()
    swapped = io.Images(data.pixels, 1 - data.labels, data.classes)
    with pytest.raises(ValueError, match=r"expected a held-out accuracy of at least 0\.9, got 0: normalisation"):
        pretrained.adopt(regime(weights=None), OWN, swapped, settings, untouched)


@pytest.mark.parametrize("logits", [lambda x: x.mean((2, 3)), lambda x: x.mean((2, 3))[:, :2] / 0], ids=["3", "nan"])
def test_logits_of_another_shape_or_not_finite_are_refused(settings, logits):
    with pytest.raises(ValueError, match=r"expected finite logits of shape \(4, 2\), got shape \(4, [23]\)"):
        pretrained.examine(logits, images(), settings, untouched, torch.Generator())


def test_the_stage_writes_the_same_files_for_a_pretrained_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("networks", "networks.mine"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "__init__.py").touch()
    (tmp_path / "networks" / "mine.py").write_text(f"from {__name__} import own as net\n")
    shutil.copy(ROOT / "studies" / "smoke.yaml", "params.yaml")
    study = params.read(tmp_path / "params.yaml")
    study["runs"]["theirs"] = {"band": "full", "regime": {**PRETRAINED, "weights": None}, "model": "networks.mine:net"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    io.write_images(tmp_path / "train.parquet", images(), source="noise", digest="abc")
    stage.main("theirs", tmp_path / "train.parquet", tmp_path / "out", tmp_path / "machine.csv")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"seed0.safetensors", "epochs.csv", "card.json"}
    rows = io.read_table(tmp_path / "out" / "epochs.csv")
    assert io.read_table(tmp_path / "machine.csv")["processes"].isna().all()
    assert rows[["seed", "epoch", "kept"]].to_numpy().tolist() == [[0, 0, True]] and rows["clean"].tolist() == [1.0]
    ((_, model),) = inference.restore_all(tmp_path / "out", OWN, SHAPE, CLASSES)
    assert torch.equal(inference.predict(model, images().pixels), images().labels)
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["data"] == {"source": "noise", "digest": "abc", "images": 40} and card["classes"] == ["dark", "bright"]
    assert card["held_out"]["seed0"]["clean"] == 1.0 and card["settings"]["regime"]["name"] == "pretrained"
    figures = [{"statistic": "centroid", "score": "margin", "mean": 3.25, "low": None, "n_images": 40, "n_seeds": 1}]
    page = markdown(card, pd.DataFrame(figures).assign(high=4.0))
    assert "| centroid by margin | 3.25 | - | 4 | 40 | 1 |" in page
    assert "| digest | `abc` |" in page and "\n---\n\n# theirs\n" in page and "3 x 8 x 8; 2 classes." in page

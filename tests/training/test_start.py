"""Trainings that start from trained weights, and runs with training settings of their own."""

import copy
import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml

from spectroscope.pipeline import checkpoint, io, params
from spectroscope.training import networks, resume
from spectroscope.training import start as start_module
from spectroscope.training.cards import markdown
from spectroscope.training.regimes.registry import Regime
from spectroscope.training.settings import OwnTraining, settings_of_run
from spectroscope.training.start import Start, files_by_seed
from stages import training as stage
from tests.trainings import bright_or_dark, network, settings

ROOT = Path(__file__).parents[2]
START = {"entry": None, "keys": "own", "mean": None, "std": None, "least_accuracy": 0.01}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two files of weights that are not those of any seed, with BatchNorm statistics of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    for number in range(2):
        model = network(10 + number)
        model.train()(bright_or_dark().pixels + number)  # moves BatchNorm
        model.normalise.fit(bright_or_dark(signal=0.9).pixels)
        io.write_weights(tmp_path / f"{number}.safetensors", model)
    return ["0.safetensors", "1.safetensors"]


def start(**values):
    return params.validate({**START, **values}, Start, "start")


def first_weights(monkeypatch, begin, seeds):
    """The weights of each seed's network as the loop gets it."""
    seen = []

    def fit(model, *arguments):
        seen.append(copy.deepcopy(model.state_dict()))
        return iter([{"epoch": 1, "robust": 0.5, "clean": 0.5}])

    monkeypatch.setattr(networks, "fit", fit)
    regime = params.validate({"name": "standard"}, Regime, "regime")
    with checkpoint.open_store("training", test=1) as store:
        arguments = bright_or_dark(), settings(seeds=seeds, epochs=1), store
        networks.train_networks("standard", regime, "resnet8", begin, *arguments)
    return seen


def same(weights, file):
    saved = io.read_tensors(Path(file))
    return saved.keys() == weights.keys() and all(torch.equal(value, weights[key]) for key, value in saved.items())


def test_every_seed_starts_from_the_one_file_with_its_normalisation_and_batch_norm(files, monkeypatch):
    first, second = first_weights(monkeypatch, start(weights=files[:1]), [0, 7])
    assert same(first, files[0]) and same(second, files[0]) and not same(first, files[1])


def test_each_seed_starts_from_its_own_file_in_the_order_of_the_seeds(files, monkeypatch):
    first, second = first_weights(monkeypatch, start(weights=files), [7, 0])
    assert same(first, files[0]) and same(second, files[1])


def test_mean_and_std_of_the_start_stay(files, monkeypatch):
    (first,) = first_weights(monkeypatch, start(weights=files[:1], mean=[0.25], std=[2.0]), [0])
    assert first["0.mean"].item() == 0.25 and first["0.std"].item() == 2.0


def test_without_a_start_seeds_have_random_weights_of_their_own(files, monkeypatch):
    first, second = first_weights(monkeypatch, None, [0, 1])
    assert not any(torch.equal(first[key], second[key]) for key in first if first[key].ndim in (2, 4))


def test_one_file_serves_all_seeds_and_another_number_than_the_seeds_is_refused():
    assert files_by_seed(start(weights=["a"]), [4, 2]) == {4: "a", 2: "a"}
    assert files_by_seed(start(weights=["a", "b"]), [4, 2]) == {4: "a", 2: "b"}
    with pytest.raises(ValueError, match=r"start\.weights: expected 1 file, or 3, one for each seed, got 2"):
        files_by_seed(start(weights=["a", "b"]), [0, 1, 2])


def test_a_start_that_is_not_accurate_is_refused_before_any_training(files, monkeypatch):
    labels, wrong = torch.tensor([0, 1, 0, 1]), iter([0, 1])  # of the logits of each file

    def on_held_out(model, train, section):
        shown = labels.clone()
        shown[: next(wrong)] = 1
        return None, labels, torch.nn.functional.one_hot(shown).float()

    monkeypatch.setattr(start_module, "on_held_out", on_held_out)
    monkeypatch.setattr(networks, "initial_network", lambda *arguments: pytest.fail("a network to train was built"))
    message = r"^1\.safetensors: expected a held-out accuracy of at least 0\.8, got 0\.75: normalisation"
    with pytest.raises(ValueError, match=message):
        first_weights(monkeypatch, start(weights=files, least_accuracy=0.8), [0, 1])


# ---- settings of its own


def test_a_run_changes_the_settings_that_it_names_and_no_others():
    own = params.validate({"epochs": 5, "average": None, "schedule": "cosine"}, OwnTraining, "training")
    section = settings(epochs=2, average=0.9)
    assert settings_of_run(section, own) == settings(epochs=5, average=None, schedule="cosine")
    assert settings_of_run(section, None) == section


@pytest.mark.parametrize("key", ["seeds", "held_out", "validation_attack", "batch_norm"])
def test_what_runs_are_compared_with_is_the_same_for_all(key):
    assert key not in OwnTraining.model_fields


# ---- the stage


@pytest.fixture
def workspace(files, tmp_path):
    """The smoke study with a run that starts from a file and has settings of its own, beside the same without."""
    study = params.read(ROOT / "studies" / "smoke.yaml")
    plain = {"band": "full", "regime": {"name": "standard"}, "model": "resnet8"}
    started = {**plain, "start": {**START, "weights": files[:1]}, "training": {"epochs": 3, "learning_rate": 0.01}}
    study["runs"] = {"standard": plain, "tuned": started}
    study["training"] |= {"seeds": [0], "epochs": 1, "batch_size": 16}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    io.write_images(tmp_path / "train.parquet", bright_or_dark(), source="noise", digest="abc")
    return tmp_path


def trained(workspace, run, out="out"):
    shutil.rmtree(workspace / out, ignore_errors=True)
    stage.main(run, workspace / "train.parquet", workspace / out, workspace / "machine.csv")
    return io.read_table(workspace / out / "epochs.csv"), io.read_tensors(workspace / out / "seed0.safetensors")


def test_settings_of_its_own_hold_for_that_run_alone_and_its_card_says_where_it_started(workspace):
    epochs, weights = trained(workspace, "tuned")
    assert epochs["epoch"].tolist() == [1, 2, 3]
    card = json.loads((workspace / "out" / "card.json").read_text())
    assert (card["settings"]["training"]["epochs"], card["settings"]["training"]["learning_rate"]) == (3, 0.01)
    digest = hashlib.sha256((workspace / "0.safetensors").read_bytes()).hexdigest()
    assert card["settings"]["start"] == {**START, "weights": ["0.safetensors"], "sha256": {"all": digest}}
    assert "| start: weights | `['0.safetensors']` |" in markdown(card, io.read_table(workspace / "machine.csv")[:0])
    assert torch.equal(weights["0.mean"], io.read_tensors(workspace / "0.safetensors")["0.mean"])
    epochs, _ = trained(workspace, "standard")
    assert epochs["epoch"].tolist() == [1]
    assert "start" not in json.loads((workspace / "out" / "card.json").read_text())["settings"]


def test_a_killed_run_with_a_start_ends_with_the_same_weights(workspace, monkeypatch):
    rows, weights = trained(workspace, "tuned")
    monkeypatch.setenv(checkpoint.SECONDS, "0")
    save, saves = resume.State.save, []

    def killed(state, slot):
        save(state, slot)
        saves.append(state.progress.n_batches)
        if len(saves) == 6:  # in the second of 3 epochs
            raise KeyboardInterrupt

    monkeypatch.setattr(resume.State, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(workspace, "tuned")
    n_saves = len(saves)
    again, resumed = trained(workspace, "tuned")
    assert len(saves) > n_saves and again.equals(rows)
    assert all(torch.equal(value, resumed[key]) for key, value in weights.items())


def stores(workspace, monkeypatch, change):
    """The checkpoint folders of a run before and after a change."""
    names = []
    opened = checkpoint.open_store

    def recorded(*arguments, **provenance):
        names.append(json.dumps(provenance, sort_keys=True))
        return opened(*arguments, **provenance)

    monkeypatch.setattr(checkpoint, "open_store", recorded)
    trained(workspace, "tuned")
    change()
    trained(workspace, "tuned")
    return names


def test_a_checkpoint_is_that_of_one_start_file_and_of_one_set_of_own_settings(workspace, monkeypatch):
    def other_file():
        shutil.copy(workspace / "1.safetensors", workspace / "0.safetensors")

    def other_epochs():
        text = (workspace / "params.yaml").read_text()
        (workspace / "params.yaml").write_text(re.sub("epochs: 3", "epochs: 2", text))

    for change in (other_file, other_epochs):
        first, second = stores(workspace, monkeypatch, change)[-2:]
        assert first != second, change


def test_a_checkpoint_is_that_of_one_state_of_a_network_of_ones_own(workspace, monkeypatch):
    (workspace / "networks").mkdir()
    (workspace / "networks" / "__init__.py").touch()
    own = "from spectroscope.models.architectures import ARCHITECTURES\n\n"
    own += "def net(channels, classes, small):\n    return ARCHITECTURES['resnet8'](channels, classes, small)\n"
    (workspace / "networks" / "mine.py").write_text(own)
    monkeypatch.syspath_prepend(workspace)
    for module in ("networks", "networks.mine"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    text = (workspace / "params.yaml").read_text()
    (workspace / "params.yaml").write_text(text.replace("model: resnet8", "model: networks.mine:net"))

    def other_code():
        (workspace / "networks" / "mine.py").write_text(own.replace("def net", "# ReLU, then Tanh\ndef net"))

    first, second = stores(workspace, monkeypatch, other_code)
    assert first != second

"""Every file that a cell reads and no stage writes is in the digests of the cell, or refused."""

import copy
import sys
from pathlib import Path

import pytest

from spectroscope import sources
from spectroscope.attacks.registry import ATTACKS
from spectroscope.pipeline import params
from spectroscope.study import Study

ROOT = Path(__file__).parents[1]
SMOKE = params.read(ROOT / "studies" / "smoke.yaml")
FILES = {"entry": None, "keys": "own", "mean": None, "std": None, "least_accuracy": 0.5}
PARQUET = {"name": "parquet", "image": None, "label": None, "channels": 3, "size": None, "seed": 0}
PARQUET |= {"limit": {"train": None, "test": None}}
FOLDER = {"name": "imagefolder", "channels": 3, "size": 8, "seed": 0, "limit": {"train": None, "test": None}}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with weights a and b, Parquet files and image folders in data/sources, and a network of its own."""
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "data" / "sources"
    for name in (
        "a.pt",
        "b.pt",
        "set/train-0.parquet",
        "set/train-1.parquet",
        "set/test.parquet",
        "fruit/train/kiwi/1.png",
    ):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(name)
    (place / "fruit" / "test").mkdir()
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("networks", "networks.mine", "mine"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    (tmp_path / "networks" / "mine.py").write_text("def net(channels, classes, small): ...\n")
    return tmp_path


def study(dataset=None, model="resnet8", **run):
    settings = copy.deepcopy(SMOKE)
    settings["runs"]["theirs"] = {"band": "full", "regime": {"name": "standard"}, "model": model, **run}
    if dataset:
        settings["dataset"] = dataset
    return params.validate(settings, Study, "")


def test_the_digests_of_a_run_change_with_its_own_files_alone(project):
    given = {"regime": {"name": "pretrained", "weights": ["data/sources/a.pt"], **FILES}}
    started = {"start": {"weights": ["data/sources/b.pt"], **FILES}}
    first = sources.of_study(study(**given))
    assert set(first["runs/theirs"]) == {"data/sources/a.pt"} and first["runs/standard"] == {}
    assert set(sources.of_study(study(**started))["runs/theirs"]) == {"data/sources/b.pt"}
    (project / "data" / "sources" / "b.pt").write_text("changed")
    assert sources.of_study(study(**given)) == first
    (project / "data" / "sources" / "a.pt").write_text("changed")
    second = sources.of_study(study(**given))
    assert [name for name in first if first[name] != second[name]] == ["runs/theirs"]


def test_the_digests_of_a_data_set_change_with_its_files(project):
    place = project / "data" / "sources"
    parquet = study({**PARQUET, "train": "data/sources/set", "test": "data/sources/set/te*.parquet"})
    folders = study({**FOLDER, "train": "data/sources/fruit/train", "test": "data/sources/fruit/test"})
    first, images = sources.of_study(parquet)["dataset"], sources.of_study(folders)["dataset"]
    assert {split: len(files) for split, files in first.items()} == {"train": 2, "test": 1}
    (place / "set" / "train-1.parquet").write_text("changed")
    second = sources.of_study(parquet)["dataset"]
    assert second["train"][0] == first["train"][0] and second["train"][1] != first["train"][1]
    (place / "fruit" / "train" / "kiwi" / "2.png").write_text("new")
    assert sources.of_study(folders)["dataset"]["train"] != images["train"]


def test_the_code_of_an_attack_is_its_file_and_what_it_imports(project):
    spsa = sources.attack_code("spsa")
    assert {"spectroscope/attacks/spsa.py", "spectroscope/attacks/gradient_estimation.py"} <= set(spsa)
    assert "spectroscope/attacks/pgd.py" not in spsa and "spectroscope/attacks/registry.py" not in spsa
    parts = {method: sources.attack_code(method) for method in ATTACKS if not method.startswith("autoattack")}
    assert all("spectroscope/attacks/square.py" not in files for method, files in parts.items() if method != "square")


@pytest.mark.parametrize(
    ("path", "source", "name"),
    [
        ("/data/a.pt", "/data/a.pt", "data/sources/a.pt"),
        ("a.pt", "a.pt", "data/sources/a.pt"),
        ("data/sources/../a.pt", "data/a.pt", "data/sources/a.pt"),
        ("data/images/a.pt", "data/images/a.pt", "data/sources/a.pt"),
        ("/my data/a.pt", "'/my data/a.pt'", "data/sources/a.pt"),
        ("/my set/a*.parquet", "'/my set'", "'data/sources/my set'"),
    ],
)
def test_files_elsewhere_are_refused_by_name_with_the_command_that_brings_them(project, path, source, name):
    expected = (
        f"params.yaml: runs.theirs.regime.weights: expected a path below data/sources/, which DVC watches, got {path!r}"
    )
    with pytest.raises(ValueError) as caught:
        sources.of_study(study(regime={"name": "pretrained", "weights": [path], **FILES}))
    assert str(caught.value) == f"{expected}: `dvc import-url {source} {name}` brings it there"


def test_images_elsewhere_are_refused_and_urls_are_not(project):
    url = {**PARQUET, "train": "https://example.org/train.parquet", "test": "data/sources/set"}
    assert sources.of_study(study(url))["dataset"]["train"] == []
    with pytest.raises(ValueError, match=r"dataset\.test: expected a path below data/sources/"):
        sources.of_study(study({**url, "test": "/data/set"}))
    with pytest.raises(ValueError, match=r"dataset\.test: expected a file or folder data/sources/none, found nothing"):
        sources.of_study(study({**url, "test": "data/sources/none"}))


def test_a_link_to_a_folder_is_refused_and_one_to_a_file_is_not(project):
    place = project / "data" / "sources"
    folders = study({**FOLDER, "train": "data/sources/fruit/train", "test": "data/sources/fruit/test"})
    (place / "fruit" / "test" / "1.png").symlink_to(place / "a.pt")
    sources.of_study(folders)
    (place / "fruit" / "test" / "kiwi").symlink_to(place / "fruit" / "train" / "kiwi")
    with pytest.raises(ValueError, match=r"dataset\.test: expected no link to a folder.*fruit/test/kiwi$"):
        sources.of_study(folders)


def test_a_network_of_ones_own_lies_in_the_folder_of_networks(project):
    assert set(sources.of_study(study(model="networks.mine:net"))["runs/theirs"]) == {
        "networks/__init__.py",
        "networks/mine.py",
    }
    (project / "mine.py").write_text("def net(channels, classes, small): ...\n")
    with pytest.raises(
        ValueError, match=r"runs\.theirs\.model: expected a module in the folder networks/, found no mine$"
    ):
        sources.of_study(study(model="mine:net"))

"""The stage that attacks: one file for a run and an attack, every seed in it."""

import pytest
import torch
import yaml

from spectroscope.models import inference
from spectroscope.pipeline import io, machine
from stages import attacks

SHAPE, CLASSES = (3, 12, 12), ("a", "b", "c")
PGD = {
    "method": "pgd",
    "norm": "linf",
    "n_images": 5,
    "target": None,
    "eps_255": 30,
    "step_255": 10,
    "steps": 5,
    "random_start": True,
    "direction": "sign",
    "momentum": 0,
    "stop_early": False,
}


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Networks of two seeds that have learned nothing, and images labelled by the first of them."""
    monkeypatch.chdir(tmp_path)
    x = torch.rand(8, *SHAPE, generator=torch.Generator().manual_seed(0))
    for seed in (10, 2):
        with torch.random.fork_rng():
            machine.seed(seed)
            network = inference.build("resnet8", SHAPE, len(CLASSES))
        io.write_weights(tmp_path / "models" / f"seed{seed}.safetensors", network)
    labels = network.eval()(x).argmax(1)  # of seed 2
    io.write_images(tmp_path / "test.parquet", io.Images((x * 255).round().to(torch.uint8), labels, CLASSES))
    return tmp_path


def run(workspace, **changes):
    content = {"runs": {"plain": {"model": "resnet8"}}, "attacks": {"pgd": {**PGD, **changes}}}
    (workspace / "params.yaml").write_text(yaml.safe_dump(content))
    out = workspace / "attacks" / "plain" / "pgd.parquet"
    attacks.main("plain", "pgd", workspace / "models", workspace / "test.parquet", out)
    return out


def test_every_seed_and_image_has_a_row_and_a_perturbation(workspace):
    perturbations, table, _ = io.read_arrays(run(workspace))
    columns = ["seed", "variant", "eps", "image", "label", "target", "before", "after", "success"]
    columns += ["queries", "queries_to_success", "l2", "linf", "part", "leak"]
    assert list(table) == columns
    assert table["seed"].tolist() == [2] * 5 + [10] * 5 and table["image"].tolist() == [*range(5)] * 2
    assert perturbations.shape == (10, *SHAPE) and perturbations.dtype == torch.float32
    assert table["success"].any()


def test_the_file_reproduces_its_predictions(workspace):
    perturbations, table, _ = io.read_arrays(run(workspace))
    test = io.read_images(workspace / "test.parquet").head(5)
    assert table["label"].tolist() == test.labels.tolist() * 2
    for seed, model in inference.restore_all(workspace / "models", "resnet8", shape=SHAPE, n_classes=len(CLASSES)):
        rows = (table["seed"] == seed).tolist()
        assert model(test.pixels).argmax(1).tolist() == table["before"][rows].tolist()
        assert model(test.pixels + perturbations[rows]).argmax(1).tolist() == table["after"][rows].tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eps_255": -1}, r"attacks\.pgd\.eps_255: .*got -1"),
        ({"n_images": 9}, "expected at least 9 images, got 8"),
        ({"epsilon": 1}, r"attacks\.pgd\.epsilon: unknown setting"),
    ],
)
def test_a_bad_setting_stops_it_before_anything_is_written(workspace, changes, message):
    with pytest.raises(ValueError, match=message):
        run(workspace, **changes)
    assert not (workspace / "attacks").exists()

"""Whatever a study asks of its images is compared with them at once, with the key and the split."""

import copy
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from spectroscope import counts
from spectroscope.attribution.coalitions import EXACT_BANDS
from spectroscope.attribution.compare import WAVES
from spectroscope.models.architectures import ARCHITECTURES, build
from spectroscope.pipeline import io, params
from stages import counts as stage

ROOT = Path(__file__).parents[1]
STUDY = params.read(ROOT / "params.yaml")


def images(n, side=32, classes=12, channels=3):
    pixels = torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(0))
    return io.Images(pixels, torch.arange(n) % classes, tuple(map(str, range(classes))))


def changed(path, value):
    study = copy.deepcopy(STUDY)
    *parents, last = path.split(".")
    place = study
    for key in parents:
        place = place.setdefault(key, {})
    place[last] = value
    return study


def faults(study, **data):
    return counts.faults(study, images(4800, **data), images(1200, **data))


def own(channels, classes, small):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(channels * 32 * 32, classes), nn.BatchNorm1d(classes, track_running_stats=False)
    )


BAND = {"keep": "inside", "basis": "dct", "shape": "linf", "unit": "shells", "low": 0, "high": 33, "clip": False}
MULTIVERSE = {"n_images": 4, "bases": ["dct", "dft"], "shapes": ["linf"], "baselines": ["zero"], "scores": ["logit"]}
LINF_40 = "expected at most 32 bands (32 x 32, linf, dct), got 40"
LINF = {**STUDY["probing"]["margins"], "partition": "linf", "bands": 40}
PRETRAINED = {"name": "pretrained", "weights": None, "mean": [0.5], "std": None, "least_accuracy": 0.5}
AUTOATTACK = {"method": "autoattack", "norm": "linf", "n_images": 4, "eps_255": 8}
FOURIER = {"method": "fourier", "norm": "l2", "n_images": 4, "eps": 1, "row": 32, "column": 3}
FEW = {**STUDY["attacks"]["confined-64"], "bands": {"low": {"keep": "lowest", "ratio": 0.2}}}
BEYOND = [
    ("evaluation.n_images", 1201, "expected at most 1200, the images of test, got 1201"),
    ("attacks.cw.n_images", 1300, "expected at most 1200, the images of test, got 1300"),
    ("attribution.n_images", 5000, "expected at most 1200, the images of test, got 5000"),
    ("attribution.compared.n_images", 2000, "expected at most 1200, the images of test, got 2000"),
    ("probing.masks.n_images", 2000, "expected at most 1200, the images of test, got 2000"),
    ("perturbation.n_images", 2000, "expected at most 1200, the images of test, got 2000"),
    ("information.n_train", 4801, "expected at most 4800, the images of train, got 4801"),
    ("information.n_test", 1201, "expected at most 1200, the images of test, got 1201"),
    ("attacks.autoattack-reduced.n_targets", 12, "expected fewer than the 12 classes, got 12"),
    ("attacks.simba-dct.freq_dims", 33, "expected at most 32 for 32 x 32 images, got 33"),
    ("attacks.confined-64.coefficients", 65, "expected at most 64, those of the band low, got 65"),
    ("attacks.confined.bands.low.high", 33, "expected high <= 32 shells (32 x 32, linf), got 33"),
    ("attacks.confined.bands.low", {"keep": "lowest", "ratio": 0.01}, "a coefficient of 32 x 32 images, got 0.01"),
    ("attacks.confined-64", FEW, "expected at most 36, those of the band low, got 64"),
    ("bands.high.high", 40, "expected high <= 32 shells (32 x 32, linf), got 40"),
    ("training.augmentation.crop", 32, "expected less than 32 pixels, got 32"),
    ("runs.standard.training.augmentation.crop", 5000, "expected less than 32 pixels, got 5000"),
    ("information.bands", 7, None),  # an octave has its own number, which the section itself refuses
    ("probing.margins", LINF, LINF_40),
    ("probing.layers", {"n_images": 1201, "partition": "linf", "bands": 40, "seed": 0}, "images of test, got 1201"),
    ("probing.layers", {"n_images": 2, "partition": "linf", "bands": 40, "seed": 0}, LINF_40),
    ("attribution.bands", 33, "expected at most 32 bands (32 x 32, linf, dct), got 33"),
    ("attribution.bands", 2, "expected a band in each of low, middle and high, got 2: none in low, middle"),
    ("attribution.compared.bands", 18, "expected at most 17 bands (32 x 32, linf, dft), got 18"),
    ("attribution.compared.bands", 11, "expected at most 10 for the method shapley, or sampled_shapley, got 11"),
    ("runs.standard.model", "lenet5", "lenet5: expected images of 28 x 28 pixels, got 32 x 32"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), BEYOND)
def test_a_setting_beyond_the_data_is_named(path, value, message):
    found = faults(changed(path, value))
    if message is None:
        assert found == []
    else:
        assert any(line.startswith(path.rsplit(".", 1)[0]) and line.endswith(message) for line in found), found


def test_all_faults_are_named_at_once():
    study = changed("evaluation.n_images", 9999)
    study["attribution"]["n_images"], study["probing"]["margins"]["n_images"] = 1201, 1202
    study["attacks"] |= {"autoattack": AUTOATTACK, "wave": FOURIER}
    study["validation"]["multiverse"] = MULTIVERSE
    study["attribution"]["compared"]["bands"], study["attribution"]["methods"] = 20, {"kept": {"method": "kept"}}
    study["runs"]["standard"]["regime"] = PRETRAINED
    found = counts.faults(study, images(4800, classes=3), images(1200, classes=3))
    for key in ("evaluation.n_images", "attribution.n_images", "probing.margins.n_images", "attacks.autoattack.method",
                "attacks.wave.row", "validation.multiverse.shapes", "runs.standard.regime.mean"):  # fmt: skip
        assert any(line.startswith(f"{key}: expected") for line in found), (key, found)


def test_a_network_of_ones_own_passes_the_preflight_before_any_training():
    (fault,) = faults(changed("runs.standard.model", f"{__name__}:own"))
    assert fault.startswith("runs.standard.model: expected logits of batches of any size")


def test_a_known_network_that_images_are_too_small_for_is_named(monkeypatch):
    """As VGG-19, which halves its images five times, for images of 28 pixels a side."""
    halving = lambda channels, classes, small: nn.Sequential(*[nn.MaxPool2d(2)] * 6, own(channels, classes, small))  # noqa: E731
    monkeypatch.setitem(ARCHITECTURES, "vgg19", halving)
    (fault,) = faults(changed("runs.lowpass.model", "vgg19"))
    assert fault.startswith(
        "runs.lowpass.model: expected logits of 8 images, got RuntimeError: Given input size: (3x1x1)"
    )


@pytest.mark.parametrize("place", ["regime", "start"])
def test_given_weights_of_any_run_pass_the_preflight_before_the_first_run_trains(place, tmp_path):
    network = build("resnet8", (3, 32, 32), 12)
    io.write_weights(tmp_path / "sound.safetensors", network)
    with torch.no_grad():
        network[1][-1].bias[0] = torch.nan
    io.write_weights(tmp_path / "nan.safetensors", network)
    io.write_weights(tmp_path / "other.safetensors", build("resnet8", (3, 32, 32), 5))
    files = [str(tmp_path / f"{name}.safetensors") for name in ("sound", "nan", "other")]
    given = {**PRETRAINED, "weights": files, "entry": None, "keys": "own", "mean": None}
    run = {"band": "full", "regime": {"name": "standard"}, "model": "resnet8", place: given}
    nan, other = faults(changed("runs.last", run))
    key = f"runs.last.{place}.weights"
    assert nan == f"{key}: {files[1]}: expected finite logits, got NaN or infinity for 8 of 8 images"
    assert other.startswith(f"{key}: {files[2]}: the weights do not fit the model: 1.8.bias: expected (12,), got (5,)")


def test_one_network_in_files_of_two_kinds_is_not_two_networks(tmp_path):
    network, files = (
        build("resnet8", (3, 32, 32), 12),
        [str(tmp_path / f"a.{ending}") for ending in ("pt", "safetensors")],
    )
    torch.save(network.state_dict(), files[0])
    io.write_weights(tmp_path / "a.safetensors", network)
    given = {**PRETRAINED, "weights": files, "entry": None, "keys": "own", "mean": None}
    (fault,) = faults(changed("runs.last", {"band": "full", "regime": given, "model": "resnet8"}))
    assert fault == (
        f"runs.last.regime.weights: expected files of different networks, got the same weights in {files[0]} and "
        f"{files[1]}"
    )


def test_every_study_fits_a_data_set_of_its_size():
    for file in [ROOT / "params.yaml", ROOT / "studies" / "full.yaml"]:
        assert faults(params.read(file)) == []


def test_what_stands_here_twice_is_the_same():
    assert counts.MOST_EXACT == EXACT_BANDS and counts.WAVES == WAVES


def test_the_stage_names_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for split, n in (("train", 4800), ("test", 1200)):
        io.write_images(tmp_path / f"{split}.parquet", images(n, side=32, channels=1))
    paths = tmp_path / "train.parquet", tmp_path / "test.parquet", tmp_path / "counts.txt"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(changed("evaluation.n_images", 1201)))
    with pytest.raises(
        ValueError, match=r"^params\.yaml: evaluation\.n_images: expected at most 1200, the images of test"
    ):
        stage.main(*paths)
    assert not paths[2].exists()
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(STUDY))
    stage.main(*paths)
    assert paths[2].exists()

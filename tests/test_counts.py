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
FILES = {"weights": None, "entry": None, "keys": "own", "mean": None, "std": None, "least_accuracy": 0.8}
PRETRAINED = {"name": "pretrained", **FILES}
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
    study["runs"]["standard"]["regime"] = {**PRETRAINED, "mean": [0.5]}
    found = counts.faults(study, images(4800, classes=3), images(1200, classes=3))
    for key in ("evaluation.n_images", "attribution.n_images", "probing.margins.n_images", "attacks.autoattack.method",
                "attacks.wave.row", "validation.multiverse.shapes", "runs.standard.regime.mean"):  # fmt: skip
        assert any(line.startswith(f"{key}: expected") for line in found), (key, found)


def test_a_network_of_ones_own_passes_the_preflight_before_any_training():
    (fault,) = faults(changed("runs.standard.model", f"{__name__}:own"))
    assert fault.startswith("runs.standard.model: expected logits of batches of any size")


def test_a_known_network_that_images_are_too_small_for_is_named(monkeypatch):
    """As VGG-19, which halves its images five times, for images of 28 pixels a side."""

    def halving(channels, classes, small):
        return nn.Sequential(*[nn.MaxPool2d(2)] * 6, own(channels, classes, small))

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
    given = {**FILES, "weights": files, "least_accuracy": 0.01}
    run = {"band": "full", "regime": {"name": "standard"}, "model": "resnet8", place: given}
    nan, other = faults(changed("runs.last", run))
    key = f"runs.last.{place}.weights"
    assert nan == f"{key}: {files[1]}: expected finite logits, got NaN or infinity for 8 of 8 images"
    assert other.startswith(f"{key}: {files[2]}: the weights do not fit the model: 1.8.bias: expected (12,), got (5,)")


def brightness(channels, classes, small):
    """A network of one's own that tells dark images from bright ones, with its weights."""
    layer = nn.Linear(channels, classes)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, channels))
        layer.bias.copy_(torch.tensor([1.5, -1.5]))
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), layer)


@pytest.mark.parametrize("place", ["regime", "start"])
def test_given_weights_below_their_accuracy_are_named_before_the_first_run_trains(place, tmp_path):
    """On the held-out images (the last ones), in the band of the run: without DC they are equally bright."""
    labels = torch.arange(40) % 2
    bright = torch.where(torch.arange(40) < 20, 1 - labels, labels)  # some that train are wrong
    noise = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    train = io.Images(0.1 * noise + 0.8 * bright[:, None, None, None], labels, ("dark", "bright"))
    own = f"{__name__}:brightness"
    io.write_weights(tmp_path / "w.safetensors", build(own, (3, 32, 32), 2))
    study = changed("training.held_out", 0.25)
    study["bands"] |= {"no_dc": {**BAND, "low": 1, "high": 32}, "permuted": {"keep": "permuted", "seed": 0}}
    file = str(tmp_path / "w.safetensors")
    for name, band, least in (("a", "full", 0.99), ("b", "no_dc", 0.4), ("c", "no_dc", 0.6), ("d", "permuted", 0.99)):
        given = {**FILES, "weights": [file], "least_accuracy": least}
        regime = {"name": "pretrained"} if place == "regime" else {"name": "standard"}
        study["runs"][name] = {"band": band, "model": own, "regime": regime}
        study["runs"][name] |= {"regime": regime | given} if place == "regime" else {"start": given}
    if place == "regime":
        study["runs"]["c"]["regime"]["weights"], file = None, own  # the function's own weights
    found = [line for line in counts.faults(study, train, train) if ".least_accuracy: " in line]
    below = "expected a held-out accuracy of at least 0.6, got 0.5: normalisation"
    assert len(found) == 1 and found[0].startswith(f"runs.c.{place}.least_accuracy: {file}: {below}")


def test_a_known_network_without_a_file_and_a_class_of_one_cluster_are_named():
    study = changed("runs.last", {"band": "full", "model": "resnet8", "regime": PRETRAINED})
    data = images(40, classes=2)
    found = counts.faults(study, io.Images(data.pixels, data.labels, data.classes, data.labels), data)
    wanted = "expected a file, since resnet8 has no weights of its own, got null"
    assert f"runs.last.regime.weights: {wanted}" in found
    held_out = "training.held_out: expected training images of class 0 from at least 2 clusters, got 1"
    assert held_out in found


def test_one_network_in_files_of_two_kinds_is_not_two_networks(tmp_path):
    network, files = (
        build("resnet8", (3, 32, 32), 12),
        [str(tmp_path / f"a.{ending}") for ending in ("pt", "safetensors")],
    )
    torch.save(network.state_dict(), files[0])
    io.write_weights(tmp_path / "a.safetensors", network)
    given = {**PRETRAINED, "weights": files, "entry": None, "keys": "own", "mean": None}
    found = faults(changed("runs.last", {"band": "full", "regime": given, "model": "resnet8"}))
    same = f"expected files of different networks, got the same weights in {files[0]} and {files[1]}"
    assert f"runs.last.regime.weights: {same}" in found


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

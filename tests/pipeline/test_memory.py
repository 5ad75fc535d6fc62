"""Images in one pass are halved where memory runs out, in every stage, with the same results."""

import sys

import attack_cases
import pandas as pd
import pytest
import torch
from torch import nn

from spectroscope.attack_checks import sanity
from spectroscope.attacks import runner
from spectroscope.attribution import compare
from spectroscope.attribution.band_loss import band_losses
from spectroscope.attribution.by_shell import occluded_by_shell
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.models import inference
from spectroscope.pipeline import memory, passes
from spectroscope.pipeline.checkpoint import Store
from spectroscope.pipeline.io import Images
from spectroscope.pipeline.memory import BatchSize, within_memory
from spectroscope.pipeline.params import validate
from spectroscope.probing.masks import MaskSettings, masks_by_shell
from spectroscope.probing.tables import ProbingSettings, probe
from spectroscope.statistics.estimates import StatisticsSettings
from spectroscope.validation import checks
from spectroscope.validation.checks import ValidationSettings
from tests.validation_cases import CHECKS, SETTINGS

MOST = 4  # images that memory holds in one pass

ERRORS = (
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    RuntimeError("not enough memory: you tried to allocate 9 bytes"),
    RuntimeError("std::bad_alloc"),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"),
    RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
)
OTHERS = (
    RuntimeError("shapes differ"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    ValueError("CUDA error: out of memory"),
)


@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_the_batch_is_halved_until_memory_holds_it_and_stays(error):
    batch, tried = BatchSize(64), []

    def run(size):
        tried.append(size)
        if size > 10:
            raise error
        return size

    assert (within_memory(run, batch), within_memory(run, batch)) == (8, 8)
    assert tried == [64, 32, 16, 8, 8]


@pytest.mark.parametrize(("error", "size"), [(ERRORS[0], 1), *((error, 64) for error in OTHERS)])
def test_one_image_that_is_too_large_and_other_faults_are_raised(error, size):
    batch = BatchSize(size)

    def run(_):
        raise error

    with pytest.raises(type(error)):
        within_memory(run, batch)
    assert batch.images == size


class Limited(nn.Module):
    """The network, with too little memory for more than `most` images in one pass."""

    def __init__(self, network, most=MOST):
        super().__init__()
        self.network, self.most = network, most

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError("no room")
        return self.network(x)


@pytest.fixture(autouse=True)
def _nothing_found_yet(monkeypatch):
    monkeypatch.setattr(memory, "_fitting", BatchSize(sys.maxsize))


def test_logits_are_those_of_batches_that_fit_and_it_is_said_once(model, few, monkeypatch, capsys):
    halved = [inference.logits(Limited(model), few[0]) for _ in range(2)]
    assert capsys.readouterr().err == "memory ran out with 64 images in one pass: from here on 4\n"
    monkeypatch.setattr(passes, "forward_batch_size", lambda *_: MOST)
    assert all(torch.equal(logits, inference.logits(model, few[0])) for logits in halved)


def test_one_image_that_is_too_large_stays_an_error(model, few):
    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        inference.logits(Limited(model, 0), few[0])


@pytest.mark.parametrize("case", ["pgd-linf", "cw", "simba-dct"])
def test_an_attack_is_that_of_batches_that_fit(case, model, few):
    settings = attack_cases.settings_of(case)
    halved, fitting = (
        runner.run(settings, network, *few, seed=0, batch_size=size)
        for network, size in ((Limited(model), 16), (model, MOST))
    )
    for name, value in vars(fitting).items():
        assert torch.equal(getattr(halved, name), value) or value.isnan().any(), name


def test_flags_of_masked_gradients_are_those_of_batches_that_fit(model, few):
    pd.testing.assert_frame_equal(sanity.checks(Limited(model), *few), sanity.checks(model, *few))


def test_attributions_and_their_checks_are_those_of_chunks_that_fit(model, few, tmp_path, monkeypatch):
    settings = AttributionSettings(**{**SETTINGS, "n_images": 16})
    validation = validate(CHECKS, ValidationSettings, "validation")
    test = Images(*few, ("a", "b", "c", "d"))

    def tables(network, folder):
        store, task = Store(tmp_path / folder, {}), compare.task_of(network, test, settings, 0)
        reliance = [
            occluded_by_shell(network, test, settings, 0, store),
            band_losses(network, test, settings, 0, store),
        ]
        attributions = compare.attribute_all(task, settings.methods, store)
        found = compare.tables(task, attributions, settings) | checks.tables(task, attributions, settings, validation)
        return [*reliance, *found.values()]

    halved = tables(Limited(model), "halved")
    monkeypatch.setattr(passes, "forward_batch_size", lambda *_: MOST)
    for one, other in zip(halved, tables(model, "fitting"), strict=True):
        pd.testing.assert_frame_equal(one, other)


@pytest.fixture
def conv():
    """A network with layers that have maps, for the images `few`."""
    torch.manual_seed(0)
    channels = attack_cases.SHAPE[0]
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 4))


def test_the_probes_are_those_of_passes_that_fit(conv, few, monkeypatch):
    images, labels = few[0], conv(few[0]).argmax(1)
    outcomes = pd.DataFrame({"seed": 0, "image": range(16), "after": (labels + 1) % 4, "success": True})
    attack = torch.zeros_like(images), outcomes
    settings = {
        "margins": {"n_images": 10, "partition": "octave", "bands": None, "steps": 2, "candidates": 2},
        "masks": {"n_images": 10, "attack": "pgd", "penalty": 1, "steps": 2, "learning_rate": 0.1, "batch_size": 4},
        "counterparts": {"n_images": 10, "steps": 2, "learning_rate": 0.5, "seed": 0},
        "layers": {"n_images": 3, "partition": "linf", "bands": 2, "seed": 0},
    }

    def tables(network):
        pair, statistics = [(0, network)], StatisticsSettings(confidence=0.95, groups=5)
        chosen = validate(settings, ProbingSettings, "probing")
        return probe(pair, pair, images, labels, torch.arange(16).numpy(), attack, chosen, statistics)

    halved = tables(Limited(conv))
    assert len(halved["layers"])
    monkeypatch.setattr(passes, "forward_batch_size", lambda *_: MOST)
    for name, table in tables(Limited(conv, 1000)).items():
        pd.testing.assert_frame_equal(halved[name].drop(columns="cells"), table.drop(columns="cells"))


def test_a_number_of_images_that_is_a_setting_is_named_where_memory_does_not_hold_it(model, few):
    settings = {"n_images": 16, "attack": "pgd", "penalty": 1, "steps": 2, "learning_rate": 0.1, "batch_size": 8}
    attack = torch.zeros_like(few[0]), pd.DataFrame({"image": [], "after": [], "success": []}).astype(int)
    named = r"probing\.masks\.batch_size: expected a number of images that memory holds, got 8: no room"
    with pytest.raises(ValueError, match=named):
        masks_by_shell(Limited(model), *few, attack, 0, validate(settings, MaskSettings, "masks"))
    with pytest.raises(RuntimeError, match="shapes differ"), memory.at_once("a", 1):
        raise OTHERS[0]


def test_probes_of_one_image_are_as_few_at_once_as_fit(model, few):
    """HopSkipJump asks about many points around an image, more than fit even where one image is attacked at a time."""
    settings = attack_cases.settings_of("hop-skip-jump-l2")
    halved, whole = (
        runner.run(settings, network, *few, seed=0, batch_size=16) for network in (Limited(model, 2), model)
    )
    assert torch.equal(halved.queries, whole.queries) and torch.equal(halved.success, whole.success)
    torch.testing.assert_close(halved.perturbation, whole.perturbation, rtol=0, atol=1e-3)

"""Occluded Frequency by shell, image by image: its baseline and the table."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spectroscope.attribution.baselines import baseline
from spectroscope.attribution.by_shell import SCORES, occluded_by_shell, table
from spectroscope.attribution.occlusion import occluded_frequency
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.attribution.summaries import centroid
from spectroscope.pipeline import checkpoint, machine, passes
from spectroscope.pipeline.checkpoint import Store
from spectroscope.pipeline.io import Images
from spectroscope.pipeline.params import read, validate
from tests.validation_cases import SETTINGS


@pytest.mark.parametrize("kind", ["zero", "mean", "noise"])
def test_every_batch_has_the_baseline_of_its_images(kind, images, labels, index, network, tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "forward_batch_size", lambda *_: 4)  # nine images: three batches
    settings = AttributionSettings(**{**SETTINGS, "n_images": 9, "baseline": kind})
    test = Images(images, labels, ("a", "b", "c", "d"))
    rows = occluded_by_shell(network, test, settings, 7, Store(tmp_path, {}))
    replacement = baseline(kind, images, index, "dct", machine.generator(0))
    for score in ("margin", "probability", "logit"):
        expected = occluded_frequency(network, images, labels, index, baseline=replacement, score=score)
        own = rows[rows["score"] == score]
        np.testing.assert_allclose(own.filter(like="shell_"), expected, rtol=1e-9, atol=1e-12)
        assert own["right"].tolist() == (network(images).argmax(1) == labels).tolist()


def test_few_bands_remove_several_shells_at_once(images, labels, index, network, tmp_path):
    settings = AttributionSettings(**{**SETTINGS, "n_images": 9, "bands": 3})
    seen: list[int] = []
    test = Images(images, labels, ("a", "b", "c", "d"))
    rows = occluded_by_shell(lambda x: seen.append(len(x)) or network(x), test, settings, 0, Store(tmp_path, {}))
    last, half = int(index.max()), int(index.max()) // 2  # DC, then two bands of equally many shells
    columns = ["shell_0", f"shell_1-{half}", f"shell_{half + 1}-{last}"]
    assert [column for column in rows if column.startswith("shell_")] == columns and sum(seen) == 9 * (2 + 3)
    bands = (index > 0).long() + (index > half).long()
    for score in SCORES:
        expected = occluded_frequency(network, images, labels, bands, score=score)
        np.testing.assert_allclose(rows[rows["score"] == score][columns], expected, rtol=1e-9, atol=1e-12)


def test_all_scores_come_from_the_same_forward_passes(images, labels, index, network, tmp_path):
    seen = []
    settings = AttributionSettings(**{**SETTINGS, "n_images": 9})
    test = Images(images, labels, ("a", "b", "c", "d"))
    occluded_by_shell(lambda x: seen.append(len(x)) or network(x), test, settings, 0, Store(tmp_path, {}))
    assert sum(seen) == 9 * (2 + int(index.max()) + 1)  # each shell, the whole image, and its prediction


def test_only_paper_mode_depends_on_a_constant_in_all_logits_of_an_image(images, labels, network, tmp_path):
    def shifted(x):  # the constant is another one for each image, with or without a shell
        return network(x) + 100 * x.square().mean((1, 2, 3))[:, None]

    settings = AttributionSettings(**{**SETTINGS, "n_images": 9})
    test = Images(images, labels, ("a", "b", "c", "d"))
    one, other = (
        occluded_by_shell(model, test, settings, 0, Store(tmp_path / str(place), {}))
        .set_index(["score", "image"])
        .filter(like="shell_")
        for place, model in enumerate((network, shifted))
    )
    change = (one - other).abs().groupby("score").max().max(axis=1)
    assert change["margin"] < 1e-9 and change["probability"] < 1e-9 and change["logit"] > 1
    curves = [table.groupby("score").mean().T for table in (one, other)]
    centroids = {score: [centroid(curve[score].to_numpy(), np.arange(10)) for curve in curves] for score in SCORES}
    for score in ("margin", "probability"):
        assert centroids[score][0] == pytest.approx(centroids[score][1], abs=1e-9)
    assert abs(np.diff(centroids["logit"])) > 0.1


def test_the_table_has_a_row_for_each_image():
    attribution = torch.arange(18.0).view(3, 3, 2)
    rows = table(
        attribution, ["shell_0", "shell_1-2"], torch.tensor([2, 0, 1]), torch.tensor([True, False, True]), seed=7
    )
    assert list(rows) == ["seed", "image", "label", "right", "score", "shell_0", "shell_1-2"]
    assert rows["score"].tolist() == [score for score in SCORES for _ in range(3)]
    for place, score in enumerate(SCORES):
        own = rows[rows["score"] == score]
        assert own["seed"].tolist() == [7, 7, 7]
        assert own["image"].tolist() == [0, 1, 2]
        assert own["label"].tolist() == [2, 0, 1]
        assert own["right"].tolist() == [True, False, True]
        np.testing.assert_array_equal(own[["shell_0", "shell_1-2"]], attribution[:, place])


def test_random_baselines_are_drawn_from_the_seed_of_the_settings_and_not_from_that_of_the_network(tmp_path):
    values = read(Path(__file__).parents[2] / "studies" / "smoke.yaml")["attribution"]
    test = Images(torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(5) % 2, ("a", "b"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 2))

    def drops(kind, seed, network_seed=0):
        settings = validate(values | {"baseline": kind, "seed": seed}, AttributionSettings, "attribution")
        with checkpoint.open_store(f"{kind}{seed}{network_seed}", folder=str(tmp_path)) as store:
            return occluded_by_shell(network, test, settings, network_seed, store).filter(like="shell_").to_numpy()

    for kind in ("noise", "other"):
        np.testing.assert_array_equal(drops(kind, 1), drops(kind, 1, network_seed=2))
        assert (drops(kind, 0) != drops(kind, 1)).any()
    np.testing.assert_array_equal(drops("zero", 0), drops("zero", 1))

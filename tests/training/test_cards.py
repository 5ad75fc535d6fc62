"""Model cards hold what was measured on the epoch whose weights were kept, in a form that the hub reads."""

import pandas as pd
import torch
from huggingface_hub import ModelCard

from spectroscope.pipeline import io
from spectroscope.training import cards


def test_a_card_has_the_held_out_accuracies_of_the_kept_epoch_of_every_seed():
    rows = [(0, 1, 0.5, 0.1, False), (0, 2, 0.9, 0.4, True), (3, 1, 0.8, 0.3, True), (3, 2, 0.7, 0.2, False)]
    epochs = pd.DataFrame(rows, columns=["seed", "epoch", "clean", "robust", "kept"])
    images = io.Images(torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 0, 1]), ("a", "b"))
    card = cards.describe("standard", {"model": "resnet8"}, images, {"source": "noise"}, epochs)
    assert card["held_out"] == {"seed0": {"clean": 0.9, "robust": 0.4}, "seed3": {"clean": 0.8, "robust": 0.3}}
    assert card["data"] == {"source": "noise", "images": 4} and card["input"]["shape"] == [3, 8, 8]


CARD = {
    "run": "standard",
    "settings": {"regime": {"name": "adversarial", "norm": "linf"}, "model": "resnet8", "training": {"epochs": 2}},
    "input": {"pixels": "float32 in [0, 1], NCHW", "shape": [3, 8, 8]},
    "classes": ["a", "b"],
    "data": {"source": "photos", "digest": "abc", "images": 4},
}
NAN = float("nan")


def figures():
    ends = {"low": 0.25, "high": 0.875, "n_images": 300, "n_seeds": 3}
    accuracy = [
        {"attack": "clean", "mean": 2 / 3, **ends},
        {"attack": "pgd 2/255", "mean": 0.0, **ends, "low": NAN, "high": NAN},
        {"attack": "none right", "mean": NAN, **ends},
    ]
    return pd.DataFrame([*accuracy, {"statistic": "centroid", "score": "margin", "mean": 5.5, **ends}])


def test_the_hub_reads_the_accuracies_of_a_card_with_their_intervals():
    page = cards.markdown(CARD, figures())
    data = ModelCard(page).data  # parses the front matter, and raises for results that make no model-index
    assert (data.model_name, data.pipeline_tag, data.library_name) == (
        "standard",
        "image-classification",
        "spectroscope",
    )
    assert data.tags == ["spectroscope", "adversarial"]
    clean, pgd = data.eval_results
    assert (clean.metric_type, clean.metric_name, clean.metric_value) == ("accuracy", "accuracy, clean", 0.6667)
    assert clean.metric_args == {"low": 0.25, "high": 0.875, "images": 300, "networks": 3}
    assert (pgd.metric_name, pgd.metric_value) == ("accuracy, pgd 2/255", 0)
    assert pgd.metric_args == {"images": 300, "networks": 3}
    assert (clean.dataset_name, clean.dataset_split, clean.dataset_args) == ("photos", "test", {"digest": "abc"})
    assert "nan" not in page and page.split("---\n")[2].startswith("\n# standard\n")
    assert "| accuracy, clean | 0.6667 | 0.25 | 0.875 | 300 | 3 |" in page


def test_a_card_has_the_same_bytes_again_also_after_the_hub_saved_it(tmp_path):
    page = cards.markdown(CARD, figures())
    assert cards.markdown(CARD, figures()) == page
    ModelCard(page).save(tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == page


def test_a_card_without_accuracies_has_no_results():
    assert ModelCard(cards.markdown(CARD, figures()[3:])).data.eval_results is None

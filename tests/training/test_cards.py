"""Model cards hold what was measured on the epoch whose weights were kept."""

import pandas as pd
import torch

from spectroscope.pipeline import io
from spectroscope.training import cards


def test_a_card_has_the_held_out_accuracies_of_the_kept_epoch_of_every_seed():
    rows = [(0, 1, 0.5, 0.1, False), (0, 2, 0.9, 0.4, True), (3, 1, 0.8, 0.3, True), (3, 2, 0.7, 0.2, False)]
    epochs = pd.DataFrame(rows, columns=["seed", "epoch", "clean", "robust", "kept"])
    images = io.Images(torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 0, 1]), ("a", "b"))
    card = cards.describe("standard", {"model": "resnet8"}, images, {"source": "noise"}, epochs)
    assert card["held_out"] == {"seed0": {"clean": 0.9, "robust": 0.4}, "seed3": {"clean": 0.8, "robust": 0.3}}
    assert card["data"] == {"source": "noise", "images": 4} and card["input"]["shape"] == [3, 8, 8]

"""DeepFool within a band."""

import pytest
import torch
from attack_cases import SHAPE, settings_of

from spectroscope.attacks import runner
from spectroscope.frequency.spectrum import dct2, idct2


def test_deepfool_in_a_band_stays_there_and_needs_more(model, data, outcomes):
    free, low = outcomes["deepfool"], outcomes["deepfool-low"]
    spectrum = dct2(low.perturbation[low.success].double())
    outside = spectrum.clone()
    outside[..., :6, :6] = 0
    assert outside.pow(2).sum((1, 2, 3)).max() <= 2e-4 * spectrum.pow(2).sum((1, 2, 3)).max()
    both = free.success & low.success
    assert both.sum() > 10 and low.l2[both].median() > 1.1 * free.l2[both].median()


def test_deepfool_in_a_band_finds_the_nearest_point_of_the_plane_in_that_band():
    """A plane whose normal has half of its energy in the band: sqrt(2) times as far."""
    x = torch.full((1, *SHAPE), 0.5)
    low, high = (
        idct2(torch.zeros(12, 12).index_put((torch.tensor(k), torch.tensor(k)), torch.tensor(1.0))) for k in (2, 9)
    )

    def plane(x):
        score = ((x - 0.5) * (low + high)).flatten(1).sum(1) - 0.5
        return torch.stack([-score, score], 1)

    for bands, far in ((None, 0.5 / 6**0.5), ({"low": {"keep": "lowest", "ratio": 0.5}}, 0.5 / 3**0.5)):
        outcome = runner.run(settings_of("deepfool", bands=bands), plane, x, torch.tensor([0]), seed=0)
        assert outcome.l2.item() == pytest.approx(1.02 * far, rel=1e-2)

"""The gap between the maps of two halves: small for stable estimators, by hand, and missing for a single image."""

import numpy as np
import pytest
import torch
from perturbations import SETTINGS, STATISTICS, generator, natural, spectra_of, white

from spectroscope.frequency.spectrum import dct2
from spectroscope.perturbation.null import noise_null
from spectroscope.perturbation.rct import ESTIMATORS, rct_map
from spectroscope.perturbation.split_half import split_half_gaps

NAMES = [*ESTIMATORS, "score"]


def gaps(x: torch.Tensor, change: torch.Tensor, seeds: int = 1, settings=SETTINGS) -> list[dict[str, float]]:
    """The gap of each estimator: mean over splits, then each split."""
    values = split_half_gaps(spectra_of(x, change, seeds, settings), noise_null(x, change, settings))
    return [dict(zip(NAMES, row, strict=True)) for row in values.tolist()]


def test_the_papers_estimator_disagrees_with_itself_and_the_others_do_not():
    x = natural(2000)
    mean, *splits = gaps(x, 0.03 * torch.randn(x.shape, generator=generator(1), dtype=x.dtype))
    assert mean["mean_of_ratios"] > 0.15
    assert max(mean[name] for name in ("median_of_ratios", "ratio_of_means", "score")) < 0.05
    assert len(splits) == SETTINGS.splits
    assert mean["score"] == pytest.approx(np.mean([split["score"] for split in splits]))


def test_the_gap_of_halves_is_that_of_their_maps_and_all_seeds_of_an_image_are_in_one():
    x = natural(8).repeat(3, 1, 1, 1)
    change, once = white(x), SETTINGS.model_copy(update={"splits": 1})
    null, gap = noise_null(x, change, once), gaps(x, change, 3, once)[1]
    first = np.isin(np.tile(np.arange(8), 3), np.random.default_rng([STATISTICS.seed, 2]).permutation(8)[:4])
    for estimator in ESTIMATORS:
        a, b = (rct_map(x[half], (x + change)[half], estimator) for half in (first, ~first))
        assert gap[estimator] == pytest.approx(((a - b).abs() / ((a + b) / 2)).median().item())
    attack = dct2(change).square().sum(1)
    a, b = ((attack[half].sum(0) / null.power[half].sum(0)).log() / 2 for half in (first, ~first))
    assert gap["score"] == pytest.approx((a - b).abs().median().item())


def test_one_image_has_no_halves():
    x = natural(1)
    assert all(np.isnan(list(row.values())).all() for row in gaps(x, white(x)))

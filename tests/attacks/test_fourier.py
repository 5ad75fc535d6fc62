"""A Fourier direction: one coefficient and its mirror, of the norm asked for."""

import numpy as np
import pytest
import torch
from attack_cases import settings_of
from band_cases import SHAPE, images, model

from spectroscope.attacks import runner


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 1), (3, 5), (6, 7), (11, 2)])
@pytest.mark.parametrize("size", [{"norm": "l2", "eps": 0.5}, {"norm": "linf", "eps_255": 16}], ids=["l2", "linf"])
def test_a_fourier_direction_is_one_coefficient_and_its_mirror_for_all_images(row, column, size):
    x = torch.full((3, *SHAPE), 0.5)
    settings = settings_of({"method": "fourier", "row": row, "column": column, **size})
    outcome = runner.run(
        settings,
        lambda x: -(x - 0.5).abs().sum((1, 2, 3))[:, None] * torch.tensor([1.0, 0]),
        x,
        torch.zeros(3, dtype=int),
        0,
    )
    assert outcome.success.all() and not outcome.queries.any()
    power = np.abs(np.fft.fft2(outcome.perturbation.double().numpy())) ** 2
    pair = power[..., row, column] + (power[..., -row, -column] if (2 * row % 12, 2 * column % 14) != (0, 0) else 0)
    np.testing.assert_allclose(pair / power.sum((-2, -1)), 1, rtol=1e-5)
    sizes = outcome.l2 if settings.norm == "l2" else outcome.linf
    np.testing.assert_allclose(sizes, settings.ball.eps, rtol=1e-5)
    assert torch.equal(outcome.perturbation[0], outcome.perturbation[2])
    assert torch.equal(outcome.perturbation[:, 0], outcome.perturbation[:, 1])


@pytest.mark.parametrize(
    ("change", "message"), [({"row": 12}, "row: .*below 12"), ({"column": 14}, "column: .*below 14")]
)
def test_a_frequency_that_the_image_does_not_have_is_refused(change, message):
    entry = {"method": "fourier", "norm": "l2", "eps": 1.0, "row": 0, "column": 1, **change}
    with pytest.raises(ValueError, match=message):
        runner.run(settings_of(entry), model, *images(), seed=0)

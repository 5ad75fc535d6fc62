"""Spectra of a set, a subset and a control are those of the images; draws resample seeds and images, crossed."""

import numpy as np
import torch
from perturbations import EXACT, SETTINGS, STATISTICS, crossed_units, spectra_of, uniform, white

from spectroscope.frequency.spectrum import dct2
from spectroscope.perturbation.spectra import bootstrap_weights, compute_spectra, subset, with_perturbations


def test_the_spectra_of_a_set_are_those_of_its_images():
    x = uniform(4, 3, 6, 8)
    change = white(x)
    spectra = spectra_of(x, change, seeds=2)
    torch.testing.assert_close(spectra.change, dct2(change).flatten(0, 1), **EXACT)
    torch.testing.assert_close(spectra.reference, dct2(x).flatten(0, 1), **EXACT)
    torch.testing.assert_close(spectra.power, dct2(change).square().sum(1), **EXACT)
    rows = spectra.by_row(spectra.weights)
    assert rows.shape == (41, 12) and rows.dtype == x.dtype
    assert (rows.unflatten(1, (4, 3)) == spectra.weights[:, :, None]).all()


def test_a_subset_and_other_perturbations_have_the_spectra_they_would_have_alone():
    x = uniform(6, 3, 4, 5)
    change, noise, rows = white(x), white(x, seed=2), torch.tensor([1, 2, 5])
    spectra = spectra_of(x, change, seeds=2)
    alone = compute_spectra(x[rows], change[rows], crossed_units(2, 3)[rows], SETTINGS, STATISTICS)
    pairs = [(subset(spectra, rows), alone)]
    pairs += [(with_perturbations(spectra, x, noise), spectra_of(x, noise, seeds=2))]
    for derived, computed in pairs:
        for name in ("images", "perturbations", "change", "reference", "power", "weights"):
            torch.testing.assert_close(getattr(derived, name), getattr(computed, name), **EXACT)
        np.testing.assert_array_equal(derived.units, computed.units)


def test_a_draw_takes_a_row_as_often_as_its_seed_times_its_image():
    whole, *draws = bootstrap_weights(crossed_units(3, 5), 30, STATISTICS)
    assert (whole == 1).all() and len(draws) == 30
    for weights in draws:
        assert np.linalg.matrix_rank(weights.reshape(3, 5)) == 1
        assert weights.sum() == 15


def test_draws_of_ragged_units_are_never_empty():
    units = np.array([[0, 0], [1, 1], [2, 2]])  # most draws of seeds and images miss each other
    weights = bootstrap_weights(units, 50, STATISTICS)
    assert weights.shape == (51, 3)
    assert (weights.sum(1) > 0).all()
    torch.testing.assert_close(bootstrap_weights(units, 50, STATISTICS), weights)

"""Spectra of a set, a subset and a control are those of the images; the jackknife leaves out one group at a time."""

import numpy as np
import torch
from perturbations import EXACT, SETTINGS, spectra_of, uniform, white

from spectroscope.frequency.spectrum import dct2
from spectroscope.perturbation.spectra import compute_spectra, leave_out, subset, with_perturbations


def test_the_spectra_of_a_set_are_those_of_its_images():
    x = uniform(4, 3, 6, 8)
    change = white(x)
    (spectra,) = spectra_of(x, change)
    torch.testing.assert_close(spectra.change, dct2(change).flatten(0, 1), **EXACT)
    torch.testing.assert_close(spectra.reference, dct2(x).flatten(0, 1), **EXACT)
    torch.testing.assert_close(spectra.power, dct2(change).square().sum(1), **EXACT)
    rows = spectra.by_row(spectra.weights)
    assert rows.shape == (5, 12) and rows.dtype == x.dtype
    assert (rows.unflatten(1, (4, 3)) == spectra.weights[:, :, None]).all()


def test_a_subset_and_other_perturbations_have_the_spectra_they_would_have_alone():
    x = uniform(6, 3, 4, 5)
    change, noise, chosen = white(x), white(x, seed=2), torch.tensor([1, 2, 5])
    (spectra,), (of_noise,) = spectra_of(x, change), spectra_of(x, noise)
    weights = leave_out(np.array([0, 1, 1]), 2)
    alone = compute_spectra(x[chosen], change[chosen], chosen.numpy(), weights, SETTINGS)
    pairs = [(subset(spectra, chosen, weights), alone), (with_perturbations(spectra, x, noise), of_noise)]
    for derived, computed in pairs:
        for name in ("images", "perturbations", "change", "reference", "power", "weights"):
            torch.testing.assert_close(getattr(derived, name), getattr(computed, name), **EXACT)
        np.testing.assert_array_equal(derived.rows, computed.rows)


def test_a_replicate_holds_all_perturbations_or_all_but_those_of_a_group():
    weights = leave_out(np.array([0, 2, 0]), 3)
    assert weights.tolist() == [[1, 1, 1], [0, 1, 0], [1, 1, 1], [1, 0, 1]]

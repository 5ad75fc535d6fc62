"""A shift turns phases, contrast scales amplitudes, and the two add up to the power of the change."""

import numpy as np
import torch
from perturbations import STATISTICS, spectra_of, uniform

from spectroscope.perturbation.phase import phase_and_amplitude
from spectroscope.perturbation.tables import phase_table


def test_phase_and_amplitude_add_up_to_the_power_of_the_change():
    x, change = uniform(4, 3, 7, 10), 0.3 * uniform(4, 3, 7, 10, seed=1)
    phase, amplitude = phase_and_amplitude(x, change)
    power = torch.fft.fft2(change, norm="ortho").abs().square().sum(1)
    torch.testing.assert_close(phase + amplitude, power, rtol=1e-9, atol=1e-12)
    before, after = np.fft.fft2(x[0, 0], norm="ortho"), np.fft.fft2((x + change)[0, 0], norm="ortho")
    by_hand = 2 * abs(before) * abs(after) * (1 - np.cos(np.angle(after) - np.angle(before)))
    np.testing.assert_allclose(phase_and_amplitude(x[:1, :1], change[:1, :1])[0][0], by_hand, atol=1e-12)


def test_a_shift_turns_phases_and_more_contrast_scales_amplitudes():
    x = uniform(6, 1, 8, 8)
    shift, contrast = x.roll(1, 3) - x, 0.2 * x
    shifted, louder = (phase_table(spectra_of(x, change, seeds=2), STATISTICS) for change in (shift, contrast))
    np.testing.assert_allclose(shifted["mean"][1:], 1, atol=1e-9)
    np.testing.assert_allclose(louder["mean"], 0, atol=1e-9)
    assert louder["shell"].tolist() == [0, 1, 2, 3, 4]

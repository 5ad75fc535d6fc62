"""Every coefficient in exactly one band of every partition; sizes and energies as equal as whole rings allow."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spectroscope.frequency.partitions import (
    by_band,
    cycles_per_side,
    equal_width,
    mean_by_band,
    mean_power,
    partition,
    positions,
)
from spectroscope.frequency.spectrum import analyse, shells, synthesise

SHAPES = ["linf", "radial", "diagonal"]
KINDS = [*SHAPES, "octave", "equal_count", "equal_energy"]
SIZES = [(32, 32), (31, 31), (28, 28), (27, 27), (32, 48), (1, 8)]


def images(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(3, 2, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def partition_of_images(height: int, width: int, kind: str, bands: int, basis: str) -> torch.Tensor:
    power = mean_power(images(height, width), basis)
    return partition(height, width, kind, None if kind == "octave" else bands, basis, power)


@pytest.mark.parametrize("basis", ["dct", "dft"])
@pytest.mark.parametrize("kind", KINDS)
def test_bands_partition_the_spectrum_with_dc_alone(basis, kind):
    for height, width in SIZES:
        index = partition_of_images(height, width, kind, 4, basis)
        assert index.shape == (height, width) and index.dtype == torch.int64
        assert index.unique().tolist() == list(range(int(index.max()) + 1)), (height, width)
        assert (index == 0).sum() == 1 and index[0, 0] == 0, (height, width)
        assert kind == "octave" or int(index.max()) == 3, (height, width)
        x = images(height, width)
        bands = [synthesise(analyse(x, basis) * (index == band), basis) for band in range(int(index.max()) + 1)]
        torch.testing.assert_close(sum(bands), x, rtol=0, atol=1e-10)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data(), height=st.integers(2, 17), width=st.integers(2, 17))
def test_any_partition_is_mirror_symmetric_and_keeps_all_energy(data, height, width):
    basis, kind = data.draw(st.sampled_from(["dct", "dft"])), data.draw(st.sampled_from(KINDS))
    x = images(height, width, data.draw(st.integers(0, 99)))
    atoms = shells(height, width, kind if kind in SHAPES else "linf", basis)
    bands = data.draw(st.integers(2, int(atoms.max()) + 1))
    index = partition(height, width, kind, None if kind == "octave" else bands, basis, mean_power(x, basis))
    assert index.unique().tolist() == list(range(int(index.max()) + 1))
    if basis == "dft":
        assert index.equal(index.flip(0, 1).roll((1, 1), (0, 1)))
    energy = by_band(analyse(x, basis).abs().square(), index)
    torch.testing.assert_close(energy.sum(-1), x.square().sum((-2, -1)), rtol=1e-12, atol=1e-12)  # Parseval


@pytest.mark.parametrize("kind", ["linf", "radial", "equal_count", "equal_energy"])
@pytest.mark.parametrize("basis", ["dct", "dft"])
def test_bands_rise_with_frequency(kind, basis):
    frequency = positions(partition_of_images(24, 30, kind, 6, basis), basis)
    assert (frequency.diff() > 0).all() and frequency[0] == 0 and frequency[-1] <= 1


def test_bands_join_about_equally_many_shells():
    index = partition(32, 32, "linf", 8, "dct")
    band_of_shell = index.diagonal()
    torch.testing.assert_close(index, band_of_shell[shells(32, 32)])
    assert band_of_shell[0] == 0 and set(torch.bincount(band_of_shell)[1:].tolist()) <= {4, 5}


def test_without_a_number_of_bands_every_shell_is_a_band():
    for shape in SHAPES:
        torch.testing.assert_close(partition(9, 12, shape, None, "dft"), shells(9, 12, shape, "dft"))


def test_octaves_double():
    index = partition(32, 32, "octave", None, "dct")
    assert index.diagonal().tolist() == [0, 1, *[2] * 2, *[3] * 4, *[4] * 8, *[5] * 16]
    assert partition(31, 31, "octave", None, "dft").max() == 4  # shells 0..15


def test_equal_count_bands_hold_about_equally_many_coefficients():
    sizes = torch.bincount(partition(32, 32, "equal_count", 8, "dct").flatten())[1:]
    assert sizes.sum() == 1023
    assert (sizes - 1023 / 7).abs().max() < 6  # rings are never cut


def test_equal_energy_bands_hold_about_equal_energy():
    u = torch.arange(48).double()
    power = 1 / (1 + torch.hypot(u[:, None], u)) ** 2
    index = partition(48, 48, "equal_energy", 6, "dct", power)
    energy = by_band(power, index)[1:]
    assert (energy / energy.sum() - 1 / 5).abs().max() < 0.03
    assert torch.bincount(index.flatten())[1:].diff().gt(0).all()  # higher bands need more coefficients


def test_one_ring_with_more_than_its_share_leaves_no_band_empty():
    power = torch.zeros(8, 8)
    power[0, 1] = power[1, 0] = 1.0
    assert partition(8, 8, "equal_energy", 5, "dct", power).unique().tolist() == [0, 1, 2, 3, 4]


def test_energy_of_a_pure_cosine_is_in_its_band():
    i = torch.arange(16).double()
    x = torch.cos(math.pi * (2 * i + 1) * 9 / 32).expand(1, 1, 16, 16)
    index = partition(16, 16, "linf", 4, "dct")
    energy = by_band(analyse(x, "dct").square(), index)[0, 0]
    expected = torch.zeros(4, dtype=torch.float64)
    expected[index[0, 9]] = x.square().sum()
    torch.testing.assert_close(energy, expected, rtol=0, atol=1e-10)


def test_sums_and_means_are_taken_over_the_coefficients_of_each_band():
    maps, index = images(6, 9), partition(6, 9, "radial", 4, "dft")
    for band in range(4):
        torch.testing.assert_close(by_band(maps, index)[..., band], maps[..., index == band].sum(-1))
        torch.testing.assert_close(mean_by_band(maps, index)[..., band], maps[..., index == band].mean(-1))
    assert mean_by_band(maps.float(), index).dtype == torch.float32


def test_positions_are_mean_frequencies_in_half_sides():
    index = partition(4, 4, "linf", None, "dct")
    assert positions(index, "dct").tolist() == [0, 0.25, 0.5, 0.75]  # 0, .5, 1 and 1.5 cycles of at most 2
    assert positions(partition(4, 4, "linf", None, "dft"), "dft").tolist() == [0, 0.5, 1]
    assert positions(torch.zeros(2, 2, dtype=torch.int64), "dct").tolist() == [0.375]


def test_a_band_and_its_twin_in_the_other_transform_have_the_same_frequency():
    shell = shells(32, 32)
    for first, last in [(14, 18), (8, 16), (16, 32), (4, 8)]:  # in half cycles per side
        dct = ((shell >= first) & (shell < last)).long()
        cycles = shells(32, 32, "linf", "dft")
        dft = ((cycles >= first / 2) & (cycles < last / 2)).long()
        twins = [positions(index, basis)[1].item() for index, basis in ((dct, "dct"), (dft, "dft"))]
        assert abs(twins[0] - twins[1]) < 1 / 32, (first, last)  # less than one shell of the DCT
        assert [at >= 0.5 for at in twins] == 2 * [first == 16], (first, last)
    octaves = [positions(partition(32, 32, "octave", None, basis), basis) for basis in ("dct", "dft")]
    torch.testing.assert_close(octaves[0][2:], octaves[1][1:5], rtol=0, atol=1 / 32)  # from 1, 2, 4 and 8 cycles on


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8, 8, "linf", 1, "dct"), r"expected at least 2 bands \(DC and the rest\), got 1"),
        ((8, 8, "linf", 9, "dct"), r"expected at most 8 bands \(8 x 8, linf, dct\), got 9"),
        ((2, 2, "equal_count", 9, "dct"), r"expected at most 3 bands \(2 x 2, equal_count, dct\), got 9"),
        ((8, 8, "octave", 7, "dct"), r"expected null or 4 bands for octave \(8 x 8, dct\), got 7"),
        ((8, 8, "equal_count", None, "dct"), "expected a number of bands for equal_count, got none"),
        ((8, 8, "equal_energy", 3, "dct"), r"expected a power spectrum \(8, 8\) for equal_energy, got None"),
        ((8, 8, "rings", 3, "dct"), "expected shape linf, radial or diagonal, got 'rings'"),
    ],
)
def test_a_partition_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        partition(*arguments)


def test_bands_of_equal_width_are_cut_at_equal_frequencies():
    index = equal_width(32, 32, 17, "dct")  # 16 bands of one cycle above DC: two shells each, the last 30.5 .. 31
    assert index[0].tolist() == [0, *(-(-shell // 2) for shell in range(1, 32))]
    assert index.equal(index.mT)
    edges = (torch.arange(17) - 0.25) / 16
    torch.testing.assert_close(positions(index, "dct")[2:16], edges.double()[2:16], rtol=0, atol=0.01)


@pytest.mark.parametrize(("height", "width"), [(32, 48), (48, 32), (21, 35)])
@pytest.mark.parametrize("basis", ["dct", "dft"])
def test_a_wave_has_one_frequency_in_both_directions_of_a_rectangle(height, width, basis):
    index, longer = equal_width(height, width, 6, basis), max(height, width)
    rows, columns = index[:, 0], index[0]
    unit = 2 if basis == "dct" else 1
    for place in range(1, min(height, width) // 2):
        along_height = place / unit / height  # cycles per pixel
        twin = round(along_height * width * unit)
        if math.isclose(twin / unit / width, along_height):
            assert rows[place] == columns[twin]
    highest = (positions(index, basis) * 5).tolist()
    assert all(band - 1 < at <= band for band, at in enumerate(highest[1:], 1))
    assert highest == sorted(highest) and cycles_per_side(height, width, basis, "linf").max() <= longer / 2


def test_too_many_bands_of_equal_width_are_refused():
    with pytest.raises(ValueError, match=r"expected so few bands that each .*\(8 x 8, linf, dct\), got 9"):
        equal_width(8, 8, 9, "dct")
    with pytest.raises(ValueError, match=r"expected at least 2 bands \(DC and the rest\), got 1"):
        equal_width(8, 8, 1, "dct")

"""Filters that neither lose nor share a coefficient, keep images real, and know what they are asked for."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spectroscope.frequency.passbands import Band, FullBand, PassBand, band_filter, band_mask
from spectroscope.frequency.spectrum import analyse, shells
from spectroscope.pipeline import params

SIZES = [(32, 32), (31, 31), (28, 28), (27, 27), (32, 48), (1, 8)]
BASES = ["dct", "dft"]
SHAPES = ["linf", "radial", "diagonal"]
FULL = FullBand(keep="all", clip=False)
EXACT = {"rtol": 0, "atol": 1e-10}

every_basis = pytest.mark.parametrize("basis", BASES)
every_shape = pytest.mark.parametrize("shape", SHAPES)


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def band(low=0, high=1, keep="inside", basis="dct", shape="linf", unit="shells", clip=False) -> PassBand:
    return PassBand(keep=keep, basis=basis, shape=shape, unit=unit, low=low, high=high, clip=clip)


def partition(height: int, width: int, basis: str, shape: str) -> list[PassBand]:
    """About four bands that follow one another from DC to the corner."""
    count = int(shells(height, width, shape, basis).max()) + 1
    edges = sorted({round(quarter * count / 4) for quarter in range(5)})
    return [band(low, high, basis=basis, shape=shape) for low, high in pairwise(edges)]


def close(actual: torch.Tensor, expected: torch.Tensor, case: tuple) -> None:
    torch.testing.assert_close(actual, expected, **EXACT, msg=lambda text: f"{case}: {text}")


@pytest.mark.parametrize(("u", "v", "shell"), [(0, 0, 0), (0, 5, 5), (7, 0, 7), (3, 4, 4), (11, 15, 15), (11, 11, 11)])
def test_a_pure_dct_cosine_lands_in_its_own_shell(u, v, shell):
    height, width = 12, 16
    i, j = torch.arange(height).double()[:, None], torch.arange(width).double()
    x = torch.cos(math.pi * (2 * i + 1) * u / (2 * height)) * torch.cos(math.pi * (2 * j + 1) * v / (2 * width))
    torch.testing.assert_close(band_filter(x, band(shell, shell + 1)), x, **EXACT)
    torch.testing.assert_close(band_filter(x, band(shell, shell + 1, keep="outside")), torch.zeros_like(x), **EXACT)


@pytest.mark.parametrize(("u", "v", "shell"), [(0, 0, 0), (0, 5, 5), (4, 0, 4), (8, 3, 4), (5, 2, 5), (6, 8, 8)])
def test_a_pure_dft_wave_lands_in_its_own_shell(u, v, shell):
    height, width = 12, 16  # u = 8 of 12 is the mirror of 4
    i, j = torch.arange(height).double()[:, None], torch.arange(width).double()
    x = torch.cos(2 * math.pi * (u * i / height + v * j / width))
    torch.testing.assert_close(band_filter(x, band(shell, shell + 1, basis="dft")), x, **EXACT)


def test_a_low_pass_acts_on_both_axes():
    i = torch.arange(16).double()
    wave = torch.cos(math.pi * (2 * i + 1) * 9 / 32)
    across, down = wave.expand(2, 3, 16, 16), wave[:, None].expand(2, 3, 16, 16)
    for x in (across, down):
        torch.testing.assert_close(band_filter(x, band(0, 9)), torch.zeros_like(x), **EXACT)


@every_basis
@every_shape
def test_bands_partition_the_image(basis, shape):
    for size in SIZES:
        x, bands = images(2, 3, *size), partition(*size, basis, shape)
        close(sum(band_filter(x, one) for one in bands), x, size)
        masks = torch.stack([band_mask(one, *size) for one in bands])
        close(masks.sum(0), torch.ones(size, dtype=torch.int64), size)


@every_basis
@every_shape
def test_a_filtered_spectrum_is_the_spectrum_times_the_mask(basis, shape):
    for size in SIZES:
        x = images(2, *size)
        for one in partition(*size, basis, shape):
            expected = analyse(x, basis) * band_mask(one, *size)
            close(analyse(band_filter(x, one), basis), expected, (size, one))


@every_shape
def test_a_dft_mask_gives_real_images(shape):
    for size in SIZES:
        x = images(2, *size)
        for one in partition(*size, "dft", shape):
            by_hand = torch.fft.ifft2(torch.fft.fft2(x) * band_mask(one, *size))
            close(by_hand.imag, torch.zeros_like(x), (size, one))
            close(band_filter(x, one), by_hand.real, (size, one))


@every_basis
@every_shape
def test_the_filter_of_a_flipped_image_is_the_flipped_filter(basis, shape):
    for size in SIZES:
        x = images(2, *size)
        for one in partition(*size, basis, shape):
            for axis in (-1, -2):
                close(band_filter(x.flip(axis), one), band_filter(x, one).flip(axis), (size, one, axis))


@every_basis
@every_shape
def test_a_constant_image_passes_a_low_pass_only(basis, shape):
    for size in SIZES:
        x, last = torch.full((3, *size), 0.3, dtype=torch.float64), int(shells(*size, shape, basis).max())
        close(band_filter(x, band(0, 1, basis=basis, shape=shape)), x, size)
        close(band_filter(x, band(1, last + 1, basis=basis, shape=shape)), torch.zeros_like(x), size)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data(), height=st.integers(2, 14), width=st.integers(2, 14))
def test_any_edges_partition_the_image(data, height, width):
    basis, shape = data.draw(st.sampled_from(BASES)), data.draw(st.sampled_from(SHAPES))
    count = int(shells(height, width, shape, basis).max()) + 1
    inner = data.draw(st.sets(st.integers(1, max(1, count - 1)), max_size=4))
    edges = sorted({0, count, *(edge for edge in inner if edge < count)})
    bands = [band(low, high, basis=basis, shape=shape) for low, high in pairwise(edges)]
    x = images(2, height, width)
    torch.testing.assert_close(sum(band_filter(x, one) for one in bands), x, **EXACT)


@every_shape
@every_basis
def test_fractions_that_touch_leave_no_gap(basis, shape):
    edges = [0, 0.17, 0.5, 0.61, 1]
    for height, width in SIZES[:5]:
        bands = [band(low, high, unit="fraction", basis=basis, shape=shape) for low, high in pairwise(edges)]
        masks = torch.stack([band_mask(one, height, width) for one in bands])
        assert (masks.sum(0) == 1).all(), (height, width)


def test_a_fraction_is_one_of_the_number_of_shells():
    half = band_mask(band(0, 0.5, unit="fraction"), 32, 32)
    torch.testing.assert_close(half, band_mask(band(0, 16), 32, 32))
    assert half.sum() == 16 * 16


@every_basis
def test_a_filter_is_linear_and_idempotent(basis):
    one = band(2, 5, basis=basis)
    x, y = images(3, 11, 14, seed=1), images(3, 11, 14, seed=2)
    mixed = band_filter(2 * x - 3 * y, one)
    torch.testing.assert_close(mixed, 2 * band_filter(x, one) - 3 * band_filter(y, one), **EXACT)
    torch.testing.assert_close(band_filter(mixed, one), mixed, **EXACT)


@every_basis
def test_a_filter_gives_the_same_values_for_every_layout_and_leaves_its_input(basis):
    one = band(1, 4, basis=basis)
    x = images(4, 3, 10, 13)
    before = x.clone()
    filtered = band_filter(x, one)
    torch.testing.assert_close(band_filter(x[2], one), filtered[2], **EXACT)
    torch.testing.assert_close(band_filter(x[2, 1], one), filtered[2, 1], **EXACT)
    torch.testing.assert_close(band_filter(x[2:3], one), filtered[2:3], **EXACT)
    torch.testing.assert_close(torch.cat([band_filter(chunk, one) for chunk in x.split(3)]), filtered, **EXACT)
    torch.testing.assert_close(x, before, rtol=0, atol=0)


@every_basis
@every_shape
def test_a_band_stop_is_the_image_minus_the_pass(basis, shape):
    x, options = images(2, 13, 16), {"basis": basis, "shape": shape}
    stop = band_filter(x, band(2, 6, keep="outside", **options))
    torch.testing.assert_close(stop, x - band_filter(x, band(2, 6, **options)), **EXACT)


def test_the_full_band_is_a_copy_of_the_image():
    x = images(2, 8, 8)
    for one in (FULL, band(0, 8)):
        filtered = band_filter(x, one)
        torch.testing.assert_close(filtered, x, rtol=0, atol=0)
        filtered.zero_()
        assert x.abs().sum() > 0


def test_values_outside_the_unit_range_stay_unless_the_band_clips():
    x = images(2, 16, 16)
    free, clipped = band_filter(x, band(4, 16)), band_filter(x, band(4, 16, clip=True))
    assert (free < 0).any()
    torch.testing.assert_close(clipped, free.clamp(0, 1), rtol=0, atol=0)


@pytest.mark.parametrize("one", [FULL, band(), band(0, 3, basis="dft")], ids=["full", "dct", "dft"])
def test_half_precision_is_upcast_and_other_types_are_refused(one):
    for dtype in (torch.float16, torch.bfloat16):
        x = images(2, 8, 8).to(dtype)
        torch.testing.assert_close(band_filter(x, one), band_filter(x.float(), one), rtol=0, atol=0)
    for dtype in (torch.uint8, torch.int64, torch.bool, torch.complex64):
        with pytest.raises(ValueError, match=f"expected floating-point images in \\[0, 1\\], got {dtype}"):
            band_filter(torch.ones(3, 8, 8, dtype=dtype), one)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ({"low": 4, "high": 4}, "expected low < high, got low 4 and high 4"),
        ({"low": 5, "high": 2}, "expected low < high, got low 5 and high 2"),
        ({"low": -1, "high": 2}, "greater than or equal to 0"),
        ({"low": 0, "high": 1.5, "unit": "fraction"}, r"expected a fraction high <= 1, got 1\.5"),
        ({"low": 0, "high": 2.5}, r"expected whole shells, got low 0 and high 2\.5"),
        ({"low": 0, "high": math.inf}, "expected (whole shells|a finite number)"),
        ({"low": math.nan, "high": 3}, "(greater than or equal to 0|expected a finite number)"),
        ({"shape": "square"}, "'linf', 'radial' or 'diagonal'"),
        ({"basis": "dwt"}, "'dct' or 'dft'"),
        ({"widht": 3}, "unknown setting"),
    ],
)
def test_a_band_with_wrong_edges_is_refused(edges, message):
    values = {"keep": "inside", "basis": "dct", "shape": "linf", "unit": "shells", "low": 0, "high": 3, "clip": False}
    params.validate(values, Band, "bands.low")
    with pytest.raises(ValueError, match=message) as error:
        params.validate(values | edges, Band, "bands.low")
    assert "bands.low" in str(error.value)


def test_edges_beyond_the_corner_are_refused():
    with pytest.raises(ValueError, match=r"expected high <= 32 shells \(32 x 32, linf\), got 33"):
        band_mask(band(0, 33), 32, 32)
    with pytest.raises(ValueError, match=r"expected high <= 17 shells \(32 x 32, linf\), got 18"):
        band_mask(band(0, 18, basis="dft"), 32, 32)


def test_a_band_that_keeps_nothing_is_refused():
    with pytest.raises(ValueError, match="expected a band that keeps a coefficient, got none"):
        band_mask(band(0, 8, keep="outside"), 8, 8)


@pytest.mark.parametrize("keep", ["inside", "outside"])
def test_a_fraction_too_narrow_for_one_shell_is_refused(keep):
    with pytest.raises(ValueError, match="expected a band"):
        band_mask(band(0.1, 0.11, unit="fraction", keep=keep), 8, 8)

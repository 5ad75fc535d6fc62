"""Transforms against arithmetic anyone can check; bands that neither lose nor share a coefficient."""

import math
from itertools import pairwise

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spectroscope.frequency.passbands import Band, FullBand, PassBand, band_filter, band_mask, check_bands
from spectroscope.frequency.spectrum import dct2, dft2, idct2, idft2, shells
from spectroscope.pipeline import params

SIZES = [(32, 32), (31, 31), (28, 28), (27, 27), (32, 48), (1, 8)]
BASES = ["dct", "dft"]
SHAPES = ["linf", "radial", "diagonal"]
TRANSFORMS = {"dct": (dct2, lambda s, width: idct2(s)), "dft": (dft2, idft2)}
EXACT = {"rtol": 0, "atol": 1e-10}

every_size = pytest.mark.parametrize(("height", "width"), SIZES, ids=[f"{h}x{w}" for h, w in SIZES])
every_basis = pytest.mark.parametrize("basis", BASES)
every_shape = pytest.mark.parametrize("shape", SHAPES)


def images(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def band(low=0, high=1, keep="inside", basis="dct", shape="linf", unit="shells", clip=False) -> PassBand:
    return PassBand(keep=keep, basis=basis, shape=shape, unit=unit, low=low, high=high, clip=clip)


def partition(height: int, width: int, basis: str, shape: str, parts: int = 4) -> list[PassBand]:
    """Bands that follow one another from DC to the corner."""
    count = int(shells(height, width, shape, basis).max()) + 1
    edges = sorted({round(part * count / parts) for part in range(parts + 1)})
    return [band(low, high, basis=basis, shape=shape) for low, high in pairwise(edges)]


def full_spectrum(x: torch.Tensor, basis: str) -> torch.Tensor:
    """All H x W coefficients, in the layout of `shells`."""
    return dct2(x) if basis == "dct" else torch.fft.fft2(x, norm="ortho")


# Transforms


def test_dct2_equals_the_textbook_double_sum():
    height, width = 5, 6
    x = images(height, width)
    for u in range(height):
        for v in range(width):
            total = 0.0
            for i in range(height):
                for j in range(width):
                    waves = (
                        math.cos(math.pi * (2 * i + 1) * u / (2 * height)),
                        math.cos(math.pi * (2 * j + 1) * v / (2 * width)),
                    )
                    total += x[i, j].item() * waves[0] * waves[1]
            scale = math.sqrt((1 if u == 0 else 2) / height) * math.sqrt((1 if v == 0 else 2) / width)
            assert dct2(x)[u, v].item() == pytest.approx(scale * total, abs=1e-10)


def test_dft2_equals_the_textbook_double_sum():
    height, width = 5, 6
    x = images(height, width).numpy()
    i, j = np.indices((height, width))
    for u in range(height):
        for v in range(width // 2 + 1):
            total = (x * np.exp(-2j * np.pi * (u * i / height + v * j / width))).sum() / math.sqrt(height * width)
            np.testing.assert_allclose(dft2(torch.from_numpy(x))[u, v].item(), total, rtol=0, atol=1e-10)


@every_size
def test_dct2_equals_scipy(height, width):
    x = images(2, 3, height, width)
    expected = scipy.fft.dctn(x.numpy(), type=2, norm="ortho", axes=(-2, -1))
    np.testing.assert_allclose(dct2(x).numpy(), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(idct2(x).numpy(), scipy.fft.idctn(x.numpy(), norm="ortho", axes=(-2, -1)), atol=1e-10)


@every_size
@every_basis
def test_the_inverse_of_a_spectrum_is_the_image(height, width, basis):
    forward, inverse = TRANSFORMS[basis]
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        x = images(2, 3, height, width, dtype=dtype)
        torch.testing.assert_close(inverse(forward(x), width), x, rtol=0, atol=tolerance)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(height=st.integers(1, 20), width=st.integers(1, 20), seed=st.integers(0, 10**6))
def test_energy_is_the_same_on_both_sides(height, width, seed):
    x = images(2, height, width, seed=seed) - 0.5
    energy = x.square().sum()
    torch.testing.assert_close(dct2(x).square().sum(), energy, rtol=1e-12, atol=1e-12)
    half = dft2(x).abs().square()
    torch.testing.assert_close(half.sum() + _mirrored(half, width), energy, rtol=1e-12, atol=1e-12)


def _mirrored(half: torch.Tensor, width: int) -> torch.Tensor:
    """Energy of the columns that the half spectrum leaves out: all but 0 and, for an even width, W / 2."""
    return half[..., 1 : (width + 1) // 2].sum()


def test_a_constant_image_has_a_dc_coefficient_only():
    x = torch.full((32, 48), 0.7, dtype=torch.float64)
    for spectrum in (dct2(x), dft2(x).abs()):
        expected = torch.zeros_like(spectrum)
        expected[0, 0] = 0.7 * math.sqrt(32 * 48)
        torch.testing.assert_close(spectrum, expected, **EXACT)


@pytest.mark.parametrize("transform", [dct2, dft2])
def test_one_image_has_the_spectrum_it_has_in_a_batch(transform):
    x = images(4, 3, 9, 12)
    torch.testing.assert_close(transform(x[1]), transform(x)[1], **EXACT)
    torch.testing.assert_close(transform(x[1, 2]), transform(x)[1, 2], **EXACT)
    torch.testing.assert_close(transform(x[:1]), transform(x)[:1], **EXACT)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("transform", [dct2, dft2, lambda x: band_filter(x, band(0, 3, basis="dft"))])
def test_half_precision_is_computed_in_float32(transform, dtype):
    x = images(2, 8, 8).to(dtype)
    torch.testing.assert_close(transform(x), transform(x.float()), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.complex64])
def test_what_is_not_a_real_float_is_refused(dtype):
    x = torch.ones(3, 8, 8, dtype=dtype)
    full = FullBand(keep="all", clip=False)
    for function in (dct2, idct2, dft2, lambda x: band_filter(x, band()), lambda x: band_filter(x, full)):
        with pytest.raises(ValueError, match=f"expected floating-point images in \\[0, 1\\], got {dtype}"):
            function(x)


def test_a_vector_is_refused():
    with pytest.raises(ValueError, match=r"expected images \(\.\.\., H, W\), got shape \(8,\)"):
        dct2(torch.ones(8))


# Shells


def test_shells_of_a_small_grid_are_those_drawn_by_hand():
    expected = {
        ("linf", "dct"): [[0, 1, 2, 3], [1, 1, 2, 3], [2, 2, 2, 3]],
        ("diagonal", "dct"): [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]],
        ("radial", "dct"): [[0, 1, 2, 3], [1, 1, 2, 3], [2, 2, 3, 4]],
        ("linf", "dft"): [[0, 1, 2, 1], [1, 1, 2, 1], [1, 1, 2, 1]],
        ("diagonal", "dft"): [[0, 1, 2, 1], [1, 2, 3, 2], [1, 2, 3, 2]],
        ("radial", "dft"): [[0, 1, 2, 1], [1, 1, 2, 1], [1, 1, 2, 1]],
    }
    for (shape, basis), rows in expected.items():
        assert shells(3, 4, shape, basis).tolist() == rows, (shape, basis)


def test_a_linf_shell_of_the_dct_has_2k_minus_1_coefficients():
    sizes = torch.bincount(shells(32, 32).flatten())
    assert sizes.tolist() == [2 * k - 1 for k in range(1, 33)]


@every_size
@every_shape
def test_a_dft_coefficient_and_its_mirror_are_in_one_shell(height, width, shape):
    index = shells(height, width, shape, "dft")
    mirror = index.flip(0, 1).roll((1, 1), (0, 1))
    torch.testing.assert_close(index, mirror)


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 8), "expected height and width >= 1, got 0 x 8"),
        ((8, 8, "square"), "expected shape linf, radial or diagonal, got 'square'"),
        ((8, 8, "linf", "dwt"), "expected basis dct or dft, got 'dwt'"),
    ],
)
def test_shells_names_what_it_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        shells(*arguments)


# Bands


@every_size
@every_basis
@every_shape
def test_bands_partition_the_image(height, width, basis, shape):
    x, bands = images(2, 3, height, width), partition(height, width, basis, shape)
    torch.testing.assert_close(sum(band_filter(x, each) for each in bands), x, **EXACT)
    masks = torch.stack([band_mask(each, height, width) for each in bands])
    torch.testing.assert_close(masks.sum(0), torch.ones(height, width, dtype=torch.int64))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data(), height=st.integers(2, 14), width=st.integers(2, 14))
def test_any_edges_partition_the_image(data, height, width):
    basis, shape = data.draw(st.sampled_from(BASES)), data.draw(st.sampled_from(SHAPES))
    count = int(shells(height, width, shape, basis).max()) + 1
    inner = data.draw(st.sets(st.integers(1, max(1, count - 1)), max_size=4))
    edges = sorted({0, count, *(edge for edge in inner if edge < count)})
    bands = [band(low, high, basis=basis, shape=shape) for low, high in pairwise(edges)]
    x = images(2, height, width)
    torch.testing.assert_close(sum(band_filter(x, each) for each in bands), x, **EXACT)


@every_shape
@every_basis
def test_fractions_that_touch_leave_no_gap(basis, shape):
    edges = [0, 0.17, 0.5, 0.61, 1]
    for height, width in SIZES[:5]:
        bands = [band(low, high, unit="fraction", basis=basis, shape=shape) for low, high in pairwise(edges)]
        masks = torch.stack([band_mask(each, height, width) for each in bands])
        assert (masks.sum(0) == 1).all(), (height, width)


def test_a_fraction_is_one_of_the_number_of_shells():
    half = band_mask(band(0, 0.5, unit="fraction"), 32, 32)
    torch.testing.assert_close(half, band_mask(band(0, 16), 32, 32))
    assert half.sum() == 16 * 16


@every_size
@every_basis
@every_shape
def test_a_filtered_spectrum_is_the_spectrum_times_the_mask(height, width, basis, shape):
    x = images(2, height, width)
    for each in partition(height, width, basis, shape):
        expected = full_spectrum(x, basis) * band_mask(each, height, width)
        torch.testing.assert_close(full_spectrum(band_filter(x, each), basis), expected, **EXACT)


@every_size
@every_shape
def test_a_dft_mask_gives_real_images(height, width, shape):
    x = images(2, height, width)
    for each in partition(height, width, "dft", shape):
        by_hand = torch.fft.ifft2(torch.fft.fft2(x) * band_mask(each, height, width))
        torch.testing.assert_close(by_hand.imag, torch.zeros_like(x), **EXACT)
        torch.testing.assert_close(band_filter(x, each), by_hand.real, **EXACT)


@every_size
@every_basis
@every_shape
def test_the_filter_of_a_flipped_image_is_the_flipped_filter(height, width, basis, shape):
    x = images(2, height, width)
    for each in partition(height, width, basis, shape):
        for axis in (-1, -2):
            torch.testing.assert_close(band_filter(x.flip(axis), each), band_filter(x, each).flip(axis), **EXACT)


@every_size
@every_basis
@every_shape
def test_a_constant_image_passes_a_low_pass_only(height, width, basis, shape):
    x, count = torch.full((3, height, width), 0.3, dtype=torch.float64), int(shells(height, width, shape, basis).max())
    options = {"basis": basis, "shape": shape}
    torch.testing.assert_close(band_filter(x, band(0, 1, **options)), x, **EXACT)
    torch.testing.assert_close(band_filter(x, band(1, count + 1, **options)), torch.zeros_like(x), **EXACT)


@every_basis
def test_a_filter_is_linear_and_idempotent(basis):
    each = band(2, 5, basis=basis)
    x, y = images(3, 11, 14, seed=1), images(3, 11, 14, seed=2)
    mixed = band_filter(2 * x - 3 * y, each)
    torch.testing.assert_close(mixed, 2 * band_filter(x, each) - 3 * band_filter(y, each), **EXACT)
    torch.testing.assert_close(band_filter(mixed, each), mixed, **EXACT)


@every_basis
def test_a_filter_gives_the_same_values_for_every_layout_and_leaves_its_input(basis):
    each = band(1, 4, basis=basis)
    x = images(4, 3, 10, 13)
    before = x.clone()
    filtered = band_filter(x, each)
    torch.testing.assert_close(band_filter(x[2], each), filtered[2], **EXACT)
    torch.testing.assert_close(band_filter(x[2, 1], each), filtered[2, 1], **EXACT)
    torch.testing.assert_close(band_filter(x[2:3], each), filtered[2:3], **EXACT)
    torch.testing.assert_close(torch.cat([band_filter(part, each) for part in x.split(3)]), filtered, **EXACT)
    torch.testing.assert_close(x, before, rtol=0, atol=0)


@every_basis
@every_shape
def test_a_band_stop_is_the_image_minus_the_pass(basis, shape):
    x, options = images(2, 13, 16), {"basis": basis, "shape": shape}
    stop = band_filter(x, band(2, 6, keep="outside", **options))
    torch.testing.assert_close(stop, x - band_filter(x, band(2, 6, **options)), **EXACT)


def test_the_full_band_is_a_copy_of_the_image():
    x = images(2, 8, 8)
    for each in (FullBand(keep="all", clip=False), band(0, 8)):
        filtered = band_filter(x, each)
        torch.testing.assert_close(filtered, x, rtol=0, atol=0)
        filtered.zero_()
        assert x.abs().sum() > 0


def test_values_outside_the_unit_range_stay_unless_the_band_clips():
    x = images(2, 16, 16)
    free, clipped = band_filter(x, band(4, 16)), band_filter(x, band(4, 16, clip=True))
    assert (free < 0).any()
    torch.testing.assert_close(clipped, free.clamp(0, 1), rtol=0, atol=0)


# Settings


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


def test_two_bands_that_give_the_same_images_are_refused():
    bands = {"low": band(0, 4), "half": band(0, 0.5, unit="fraction")}
    with pytest.raises(
        ValueError, match=r"bands\.half: expected a band of its own, got the same coefficients as bands\.low"
    ):
        check_bands(bands, 8, 8)
    with pytest.raises(ValueError, match=r"bands\.whole: .* as bands\.full"):
        check_bands({"full": FullBand(keep="all", clip=False), "whole": band(0, 5, basis="dft")}, 8, 8)
    check_bands({"low": band(0, 4), "clipped": band(0, 4, clip=True), "waves": band(0, 4, basis="dft")}, 8, 8)


@pytest.mark.parametrize("keep", ["inside", "outside"])
def test_dc_alone_is_the_same_band_in_both_transforms(keep):
    bands = {"mean": band(0, 1, keep=keep), "dc": band(0, 1, keep=keep, basis="dft")}
    x = images(2, 8, 8)
    torch.testing.assert_close(band_filter(x, bands["mean"]), band_filter(x, bands["dc"]), **EXACT)
    with pytest.raises(ValueError, match=r"bands\.dc: .* as bands\.mean"):
        check_bands(bands, 8, 8)


def test_a_band_beyond_the_images_is_named():
    with pytest.raises(ValueError, match=r"bands\.high: expected high <= 8 shells"):
        check_bands({"low": band(0, 4), "high": band(4, 9)}, 8, 8)

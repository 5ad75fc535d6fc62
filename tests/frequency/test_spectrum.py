"""Transforms against arithmetic anyone can check; shells that hold every coefficient once."""

import doctest
import math

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spectroscope.frequency import partitions, passbands, spectrum
from spectroscope.frequency.spectrum import analyse, dct2, dft2, idct2, idft2, shells, synthesise

SIZES = [(32, 32), (31, 31), (28, 28), (27, 27), (32, 48), (1, 8)]
EXACT = {"rtol": 0, "atol": 1e-10}

every_size = pytest.mark.parametrize(("height", "width"), SIZES, ids=[f"{h}x{w}" for h, w in SIZES])


def images(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("module", [spectrum, passbands, partitions])
def test_the_examples_of_the_docstrings_run(module):
    failed, attempted = doctest.testmod(module)
    assert attempted and not failed


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
def test_the_inverse_of_a_spectrum_is_the_image(height, width):
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        x = images(2, 3, height, width, dtype=dtype)
        inverses = {
            "dct": idct2(dct2(x)),
            "dft": idft2(dft2(x), width),
            "all of dct": synthesise(analyse(x, "dct"), "dct"),
            "all of dft": synthesise(analyse(x, "dft"), "dft"),
        }
        for name, inverse in inverses.items():
            torch.testing.assert_close(inverse, x, rtol=0, atol=tolerance, msg=lambda text, n=name: f"{n}: {text}")


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
    for coefficients in (dct2(x), dft2(x).abs()):
        expected = torch.zeros_like(coefficients)
        expected[0, 0] = 0.7 * math.sqrt(32 * 48)
        torch.testing.assert_close(coefficients, expected, **EXACT)


@pytest.mark.parametrize("transform", [dct2, dft2])
def test_one_image_has_the_spectrum_it_has_in_a_batch(transform):
    x = images(4, 3, 9, 12)
    torch.testing.assert_close(transform(x[1]), transform(x)[1], **EXACT)
    torch.testing.assert_close(transform(x[1, 2]), transform(x)[1, 2], **EXACT)
    torch.testing.assert_close(transform(x[:1]), transform(x)[:1], **EXACT)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("transform", [dct2, dft2])
def test_half_precision_is_computed_in_float32(transform, dtype):
    x = images(2, 8, 8).to(dtype)
    torch.testing.assert_close(transform(x), transform(x.float()), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.complex64])
def test_images_that_are_not_real_floats_are_refused(dtype):
    for transform in (dct2, idct2, dft2, lambda x: analyse(x, "dft")):
        with pytest.raises(ValueError, match=f"expected floating-point images in \\[0, 1\\], got {dtype}"):
            transform(torch.ones(3, 8, 8, dtype=dtype))


def test_a_vector_is_refused():
    with pytest.raises(ValueError, match=r"expected images \(\.\.\., H, W\), got shape \(8,\)"):
        dct2(torch.ones(8))


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
def test_a_dft_coefficient_and_its_mirror_are_in_one_shell(height, width):
    for shape in ("linf", "radial", "diagonal"):
        index = shells(height, width, shape, "dft")
        mirror = index.flip(0, 1).roll((1, 1), (0, 1))
        assert index.equal(mirror), shape


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

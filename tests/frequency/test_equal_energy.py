"""The control of removing a band: other coefficients that hold as much energy."""

import pytest
import torch

from spectroscope.frequency.equal_energy import equal_energy, random_orders
from spectroscope.frequency.spectrum import analyse, mirrored, shells, synthesise

N, SIZE = 6, 12


def natural(seed: int = 0) -> torch.Tensor:
    """Images whose spectrum falls like 1 / f."""
    noise = torch.randn(N, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    shell = shells(SIZE, SIZE)
    return synthesise(noise / (1 + shell), "dct")


def removed(basis: str, first: int, last: int):
    shell = shells(SIZE, SIZE, "linf", basis)
    band, spectrum = (shell >= first) & (shell < last), analyse(natural(), basis)
    return spectrum, band, equal_energy(spectrum, band, random_orders(range(N), SIZE**2, 0), basis)


@pytest.mark.parametrize("basis", ["dct", "dft"])
@pytest.mark.parametrize(("first", "last"), [(1, 3), (3, 6), (4, 12)])
def test_as_much_energy_is_left_as_without_the_band(basis, first, last):
    spectrum, band, gone = removed(basis, first, last)
    energy = spectrum.abs().square().sum(1)
    own, rest = ((energy * mask).sum((1, 2)) for mask in (band, ~band & (torch.arange(SIZE**2).view(SIZE, SIZE) > 0)))
    left = [synthesise(spectrum * ~mask[:, None], basis) for mask in (band.expand_as(gone), gone)]
    after_band, after_others = (images.square().sum((1, 2, 3)) for images in left)
    assert not (gone & band).any() and not gone[:, 0, 0].any()
    for image in range(N):
        if own[image] >= rest[image]:
            torch.testing.assert_close(after_others[image], energy[image, band].sum() + energy[image, 0, 0])
        else:  # what is missing is less than any coefficient (with its mirror) that is left
            missing = after_others[image] - after_band[image]
            others = energy[image] + (0 if basis == "dct" else mirrored(energy[image]))
            kept = others[~gone[image] & ~band & (torch.arange(SIZE**2).view(SIZE, SIZE) > 0)]
            assert -1e-12 < missing < kept.min() + 1e-12


def test_where_the_rest_holds_less_all_of_it_goes():
    _, band, gone = removed("dct", 1, 9)
    rest = ~band
    rest[0, 0] = False
    assert gone.equal(rest.expand_as(gone))


def test_coefficients_of_the_dft_go_with_their_mirrors():
    spectrum, _, gone = removed("dft", 3, 6)
    assert gone.any() and gone.equal(mirrored(gone))
    assert torch.fft.ifft2(spectrum * gone[:, None]).imag.abs().max() < 1e-12


def test_an_image_has_its_own_order_whatever_its_batch():
    orders = random_orders(range(8), 100, 3)
    assert orders[5:7].equal(random_orders(range(5, 7), 100, 3))
    assert not orders[0].equal(orders[1]) and not orders[0].equal(random_orders(range(1), 100, 4)[0])
    assert orders.sort(1).values.equal(torch.arange(100).expand(8, 100))

"""Learned masks find the band a network reads, where the network was made to read one."""

import pytest
import torch

from spectroscope.attribution.masks import image_masks, network_mask
from spectroscope.frequency.partitions import partition
from spectroscope.frequency.spectrum import dct2, idct2
from spectroscope.probing.masks import MaskSettings

INDEX = partition(8, 8, "octave", None, "dct")
SETTINGS = MaskSettings(n_images=16, attack="pgd", penalty=1.0, steps=60, learning_rate=0.05, batch_size=8)


def reader(band: int):
    """Three logits, from the energies of the band's coefficients weighted by class; the weights (3, H, W)."""
    weights = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(5)) * (band == INDEX) * 12
    return lambda x: torch.einsum("nhw,khw->nk", dct2(x).square().sum(1), weights)


def pixels(n: int, seed: int = 0) -> torch.Tensor:
    spectrum = torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    return 0.5 + 0.2 * idct2(spectrum)


def contrast(mask: torch.Tensor, band: int) -> tuple[float, float]:
    """Mean of a mask inside and outside the band."""
    return mask[..., band == INDEX].mean().item(), mask[..., band != INDEX].mean().item()


@pytest.mark.parametrize("band", [2, 3])
def test_the_mask_of_a_network_is_the_band_it_reads(band):
    model, x = reader(band), pixels(16)
    labels = model(x).argmax(1)
    mask = network_mask(model, x, labels, SETTINGS, SETTINGS.batch_size, torch.Generator().manual_seed(0))
    inside, outside = contrast(mask, band)
    assert mask.shape == (8, 8) and mask.min() >= 0 and mask.max() <= 1
    assert outside < 0.01 and inside > 0.1
    again = network_mask(model, x, labels, SETTINGS, SETTINGS.batch_size, torch.Generator().manual_seed(0))
    torch.testing.assert_close(again, mask, rtol=0, atol=0)


@pytest.mark.parametrize("band", [2, 3])
def test_the_masks_of_images_are_in_the_band_and_keep_their_class(band):
    model, x = reader(band), pixels(16)
    labels = model(x).argmax(1)
    masks = image_masks(model, x, labels, SETTINGS)
    inside, outside = contrast(masks, band)
    assert masks.shape == (16, 8, 8)
    assert outside < 0.01 and inside > 0.1
    assert (model(idct2(dct2(x) * masks[:, None])).argmax(1) == labels).float().mean() > 0.9


def test_adversarial_masks_hold_the_perturbation_and_not_the_image():
    planted, attacked = INDEX == 1, INDEX == 3
    model = lambda x: torch.stack(  # noqa: E731
        [20 * (dct2(x)[:, 0] * planted).sum((1, 2)), 20 * (dct2(x)[:, 0] * attacked).sum((1, 2))], 1
    )
    clean = idct2(0.2 * planted.float()).expand(4, 1, 8, 8)
    adversaries = clean + idct2(0.1 * attacked.float())
    assert model(clean).argmax(1).tolist() == [0] * 4 and model(adversaries).argmax(1).tolist() == [1] * 4
    essential = image_masks(model, clean, torch.zeros(4, dtype=torch.long), SETTINGS)
    adversarial = image_masks(model, adversaries, torch.ones(4, dtype=torch.long), SETTINGS)
    assert contrast(essential, 1)[0] > 10 * contrast(essential, 1)[1]
    assert contrast(adversarial, 3)[0] > 10 * contrast(adversarial, 3)[1]


def test_no_image_s_mask_depends_on_its_batch_mates():
    model, x = reader(2), pixels(4)
    labels = model(x).argmax(1)
    together = image_masks(model, x, labels, SETTINGS)
    torch.testing.assert_close(image_masks(model, x[1:2], labels[1:2], SETTINGS), together[1:2], rtol=0, atol=1e-3)


def test_a_stronger_penalty_leaves_less():
    model, x = reader(3), pixels(8)
    labels = model(x).argmax(1)
    sizes = [
        image_masks(model, x, labels, SETTINGS.model_copy(update={"penalty": penalty})).mean().item()
        for penalty in (0.1, 10.0)
    ]
    assert sizes[0] > 2 * sizes[1]

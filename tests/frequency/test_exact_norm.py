"""The norm after the clip against a search for the scale, and at the limits of room and rounding."""

import pytest
import torch

from spectroscope.frequency.exact_norm import clipped_to

SHAPE = (3, 7, 9)


def images_and_directions(n=6, seed=0, dtype=torch.float32):
    """Images with black and white regions, and directions: (n, C, H, W) twice."""
    generator = torch.Generator().manual_seed(seed)
    clean = (1.6 * torch.rand(n, *SHAPE, generator=generator, dtype=dtype) - 0.3).clamp(0, 1)
    return clean, torch.randn(n, *SHAPE, generator=generator, dtype=dtype)


def size_of(change, norm):
    flat = change.double().flatten(1)
    return flat.norm(dim=1) if norm == "l2" else flat.abs().amax(1)


def searched(clean, direction, norm, size):
    """One image, by halving the scale."""
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        change = (clean + middle * direction).clamp(0, 1) - clean
        if size_of(change[None], norm) < size:
            low = middle
        else:
            high = middle
    return (clean + high * direction).clamp(0, 1) - clean


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("size", [0.0, 0.01, 0.3, 0.9])
def test_the_norm_after_the_clip_is_exact(norm, size):
    clean, direction = images_and_directions()
    sizes = size * torch.linspace(0.5, 1, 6)
    change = clipped_to(clean, direction, norm, sizes)
    torch.testing.assert_close(size_of(change, norm), sizes.double(), rtol=1e-6, atol=1e-7)
    assert change.dtype == torch.float32 and (clean + change).min() >= 0 and (clean + change).max() <= 1


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_it_equals_a_search_for_the_scale_image_by_image(norm):
    clean, direction = images_and_directions(seed=1, dtype=torch.float64)
    direction[0, :, 2] = 0
    sizes = torch.linspace(0.1, 0.95, 6, dtype=torch.float64) * (3 if norm == "l2" else 1)
    change = clipped_to(clean, direction, norm, sizes)
    for row in range(6):
        expected = searched(clean[row], direction[row], norm, sizes[row])
        torch.testing.assert_close(change[row], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_without_room_it_goes_to_black_and_white(norm):
    clean, direction = images_and_directions()
    clean = clean * 0.5 + 0.25
    change = clipped_to(clean, direction, norm, torch.full((6,), 100.0))
    torch.testing.assert_close(clean + change, (direction > 0).float(), rtol=0, atol=1e-6)
    black = clipped_to(torch.zeros_like(clean), -direction.abs(), norm, torch.ones(6))
    assert not black.any()


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("grey", [0.25, 0.9, 254 / 255])
def test_rounding_never_carries_the_norm_beyond_the_size(norm, grey):
    """On a flat image all pixels of a sign pattern round alike, and their errors add up."""
    clean = torch.full((40, 3, 32, 32), grey)
    signs = torch.randint(0, 2, clean.shape, generator=torch.Generator().manual_seed(0)) * 2.0 - 1
    sizes = torch.linspace(0.4, 0.6, 40) * (1 if norm == "l2" else 0.006)
    reached = size_of(clipped_to(clean, signs, norm, sizes), norm)
    assert (reached <= sizes + 5.1e-7).all() and (reached >= sizes - 1e-5 * (1 if norm == "l2" else 0.02)).all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_no_direction_is_no_change(norm):
    clean, _ = images_and_directions()
    assert not clipped_to(clean, torch.zeros_like(clean), norm, torch.ones(6)).any()


def test_an_image_alone_has_the_same_change():
    clean, direction = images_and_directions()
    together = clipped_to(clean, direction, "l2", torch.full((6,), 2.0))
    alone = clipped_to(clean[2:3], direction[2:3], "l2", torch.full((1,), 2.0))
    torch.testing.assert_close(alone[0], together[2], rtol=0, atol=1e-7)


def test_other_shapes_are_refused():
    clean, direction = images_and_directions()
    with pytest.raises(ValueError, match=r"expected images and directions \(N, C, H, W\) of one shape, got"):
        clipped_to(clean, direction[:2], "l2", torch.ones(6))

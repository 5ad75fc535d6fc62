"""Margins inside a band, where they are known: planes in the space of coefficients."""

import pytest
import torch

from spectroscope.attribution.margins import MarginSearchSettings, margins, within
from spectroscope.frequency.partitions import partition
from spectroscope.frequency.spectrum import dct2

SETTINGS = MarginSearchSettings(steps=8, candidates=3)
INDEX = partition(8, 8, "octave", None, "dct")


def linear(classes: int, seed: int = 0):
    """A classifier linear in DCT coefficients, and its weights (K, C, H, W)."""
    weights = torch.randn(classes, 2, 8, 8, generator=torch.Generator().manual_seed(seed))
    return (lambda x: torch.einsum("nchw,kchw->nk", dct2(x), weights)), weights


def pixels(n: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(n, 2, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("classes", [2, 4])
def test_the_margin_of_a_linear_classifier_is_its_distance_to_the_nearest_plane_in_the_span(classes):
    model, weights = linear(classes)
    x = pixels(12)
    logits = model(x)
    labels = logits.argmax(1)
    found = margins(model, x, labels, INDEX, SETTINGS)
    for band in range(4):
        inside = weights * (band == INDEX)
        for n, label in enumerate(labels):
            gap = logits[n, label] - logits[n]
            slope = (inside - inside[label]).flatten(1).norm(dim=1)
            expected = torch.stack([gap[k] / slope[k] for k in range(classes) if k != label]).min()
            assert found[n, band].item() == pytest.approx(expected.item(), rel=0.01)


def test_the_planted_band_has_the_smallest_margin_and_the_others_none():
    planted = torch.zeros(8, 8)
    planted[2:4, 2:4] = torch.tensor([[1.0, -1.0], [0.5, 2.0]])  # octave 2
    model = lambda x: torch.stack([s := (dct2(x)[:, 0] * planted).sum((1, 2)), -s], 1).tanh()  # noqa: E731
    x = pixels(6)
    found = margins(model, x, model(x).argmax(1), INDEX, SETTINGS)
    assert found[:, 2].isfinite().all()
    assert found[:, [0, 1, 3]].isinf().all()


def test_the_perturbation_stays_in_the_span_and_ends_at_the_boundary(monkeypatch):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(128, 32), torch.nn.Tanh(), torch.nn.Linear(32, 3))
    x, seen = pixels(6), []
    labels = network(x).argmax(1)
    mask = INDEX == 3

    def recorded(images: torch.Tensor) -> torch.Tensor:
        seen.append(images.detach())
        return network(images)

    norms = within(recorded, x, labels, mask, SETTINGS.model_copy(update={"steps": 40}))
    assert norms.isfinite().all()
    outside = torch.cat([dct2(images - x)[:, :, ~mask] for images in seen if len(images) == len(x)])
    assert outside.abs().max() < 1e-5
    last = seen[-1] - x  # within a 256th of the boundary
    torch.testing.assert_close(last.flatten(1).norm(dim=1), norms, rtol=0.01, atol=1e-4)


def test_an_image_that_is_wrong_already_has_no_margin():
    model, _ = linear(3)
    x = pixels(5)
    labels = model(x).argmax(1)
    labels[2] = (labels[2] + 1) % 3
    found = margins(model, x, labels, INDEX, SETTINGS)
    assert found[2].isnan().all()
    assert found[[0, 1, 3, 4]].isfinite().all()
    alone = margins(model, x[3:4], labels[3:4], INDEX, SETTINGS)
    torch.testing.assert_close(found[3:4], alone, rtol=1e-4, atol=1e-6)

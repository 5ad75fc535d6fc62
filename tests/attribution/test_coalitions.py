"""Coalitions of bands against images put together by hand."""

import pytest
import torch
from attribution_cases import EXACT

from spectroscope.attribution.coalitions import all_but_one, coalition_logits, every_coalition, one_alone
from spectroscope.attribution.occlusion import occluded_frequency
from spectroscope.attribution.scores import coalition_scores
from spectroscope.frequency.partitions import partition
from spectroscope.frequency.spectrum import analyse, synthesise


@pytest.mark.parametrize("kind", ["zero", "other"])
@pytest.mark.parametrize("basis", ["dct", "dft"])
def test_a_coalition_is_the_image_in_its_bands_and_the_baseline_elsewhere(images, network, basis, kind):
    index = partition(8, 10, "linf", 4, basis)
    other = None if kind == "zero" else images.flip(0)
    rows = every_coalition(4)
    options = {"basis": basis, "baseline": other, "clip": True}
    logits = coalition_logits(network, images, index, rows, **options, chunk=4)
    assert logits.shape == (9, 16, 4)
    for m, row in enumerate(rows):
        kept = row[index]
        rest = torch.zeros_like(images) if other is None else other
        mixed = synthesise(torch.where(kept, analyse(images, basis), analyse(rest, basis)), basis).clamp(0, 1)
        torch.testing.assert_close(logits[:, m], network(mixed), **EXACT)


def test_all_but_one_band_gives_occluded_frequency(images, labels, network):
    index = partition(8, 10, "linf", 4, "dct")
    logits = coalition_logits(network, images, index, all_but_one(4), basis="dct", baseline=None, clip=False, chunk=64)
    scores = coalition_scores(logits, labels, "margin")
    expected = occluded_frequency(network, images, labels, index, score="margin")
    torch.testing.assert_close(scores[:, :1] - scores[:, 1:], expected, **EXACT)


def test_coalitions_by_hand():
    assert every_coalition(2).int().tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]
    assert all_but_one(2).int().tolist() == [[1, 1], [0, 1], [1, 0]]
    assert one_alone(2).int().tolist() == [[0, 0], [1, 0], [0, 1]]


def test_coalitions_of_another_number_of_bands_are_refused(images, index, network):
    with pytest.raises(ValueError, match=r"expected coalitions \(M, 10\), got \(4, 2\)"):
        coalition_logits(network, images, index, every_coalition(2), basis="dct", baseline=None, clip=False, chunk=8)

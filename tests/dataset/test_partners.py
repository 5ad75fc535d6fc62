"""Partners of another class."""

import torch

from spectroscope.dataset.partners import partner_of_another_class
from spectroscope.pipeline.machine import generator


def test_every_image_of_another_class_is_as_likely():
    labels, random = torch.tensor([0, 0, 1, 1, 2]), generator(0)
    partners = torch.stack([partner_of_another_class(labels, random) for _ in range(2000)])
    shares = torch.stack([partners[:, image].bincount(minlength=5) for image in range(5)]) / 2000
    expected = (labels[:, None] != labels).float()
    torch.testing.assert_close(shares, expected / expected.sum(1, keepdim=True), atol=0.05, rtol=0)


def test_a_partner_is_never_of_the_same_class():
    labels = torch.randint(0, 3, (300,), generator=generator(1))
    assert (labels[partner_of_another_class(labels, generator(2))] != labels).all()


def test_images_of_one_class_are_their_own_partners():
    assert partner_of_another_class(torch.zeros(7).long(), generator(0)).tolist() == list(range(7))

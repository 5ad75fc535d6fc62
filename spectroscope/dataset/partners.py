"""Pairs of images of different classes: what a network is shown or started from to contradict a label."""

import torch
from torch import Tensor


def partner_of_another_class(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Index of a random image of another class, each equally likely, for every image: labels (N,) -> (N,).

    Where all images are of one class, each is its own partner.
    """
    differs = (labels[:, None] != labels[None, :]).cpu()  # (N, N)
    weights = differs if differs.any() else torch.eye(len(labels))
    return torch.multinomial(weights.float(), 1, generator=generator)[:, 0].to(labels.device)

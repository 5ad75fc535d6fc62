"""Scores: the number that an attribution explains, computed from an image's logits and its class of interest."""

from typing import Literal

import torch
from torch import Tensor

from spectroscope.attribution.inputs import Model, checked_logits

Score = Literal["logit", "margin", "log_probability", "probability"]


def class_score(logits: Tensor, labels: Tensor, kind: Score) -> Tensor:
    """Score of each image's class: logits (..., K) and labels (...) -> (...).

    `logit` (Wang et al. 2020, Def. 1), `margin` (logit minus the largest other logit), `log_probability`,
    `probability` (softmax). ValueError for labels out of range, a margin of one class, or an unknown kind.
    """
    classes = logits.shape[-1]
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise ValueError(f"expected labels 0..{classes - 1}, got {int(labels.min())}..{int(labels.max())}")
    column = labels[..., None]
    if kind == "logit":
        return logits.gather(-1, column)[..., 0]
    if kind == "log_probability":
        return logits.log_softmax(-1).gather(-1, column)[..., 0]
    if kind == "probability":
        return logits.softmax(-1).gather(-1, column)[..., 0]
    if kind == "margin":
        if classes < 2:
            raise ValueError(f"expected at least two classes for a margin, got {classes}")
        return logits.gather(-1, column)[..., 0] - logits.scatter(-1, column, -torch.inf).amax(-1)
    raise ValueError(f"expected score logit, margin, log_probability or probability, got {kind!r}")


def image_scores(model: Model, images: Tensor, labels: Tensor, kind: Score) -> Tensor:
    """Score of each image in one forward pass: (N, C, H, W) -> (N,)."""
    return class_score(checked_logits(model, images), labels.to(images.device), kind)


def coalition_scores(logits: Tensor, labels: Tensor, kind: Score) -> Tensor:
    """Score of each image with each coalition of bands: logits (N, M, K) and labels (N,) -> (N, M)."""
    return class_score(logits, labels.to(logits.device)[:, None].expand(logits.shape[:2]), kind)

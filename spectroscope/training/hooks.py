"""The hooks of the training loop: the functions with which a regime changes a training step."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Generator, Tensor

Model = Callable[[Tensor], Tensor]
Transform = Callable[[Tensor, Tensor, Generator], Tensor]
Adversary = Callable[[Model, Tensor, Tensor, Generator], Tensor]
Regulariser = Callable[[Model, Tensor, Tensor, Tensor, Generator], Tensor]


class TrainingHooks(NamedTuple):
    """What a regime adds to plain training, in the order of a step; None if nothing.

    `transform`: (images, labels, generator) -> images. `adversary`: (model, images, labels, generator) -> images.
    `regulariser`: (model, images, labels, logits, generator) -> scalar that is added to the loss; the logits depend on
    the images in the autograd graph, so it may differentiate by them.
    `own_attack`: PGD in the ball that the regime trains against, for held-out images: losing accuracy under it is a
    failure of the training.
    """

    transform: Transform | None = None
    adversary: Adversary | None = None
    regulariser: Regulariser | None = None
    own_attack: Adversary | None = None

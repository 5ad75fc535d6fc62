"""A model as an attack sees it: its logits are checked, its evaluations counted, its state left as it was."""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from spectroscope.frequency.balls import Ball, norms, tolerance

Model = Callable[[Tensor], Tensor]
PARTS = ("apgd_ce", "apgd_t", "fab_t", "square")  # of AutoAttack, in their order


class CountingModel:
    """A model that is asked about n images x (n, C, H, W) by an attack, and keeps account of it.

    labels (n,); targets (n,), or None where any other class will do; n_classes; others (n, C, H, W): another image of
    the set for each, or None. count (n,) int64: evaluations of each image. first (n,) int64: its evaluations when the
    first one succeeded within the ball, 0 where none did. An attack may note: part (n,) int64, the place in `PARTS`
    of what fooled an image, -1 for none; leak (n,), the share of its energy outside the band, NaN for no band.
    """

    def __init__(
        self,
        model: Model,
        x: Tensor,
        labels: Tensor,
        n_classes: int,
        targets: Tensor | None = None,
        ball: Ball | None = None,
        others: Tensor | None = None,
    ) -> None:
        self.n_classes, self.labels, self.targets, self.others = n_classes, labels, targets, others
        self._model, self._x, self._ball = model, x, ball
        self._count, self._first = torch.zeros_like(labels), torch.zeros_like(labels)
        self._rows = torch.arange(len(labels), device=labels.device)
        self.part, self.leak = torch.full_like(labels, -1), x.new_full((len(x),), math.nan)

    @property
    def count(self) -> Tensor:
        return self._count[self._rows]

    @property
    def first(self) -> Tensor:
        return self._first[self._rows]

    def __call__(self, x: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        """Logits (m, K) of x (m, C, H, W), versions of the images `rows`; a row may be there several times."""
        logits = logits_of(self._model, x)
        with torch.no_grad():
            asked = self._rows[rows]
            self._count.index_add_(0, asked, torch.ones_like(asked))
            done = self.fooled(logits, rows) & (self._first[asked] == 0)
            if self._ball and done.any():
                change = x[done].detach() - self._x[asked[done]]
                done[done.clone()] = norms(change, self._ball.norm) <= self._ball.eps + tolerance(self._ball.eps)
            self._first[asked[done]] = self._count[asked[done]]
        return logits

    def fooled(self, logits: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        """Whether each prediction is the target or, without one, any class but the label: (m, K) -> (m,)."""
        predicted = logits.argmax(1)
        return predicted != self.labels[rows] if self.targets is None else predicted == self.targets[rows]

    def odds(self, logits: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        """What an attack lowers: the log odds of the label or, with a target, those against it: (m, K) -> (m,)."""
        if self.targets is None:
            return log_odds(logits, self.labels[rows])
        return -log_odds(logits, self.targets[rows])

    def only(self, rows: Tensor) -> "CountingModel":
        """The same model for some of the images; what is asked there is counted here too."""
        part = copy.copy(self)
        part.labels, part._rows = self.labels[rows], self._rows[rows]
        part.targets = None if self.targets is None else self.targets[rows]
        part.others = None if self.others is None else self.others[rows]
        return part


def logits_of(model: Model, x: Tensor) -> Tensor:
    """Logits (N, K) of x (N, C, H, W), differentiable with respect to x and nothing else.

    ValueError for another shape, for values that are not finite, and for a model without a gradient where one is asked.
    """
    logits = _InputGradient.apply(x, model)
    if logits.ndim != 2 or len(logits) != len(x) or logits.shape[1] < 2:
        raise ValueError(f"expected logits of shape ({len(x)}, classes >= 2), got {tuple(logits.shape)}")
    if not logits.isfinite().all():
        raise ValueError(f"expected finite logits, got {int((~logits.isfinite()).sum())} that are NaN or infinite")
    return logits


def log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """log(p / (1 - p)) of the labels' softmax probabilities: (N, K), (N,) -> (N,).

    It orders as p does and its gradient has the direction of the cross-entropy's, -log p, which is (p - 1) times it;
    but where p rounds to 1 in float32, it still changes and its gradient does not vanish.
    """
    others = logits.scatter(1, labels[:, None], -math.inf).logsumexp(1)
    return logits.gather(1, labels[:, None])[:, 0] - others


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Evaluation mode for every part of a module, each part's own mode restored at the end."""
    modes = {part: part.training for part in model.modules()} if isinstance(model, nn.Module) else {}
    for part in modes:
        part.training = False
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


class _InputGradient(torch.autograd.Function):
    """The model with its weights out of the graph: `loss.backward()` reaches the images and no `.grad` of a weight.

    Unlike setting `requires_grad` this also holds for a network that hides in a plain function.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, model: Model) -> Tensor:
        if not ctx.needs_input_grad[0]:
            return model(x)
        with torch.enable_grad():
            ctx.x = x.detach().requires_grad_()
            ctx.logits = model(ctx.x)
        if not ctx.logits.requires_grad:
            raise ValueError("expected a model that is differentiable in its input, got logits without a gradient")
        return ctx.logits.detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return torch.autograd.grad(ctx.logits, ctx.x, gradient, retain_graph=True)[0], None  # once for each class

"""A model as an attack sees it: its logits are checked, its evaluations counted, its state left as it was."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Model = Callable[[Tensor], Tensor]


class Queried:
    """A model evaluated on n images whose number of classes is known; `count` (n,) int64: evaluations of each image."""

    def __init__(self, model: Model, n: int, n_classes: int, device: torch.device) -> None:
        self.n_classes = n_classes
        self.count = torch.zeros(n, dtype=torch.int64, device=device)
        self._model = model

    def __call__(self, x: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        """Logits (m, K) of x (m, C, H, W), versions of the images `rows`."""
        self.count[rows] += 1
        return logits_of(self._model, x)


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
        return torch.autograd.grad(ctx.logits, ctx.x, gradient)[0], None

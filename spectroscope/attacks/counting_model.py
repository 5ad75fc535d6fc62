"""The model as an attack sees it: its logits are checked, its queries counted, its state left as it was."""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from spectroscope.frequency.balls import Ball, norms, tolerance

Model = Callable[[Tensor], Tensor]
ENSEMBLE_MEMBERS = ("apgd_ce", "apgd_t", "fab_t", "square")  # of AutoAttack, in the order they run


class CountingModel:
    """A model that an attack queries about n images x (n, C, H, W) and that counts the queries of each image.

    labels: (n,). targets: (n,), or None where any class but the label will do. partners: (n, C, H, W), another image of
    the set for each, the image itself where none is given. places: (n,), of each image in its set, 0..n-1 where none is
    given: what is drawn from them is the same for every network. queries: (n,) int64, evaluations of each image.
    queries_to_success: (n,) int64, evaluations up to the first that succeeded, within the ball if there is one; 0 where
    none did.

    An attack may record member, (n,) int64: the index in `ENSEMBLE_MEMBERS` of what fooled an image, else -1; and leak,
    (n,): the share of the perturbation's energy outside its band, NaN without a band.
    """

    def __init__(
        self,
        model: Model,
        x: Tensor,
        labels: Tensor,
        n_classes: int,
        targets: Tensor | None = None,
        ball: Ball | None = None,
        partners: Tensor | None = None,
        places: Tensor | None = None,
    ) -> None:
        self.n_classes, self.labels, self.targets = n_classes, labels, targets
        self.partners = x if partners is None else partners
        self.places = torch.arange(len(labels)) if places is None else places
        self._model, self._x, self._ball = model, x, ball
        self._queries, self._queries_to_success = torch.zeros_like(labels), torch.zeros_like(labels)
        self._rows = torch.arange(len(labels), device=labels.device)
        self.member, self.leak = torch.full_like(labels, -1), x.new_full((len(x),), math.nan)

    @property
    def queries(self) -> Tensor:
        return self._queries[self._rows]

    @property
    def queries_to_success(self) -> Tensor:
        return self._queries_to_success[self._rows]

    def __call__(self, x: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        """Logits (m, K) of x (m, C, H, W), versions of the images `rows`, in which an image may occur several times."""
        logits = logits_of(self._model, x)
        with torch.no_grad():
            images = self._rows[rows]
            self._queries.index_add_(0, images, torch.ones_like(images))
            succeeded = self.fooled(logits, rows) & (self._queries_to_success[images] == 0)
            if self._ball and succeeded.any():
                change = x[succeeded].detach() - self._x[images[succeeded]]
                inside = norms(change, self._ball.norm) <= self._ball.eps + tolerance(self._ball.eps)
                succeeded[succeeded.clone()] = inside
            self._queries_to_success[images[succeeded]] = self._queries[images[succeeded]]
        return logits

    def fooled(self, logits: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        """Whether each prediction is the target or, without one, any class but the label: (m, K) -> (m,)."""
        predicted = logits.argmax(1)
        return predicted != self.labels[rows] if self.targets is None else predicted == self.targets[rows]

    def objective(self, logits: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        """The number that an attack lowers, log odds of the label or minus those of the target: (m, K) -> (m,)."""
        if self.targets is None:
            return log_odds(logits, self.labels[rows])
        return -log_odds(logits, self.targets[rows])

    def subset(self, rows: Tensor) -> "CountingModel":
        """The same model for the images `rows`; its queries are counted here too."""
        subset = copy.copy(self)  # shallow: the counts stay one tensor
        subset.labels, subset.partners, subset._rows = self.labels[rows], self.partners[rows], self._rows[rows]
        subset.places = self.places[rows.cpu()]
        subset.targets = None if self.targets is None else self.targets[rows]
        return subset


def logits_of(model: Model, x: Tensor) -> Tensor:
    """Logits (N, K) of x (N, C, H, W), differentiable with respect to x and nothing else.

    ValueError for another shape, for values that are not finite, and for a model without a gradient where one is
    needed.
    """
    logits = _InputGradient.apply(x, model)
    if logits.ndim != 2 or len(logits) != len(x) or logits.shape[1] < 2:
        raise ValueError(f"expected logits of shape ({len(x)}, classes >= 2), got {tuple(logits.shape)}")
    if not logits.isfinite().all():
        raise ValueError(f"expected finite logits, got {int((~logits.isfinite()).sum())} that are NaN or infinite")
    return logits


def log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """log(p / (1 - p)) of the labels' softmax probabilities: (N, K), (N,) -> (N,).

    It orders images as p does, and its gradient has the direction of that of the cross-entropy -log p, which is (p - 1)
    times it. But where p rounds to 1 in float32, log odds still change and their gradient does not vanish.
    """
    others = logits.scatter(1, labels[:, None], -math.inf).logsumexp(1)
    return logits.gather(1, labels[:, None])[:, 0] - others


def check_images(images: Tensor, labels: Tensor, targets: Tensor | None) -> None:
    """ValueError unless images are float32 (N, C, H, W) in [0, 1], labels and targets integers (N,)."""
    if images.ndim != 4 or not len(images) or images.dtype != torch.float32:
        raise ValueError(f"expected float32 images (N >= 1, C, H, W), got {images.dtype} {tuple(images.shape)}")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"expected images in [0, 1], got values {low:g}..{high:g}")
    for name, values in (("labels", labels), ("targets", targets)):
        if values is not None and (values.shape != (len(images),) or values.is_floating_point()):
            raise ValueError(f"expected {len(images)} integer {name}, got {values.dtype} {tuple(values.shape)}")


def check_classes(name: str, values: Tensor, n_classes: int) -> None:
    """ValueError unless the values (N,) are classes."""
    if values.min() < 0 or values.max() >= n_classes:
        raise ValueError(f"expected {name} 0..{n_classes - 1}, got {values.min()}..{values.max()}")


def check_targets(targets: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """The targets (N,); ValueError unless they are classes other than the labels."""
    check_classes("targets", targets, n_classes)
    if (targets == labels).any():
        raise ValueError(f"expected targets other than the labels, got {int((targets == labels).sum())} equal ones")
    return targets


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Sets a module and its submodules to evaluation mode; at the end each gets its former mode back."""
    modes = {module: module.training for module in model.modules()} if isinstance(model, nn.Module) else {}
    for module in modes:
        module.training = False
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


class _InputGradient(torch.autograd.Function):
    """The model with its weights out of the graph: `loss.backward()` reaches the images and no `.grad` of a weight.

    Unlike setting `requires_grad`, this also holds for a network inside a plain function.
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
        # The graph is kept, because some attacks ask for a gradient for each class.
        return torch.autograd.grad(ctx.logits, ctx.x, gradient, retain_graph=True)[0], None

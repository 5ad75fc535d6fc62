"""Attacks by name, run on a labelled set of images and verified.

What holds for every attack: an image that is misclassified already is not attacked; an attack that fails returns the
image itself; the perturbation of one image depends on the seed and the image's index, not on its batch mates; the
model's modes, weights, gradients and buffers stay as they were; success is what a forward pass of our own says about
image + perturbation, in the float32 numbers that are stored.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import pandas as pd
import torch
from torch import Tensor, nn

from spectroscope import runtime
from spectroscope.attacks import gradient
from spectroscope.attacks.queries import Model, Queried, evaluating, logits_of
from spectroscope.attacks.settings import AttackSettings, Ball
from spectroscope.attacks.simba import simba
from spectroscope.progress import track

BATCH_SIZE = 64
TOLERANCE = 1e-6  # of a norm, relative where eps > 1

ATTACKS: dict[str, Callable[..., Tensor]] = {
    "fgsm": gradient.fgsm,
    "pgd": gradient.pgd,
    "cw": gradient.cw,
    "simba": simba,
}


@dataclass(frozen=True)
class Outcome:
    """One row for each image, on the CPU.

    perturbation: (N, C, H, W) float32, 0 where the attack failed. before, after: predicted classes without and with
    it. success: right before and wrong after. queries: evaluations of the model by the attack, without the one before
    it and the one that verifies it. l2, linf: float32 norms of the perturbation.
    """

    perturbation: Tensor
    before: Tensor
    after: Tensor
    success: Tensor
    queries: Tensor
    l2: Tensor
    linf: Tensor

    def table(self) -> pd.DataFrame:
        """Everything but the perturbations."""
        names = [field.name for field in fields(self) if field.name != "perturbation"]
        return pd.DataFrame({name: getattr(self, name).numpy() for name in names})


def lookup(method: str) -> Callable[..., Tensor]:
    """The attack of this name; ValueError with the known names."""
    if method not in ATTACKS:
        raise ValueError(f"expected an attack among {', '.join(ATTACKS)}, got {method!r}")
    return ATTACKS[method]


def run(
    settings: AttackSettings, model: Model, images: Tensor, labels: Tensor, seed: int, batch_size: int = BATCH_SIZE
) -> Outcome:
    """Attack `model`, any callable (N, C, H, W) -> logits (N, K), on images (N, C, H, W) in [0, 1], labels (N,).

    Untargeted. Batches go to the device of a module's weights, else stay where the images are. ValueError: images that
    are not float32 in [0, 1], labels out of range, logits of the wrong shape or not finite. RuntimeError: an attack
    that leaves its ball or [0, 1].
    """
    _check(images, labels)
    attack = lookup(settings.method)
    weights = model.parameters() if isinstance(model, nn.Module) else iter(())
    device = next((weight.device for weight in weights), images.device)
    batches = torch.arange(len(images)).split(batch_size)
    with evaluating(model), torch.enable_grad():
        parts = [
            _run_batch(
                attack,
                settings,
                model,
                images[rows].detach().to(device),
                labels[rows].long().to(device),
                [runtime.generator(seed, int(row)) for row in rows],
            )
            for rows in track(batches, settings.method)
        ]
    names = [field.name for field in fields(Outcome)]
    return Outcome(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def _run_batch(
    attack: Callable[..., Tensor],
    settings: AttackSettings,
    model: Model,
    x: Tensor,
    labels: Tensor,
    generators: list[torch.Generator],
) -> Outcome:
    logits = logits_of(model, x)
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(f"expected labels 0..{logits.shape[1] - 1}, got {labels.min()}..{labels.max()}")
    before = logits.argmax(1)
    after, queries, perturbation = before.clone(), torch.zeros_like(before), torch.zeros_like(x)

    attacked = torch.nonzero(before == labels)[:, 0]
    if len(attacked) and not (settings.ball and settings.ball.eps == 0):
        predict = Queried(model, len(attacked), logits.shape[1], x.device)
        clean, right = x[attacked], labels[attacked]
        change = attack(settings, predict, clean, right, [generators[row] for row in attacked.tolist()]) - clean
        _verify_bounds(change, clean, settings.ball)
        reached = logits_of(model, clean + change).argmax(1)
        fooled = reached != right
        perturbation[attacked[fooled]], after[attacked[fooled]] = change[fooled], reached[fooled]
        queries[attacked] = predict.count

    flat = perturbation.flatten(1)
    return Outcome(
        perturbation=perturbation.cpu(),
        before=before.cpu(),
        after=after.cpu(),
        success=((before == labels) & (after != labels)).cpu(),
        queries=queries.cpu(),
        l2=flat.norm(dim=1).cpu(),
        linf=flat.abs().amax(1).cpu(),
    )


def _check(images: Tensor, labels: Tensor) -> None:
    if images.ndim != 4 or not len(images) or images.dtype != torch.float32:
        raise ValueError(f"expected float32 images (N >= 1, C, H, W), got {images.dtype} {tuple(images.shape)}")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"expected images in [0, 1], got values {low:g}..{high:g}")
    if labels.shape != (len(images),) or labels.is_floating_point():
        raise ValueError(f"expected {len(images)} integer labels, got {labels.dtype} {tuple(labels.shape)}")


def _verify_bounds(change: Tensor, x: Tensor, ball: Ball | None) -> None:
    low, high = float((x + change).min()), float((x + change).max())
    if not (low >= 0 and high <= 1):
        raise RuntimeError(f"expected adversaries in [0, 1], got values {low:g}..{high:g}")
    if ball:
        flat = change.flatten(1).double()
        size = float((flat.abs().amax(1) if ball.norm == "linf" else flat.norm(dim=1)).max())
        if size > ball.eps + TOLERANCE * max(1, ball.eps):
            raise RuntimeError(f"expected perturbations of {ball.norm} norm <= {ball.eps:g}, got {size:g}")

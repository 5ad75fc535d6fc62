"""One attack on one batch of images, verified by forward passes of our own."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import pandas as pd
import torch
from torch import Tensor, nn

from spectroscope.attacks.counting_model import PARTS, CountingModel, Model, evaluating, logits_of
from spectroscope.attacks.settings import AttackSettings
from spectroscope.frequency.balls import Ball, norms, tolerance
from spectroscope.pipeline import machine

Method = Callable[..., Tensor]
UNTARGETED = -1


@dataclass(frozen=True)
class Outcome:
    """One row for each image, on the CPU.

    perturbation: (N, C, H, W) float32, 0 where the attack failed. target: the class it aimed at, -1 for any but the
    label. before, after: predicted classes without and with it. success: right before, and the target or any wrong
    class after. queries: evaluations of the model by the attack, without the one before it and the one that verifies
    it. queries_to_success: of these, up to the first that succeeded inside the ball (all where the attack saw none),
    -1 where it failed. l2, linf: float32 norms of the perturbation. part: of an ensemble, the place in `PARTS` of what
    succeeded, else -1. leak: of a confined success, the share of its energy outside the band, else NaN.
    """

    perturbation: Tensor
    target: Tensor
    before: Tensor
    after: Tensor
    success: Tensor
    queries: Tensor
    queries_to_success: Tensor
    l2: Tensor
    linf: Tensor
    part: Tensor
    leak: Tensor

    def table(self) -> pd.DataFrame:
        """Everything but the perturbations; parts by their name."""
        names = [field.name for field in fields(self) if field.name != "perturbation"]
        table = pd.DataFrame({name: getattr(self, name).numpy() for name in names})
        return table.assign(part=["" if place < 0 else PARTS[place] for place in self.part.tolist()])


def joined(outcomes: list[Outcome]) -> Outcome:
    """Outcomes of batches, one after the other."""
    names = [field.name for field in fields(Outcome)]
    return Outcome(**{name: torch.cat([getattr(each, name) for each in outcomes]) for name in names})


def attack_batch(
    attack: Method,
    keep: Method | None,
    radii: list[AttackSettings],
    model: Model,
    images: Tensor,
    labels: Tensor,
    keys: list[tuple[int, int]],
    targets: Tensor | None,
    others: Tensor,
) -> list[Outcome]:
    """An outcome for each of `radii`: settings that differ in their radius alone.

    images (N, C, H, W), labels (N,), targets (N,) or None to let the settings choose; keys: of each image's generator;
    others (N, C, H, W): another image of the set for each, which a control goes towards.
    keep: where there is one, `attack` is asked once, without regard to the radius, and keep(settings, x, adversaries)
    gives what is left of its adversaries within each.
    """
    weights = model.parameters() if isinstance(model, nn.Module) else iter(())
    device = next((weight.device for weight in weights), images.device)
    x, labels = images.detach().to(device), labels.long().to(device)
    with evaluating(model), torch.enable_grad():
        logits = logits_of(model, x)
        _check_classes("labels", labels, logits.shape[1])
        targets = _targets(radii[0], logits, labels, targets)
        attacked = torch.nonzero(logits.argmax(1) == labels)[:, 0]
        clean, right, away = x[attacked], labels[attacked], others.detach().to(device)[attacked]
        aims = None if targets is None else targets[attacked]
        found, asked, outcomes = None, None, []
        for settings in radii:
            predict = CountingModel(model, clean, right, logits.shape[1], aims, None if keep else settings.ball, away)
            if not len(attacked) or (settings.ball and settings.ball.eps == 0):
                change = torch.zeros_like(clean)
            else:
                if found is None or not keep:
                    generators = [machine.generator(*keys[row]) for row in attacked.tolist()]
                    found, asked = attack(settings, predict, clean, right, generators), predict
                change = (keep(settings, clean, found) if keep else found) - clean
                _verify_bounds(change, clean, settings.ball)
                predict = asked
            outcomes.append(_outcome(predict, model, x, labels, logits.argmax(1), targets, attacked, change))
    return outcomes


@torch.no_grad()
def _outcome(
    predict: CountingModel,
    model: Model,
    x: Tensor,
    labels: Tensor,
    before: Tensor,
    targets: Tensor | None,
    attacked: Tensor,
    change: Tensor,
) -> Outcome:
    """What `change`, perturbations of the attacked images, does to the model."""
    perturbation, after, success = torch.zeros_like(x), before.clone(), torch.zeros_like(before, dtype=torch.bool)
    queries, first, part = torch.zeros_like(before), torch.full_like(before, -1), torch.full_like(before, -1)
    leak = torch.full_like(x[:, 0, 0, 0], torch.nan)
    if len(attacked):
        reached = logits_of(model, x[attacked] + change)
        fooled = predict.fooled(reached)
        rows = attacked[fooled]
        perturbation[rows], after[rows], success[rows] = change[fooled], reached.argmax(1)[fooled], True
        part[rows], leak[rows] = predict.part[fooled], predict.leak[fooled]
        first[rows] = torch.where(predict.first > 0, predict.first, predict.count)[fooled]
    queries[attacked] = predict.count
    return Outcome(
        perturbation=perturbation.cpu(),
        target=(torch.full_like(labels, UNTARGETED) if targets is None else targets).cpu(),
        before=before.cpu(),
        after=after.cpu(),
        success=success.cpu(),
        queries=queries.cpu(),
        queries_to_success=first.cpu(),
        l2=norms(perturbation, "l2").cpu(),
        linf=norms(perturbation, "linf").cpu(),
        part=part.cpu(),
        leak=leak.cpu(),
    )


def _targets(settings: AttackSettings, logits: Tensor, labels: Tensor, given: Tensor | None) -> Tensor | None:
    """The class each image is to be taken for, never its label: (N,)."""
    if given is not None:
        given = given.long().to(labels.device)
        _check_classes("targets", given, logits.shape[1])
        if (given == labels).any():
            raise ValueError(f"expected targets other than the labels, got {int((given == labels).sum())} equal ones")
        return given
    choice = getattr(settings, "target", None)
    if choice is None:
        return None
    others = logits.scatter(1, labels[:, None], -torch.inf if choice == "runner_up" else torch.inf)
    return others.argmax(1) if choice == "runner_up" else others.argmin(1)


def _check_classes(what: str, values: Tensor, n_classes: int) -> None:
    if values.min() < 0 or values.max() >= n_classes:
        raise ValueError(f"expected {what} 0..{n_classes - 1}, got {values.min()}..{values.max()}")


def _verify_bounds(change: Tensor, x: Tensor, ball: Ball | None) -> None:
    low, high = float((x + change).min()), float((x + change).max())
    if not (low >= 0 and high <= 1):
        raise RuntimeError(f"expected adversaries in [0, 1], got values {low:g}..{high:g}")
    if ball:
        size = float(norms(change.double(), ball.norm).max())
        if size > ball.eps + tolerance(ball.eps):
            raise RuntimeError(f"expected perturbations of {ball.norm} norm <= {ball.eps:g}, got {size:g}")

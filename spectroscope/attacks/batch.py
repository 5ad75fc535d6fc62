"""One attack on one batch of images, verified by forward passes of our own."""

from dataclasses import dataclass, fields, replace

import pandas as pd
import torch
from torch import Tensor, nn

from spectroscope.attacks.counting_model import (
    ENSEMBLE_MEMBERS,
    CountingModel,
    Model,
    check_classes,
    check_targets,
    evaluating,
    logits_of,
)
from spectroscope.attacks.registry import Attack, AttackSettings
from spectroscope.frequency.balls import Ball, norms, tolerance
from spectroscope.pipeline import machine

UNTARGETED = -1
_CONTROL_STREAM = 1  # a third key of the generators of controls: noise must not be the random start of an attack


@dataclass(frozen=True)
class Batch:
    """Images (N, C, H, W) and labels (N,) to attack.

    keys: of each image's random generator: the seed, and the place of the image in its set. partners (N, C, H, W):
    another image of the set for each, which a control moves towards. targets: (N,), or None to let the settings choose.
    """

    images: Tensor
    labels: Tensor
    keys: list[tuple[int, int]]
    partners: Tensor
    targets: Tensor | None = None


@dataclass(frozen=True)
class Outcome:
    """One row for each image, on the CPU.

    perturbation: (N, C, H, W) float32, 0 where the attack failed. target: the class it aimed at, -1 for any but the
    label. before, after: predicted classes without and with the perturbation. success: right before, and the target or
    any wrong class after. queries: evaluations by the attack, without the two of `attack_batch`. queries_to_success: of
    these, up to the first that succeeded (all where the attack saw none), -1 where it failed; it succeeds within the
    ball, but at any distance in a search that is projected onto the ball at its end. l2, linf: float32 norms of the
    perturbation. part: of an ensemble, the index in `ENSEMBLE_MEMBERS` of the member that succeeded, else -1. leak: of
    a success in a band, the share of its energy outside the band, else NaN.
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
        """Everything but the perturbations; members of the ensemble by name."""
        names = [field.name for field in fields(self) if field.name != "perturbation"]
        table = pd.DataFrame({name: getattr(self, name).numpy() for name in names})
        return table.assign(part=["" if index < 0 else ENSEMBLE_MEMBERS[index] for index in self.part.tolist()])


def concatenate(outcomes: list[Outcome]) -> Outcome:
    """Outcomes of batches, one after the other."""
    names = [field.name for field in fields(Outcome)]
    return Outcome(**{name: torch.cat([getattr(outcome, name) for outcome in outcomes]) for name in names})


def attack_batch(attack: Attack, radii: list[AttackSettings], model: Model, batch: Batch) -> list[Outcome]:
    """Attacks the correctly classified images of a batch: one outcome for each of `radii`.

    These settings differ in their radius alone. An attack that has a `project` searches once for all of them.
    """
    weights = model.parameters() if isinstance(model, nn.Module) else iter(())
    device = next((weight.device for weight in weights), batch.images.device)
    x, labels = batch.images.detach().to(device), batch.labels.long().to(device)
    with evaluating(model), torch.enable_grad():
        logits = logits_of(model, x)
        check_classes("labels", labels, logits.shape[1])
        targets = _targets(radii[0], logits, labels, batch.targets)
        batch = replace(batch, images=x, labels=labels, targets=targets, partners=batch.partners.detach().to(device))
        attacked = torch.nonzero(logits.argmax(1) == labels)[:, 0]
        search, outcomes = None, []
        for settings in radii:
            counting = CountingModel(
                model,
                x[attacked],
                labels[attacked],
                logits.shape[1],
                None if targets is None else targets[attacked],
                None if attack.project else settings.ball,
                batch.partners[attacked],
                torch.tensor([place for _, place in batch.keys], dtype=torch.int64)[attacked.cpu()],
            )
            change = torch.zeros_like(x[attacked])
            if len(attacked) and not (settings.ball and settings.ball.eps == 0):
                if search is None or not attack.project:
                    stream = (_CONTROL_STREAM,) if attack.kind == "control" else ()
                    generators = [machine.generator(*batch.keys[row], *stream) for row in attacked.tolist()]
                    search = attack.function(settings, counting, x[attacked], generators), counting
                adversaries, counting = search
                if attack.project:
                    adversaries = attack.project(settings, x[attacked], adversaries)
                change = adversaries - x[attacked]
                _verify_bounds(change, x[attacked], settings.ball)
            outcomes.append(_outcome(model, counting, batch, logits.argmax(1), attacked, change))
    return outcomes


@torch.no_grad()
def _outcome(
    model: Model, counting: CountingModel, batch: Batch, before: Tensor, attacked: Tensor, change: Tensor
) -> Outcome:
    """Verifies `change`, perturbations of the images `attacked`, by a forward pass, and drops those that fail."""
    x = batch.images
    perturbation, after, success = torch.zeros_like(x), before.clone(), torch.zeros_like(before, dtype=torch.bool)
    queries, to_success, member = torch.zeros_like(before), torch.full_like(before, -1), torch.full_like(before, -1)
    leak = torch.full_like(x[:, 0, 0, 0], torch.nan)
    if len(attacked):
        logits = logits_of(model, x[attacked] + change)
        fooled = counting.fooled(logits)
        rows = attacked[fooled]
        perturbation[rows], after[rows], success[rows] = change[fooled], logits.argmax(1)[fooled], True
        member[rows], leak[rows] = counting.member[fooled], counting.leak[fooled]
        seen = counting.queries_to_success
        to_success[rows] = torch.where(seen > 0, seen, counting.queries)[fooled]
    queries[attacked] = counting.queries
    return Outcome(
        perturbation=perturbation.cpu(),
        target=(torch.full_like(batch.labels, UNTARGETED) if batch.targets is None else batch.targets).cpu(),
        before=before.cpu(),
        after=after.cpu(),
        success=success.cpu(),
        queries=queries.cpu(),
        queries_to_success=to_success.cpu(),
        l2=norms(perturbation, "l2").cpu(),
        linf=norms(perturbation, "linf").cpu(),
        part=member.cpu(),
        leak=leak.cpu(),
    )


def _targets(settings: AttackSettings, logits: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor | None:
    """The class that each image is to be taken for, never its label: (N,)."""
    if targets is not None:
        return check_targets(targets.long().to(labels.device), labels, logits.shape[1])
    choice = getattr(settings, "target", None)
    if choice is None:
        return None
    others = logits.scatter(1, labels[:, None], -torch.inf if choice == "runner_up" else torch.inf)
    return others.argmax(1) if choice == "runner_up" else others.argmin(1)


def _verify_bounds(change: Tensor, x: Tensor, ball: Ball | None) -> None:
    low, high = float((x + change).min()), float((x + change).max())
    if not (low >= 0 and high <= 1):
        raise RuntimeError(f"expected adversaries in [0, 1], got values {low:g}..{high:g}")
    if ball:
        size = float(norms(change.double(), ball.norm).max())
        if size > ball.eps + tolerance(ball.eps):
            raise RuntimeError(f"expected perturbations of {ball.norm} norm <= {ball.eps:g}, got {size:g}")

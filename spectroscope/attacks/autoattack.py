"""AutoAttack, the standard ensemble of Croce & Hein 2020, and the same ensemble with fewer steps."""

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from spectroscope.attacks import apgd, fab, losses, square
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.sizes import Count, InL2, InLinf
from spectroscope.frequency.balls import Ball
from spectroscope.pipeline.params import Settings

_FIRST_SHARE = 0.8  # of Square in the ensemble


class Effort(NamedTuple):
    """Steps of each run of APGD and of FAB, classes that targeted APGD and FAB try, queries of Square for one image."""

    apgd_steps: int
    fab_steps: int
    n_targets: int
    max_queries: int


STANDARD = Effort(apgd_steps=100, fab_steps=100, n_targets=9, max_queries=5000)  # Croce & Hein 2020, section 5


class _Autoattack(Settings):
    """The ensemble at its standard settings, which belong to the method: see `STANDARD`."""

    method: Literal["autoattack"]
    n_images: Count


class AutoattackLinf(InLinf, _Autoattack):
    """AutoAttack in an l-inf ball."""


class AutoattackL2(InL2, _Autoattack):
    """AutoAttack in an l2 ball."""


class _ReducedAutoattack(Settings):
    """The ensemble with other settings than AutoAttack's; they are the fields of `Effort`."""

    method: Literal["autoattack-reduced"]
    n_images: Count
    apgd_steps: Count
    fab_steps: Count
    n_targets: Count
    max_queries: Count


class ReducedAutoattackLinf(InLinf, _ReducedAutoattack):
    """The reduced ensemble in an l-inf ball."""


class ReducedAutoattackL2(InL2, _ReducedAutoattack):
    """The reduced ensemble in an l2 ball."""


Autoattack = Annotated[AutoattackLinf | AutoattackL2, Field(discriminator="norm")]
ReducedAutoattack = Annotated[ReducedAutoattackLinf | ReducedAutoattackL2, Field(discriminator="norm")]


def autoattack(settings: Autoattack, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """AutoAttack: (N, C, H, W) (Croce & Hein 2020, section 5). Below 10 classes all but the label are targets."""
    effort = STANDARD._replace(n_targets=min(STANDARD.n_targets, model.n_classes - 1))
    return ensemble(settings.ball, effort, model, x, generators)


def reduced_autoattack(
    settings: ReducedAutoattack, model: CountingModel, x: Tensor, generators: list[torch.Generator]
) -> Tensor:
    """The same ensemble with the steps, targets and queries of the settings: (N, C, H, W)."""
    effort = Effort(settings.apgd_steps, settings.fab_steps, settings.n_targets, settings.max_queries)
    return ensemble(settings.ball, effort, model, x, generators)


def ensemble(ball: Ball, effort: Effort, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """Adversaries of the first member that succeeded, x where none did: (N, C, H, W) (Croce & Hein 2020, section 5).

    Each member attacks the images that those before it did not fool. Records which member succeeded. ValueError for
    fewer than 4 classes or for more targets than there are other classes.
    """
    steps, everything = effort.apgd_steps, torch.arange(len(x), device=x.device)
    targets = losses.runners_up(model(x, everything).detach(), model.labels, effort.n_targets)
    losses.targeted_dlr(model, targets[:, 0])  # refuses too few classes, whatever the first member achieves
    members: tuple[Callable[..., Tensor], ...] = (  # in the order of `counting_model.ENSEMBLE_MEMBERS`
        lambda model, x, targets, generators: apgd.climb(
            model, x, losses.cross_entropy(model), ball, steps, generators
        ),
        lambda model, x, targets, generators: apgd.climb_towards_targets(model, x, targets, ball, steps, generators),
        lambda model, x, targets, generators: fab.search(model, x, targets, ball.norm, effort.fab_steps, ball.eps),
        lambda model, x, targets, generators: square.search(
            model, x, ball, _FIRST_SHARE, effort.max_queries, generators
        ),
    )
    adversaries, rows = x.clone(), everything
    for index, member in enumerate(members):
        subset = model.subset(rows)
        z = member(subset, x[rows], targets[rows], [generators[row] for row in rows.tolist()])
        # Square returns points that fool nobody. FAB returns the image where it has only touched the boundary.
        fooled = (subset.queries_to_success > 0) & (z != x[rows]).flatten(1).any(1)
        adversaries[rows[fooled]], model.member[rows[fooled]] = z[fooled], index
        rows = rows[~fooled]
        if not len(rows):
            break
    return adversaries

"""AutoAttack: the standard ensemble of Croce & Hein 2020."""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from spectroscope.attacks import apgd, fab, losses, square
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.sizes import Count, InL2, InLinf
from spectroscope.pipeline.params import Settings

_FIRST_SHARE = 0.8  # of Square in the ensemble


class _Autoattack(Settings):
    """The standard ensemble: each member attacks the images that those before it did not fool.

    `apgd_steps`, `fab_steps`: steps of each run; `n_targets`: classes that targeted APGD and targeted FAB try;
    `max_queries`: of Square, for one image. 100, 100, 9 and 5,000 in the paper.
    """

    method: Literal["autoattack"]
    n_images: Count
    apgd_steps: Count
    fab_steps: Count
    n_targets: Count
    max_queries: Count


class AutoattackLinf(InLinf, _Autoattack):
    """AutoAttack in an l-inf ball."""


class AutoattackL2(InL2, _Autoattack):
    """AutoAttack in an l2 ball."""


Autoattack = Annotated[AutoattackLinf | AutoattackL2, Field(discriminator="norm")]


def autoattack(settings: Autoattack, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """Adversaries of the first member that succeeded, x where none did: (N, C, H, W) (Croce & Hein 2020, section 5).

    Records which member that was.
    """
    ball, steps = settings.ball, settings.apgd_steps
    everything = torch.arange(len(x), device=x.device)
    targets = losses.runners_up(model(x, everything).detach(), model.labels, settings.n_targets)
    losses.targeted_dlr(model, targets[:, 0])  # refuses too few classes, whatever the first member achieves
    members: tuple[Callable[..., Tensor], ...] = (  # in the order of `counting_model.ENSEMBLE_MEMBERS`
        lambda model, x, targets, generators: apgd.climb(
            model, x, losses.cross_entropy(model), ball, steps, generators
        ),
        lambda model, x, targets, generators: apgd.climb_towards_targets(model, x, targets, ball, steps, generators),
        lambda model, x, targets, generators: fab.search(model, x, targets, ball.norm, settings.fab_steps, ball.eps),
        lambda model, x, targets, generators: square.search(
            model, x, ball, _FIRST_SHARE, settings.max_queries, generators
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

"""AutoAttack: the standard ensemble of Croce & Hein 2020, each part on the images that the parts before left."""

from collections.abc import Callable

import torch
from torch import Tensor

from spectroscope.attacks import apgd, fab, losses, square
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.settings_yardstick import AutoattackL2, AutoattackLinf

_FIRST_SHARE = 0.8  # of Square in the ensemble


def autoattack(
    settings: AutoattackLinf | AutoattackL2,
    predict: CountingModel,
    x: Tensor,
    labels: Tensor,
    generators: list[torch.Generator],
) -> Tensor:
    """Adversaries of the first part that succeeded, x where none did: (N, C, H, W) (Croce & Hein 2020, section 5).

    Notes which part that was.
    """
    norm, eps = settings.ball
    everything = torch.arange(len(x), device=x.device)
    targets = losses.runners_up(predict(x, everything).detach(), labels, settings.n_targets)
    losses.targeted_dlr(predict, targets[:, 0])  # refuses too few classes, whatever the first part does
    parts: tuple[Callable[..., Tensor], ...] = (  # in the order of `queries.PARTS`
        lambda part, x, targets, generators: apgd.climb(
            part, x, losses.cross_entropy(part), norm, eps, settings.apgd_steps, generators
        ),
        lambda part, x, targets, generators: apgd.towards_each(
            part, x, targets, norm, eps, settings.apgd_steps, generators
        ),
        lambda part, x, targets, generators: fab.approach(part, x, targets, norm, settings.fab_steps, eps),
        lambda part, x, targets, generators: square.search(
            part, x, norm, eps, _FIRST_SHARE, settings.max_queries, generators
        ),
    )
    reached, rows = x.clone(), everything
    for place, run in enumerate(parts):
        part = predict.only(rows)
        found = run(part, x[rows], targets[rows], [generators[row] for row in rows.tolist()])
        fooled = (part.first > 0) & (found != x[rows]).flatten(1).any(1)  # FAB leaves what is on the boundary
        reached[rows[fooled]], predict.part[rows[fooled]] = found[fooled], place
        rows = rows[~fooled]
        if not len(rows):
            break
    return reached

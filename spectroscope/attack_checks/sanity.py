"""Signs that an attack fails because gradients are masked, not because the network is robust."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from spectroscope.attack_checks.describe import Subspace
from spectroscope.attack_checks.strength import Cell, among_right
from spectroscope.attacks.band_projection import coefficients, projection, subspace_projection
from spectroscope.attacks.counting_model import evaluating, log_odds, logits_of
from spectroscope.models import inference
from spectroscope.pipeline import machine, passes
from spectroscope.statistics import estimates, intervals
from spectroscope.statistics.estimates import StatisticsSettings

NO_BLACK_BOX = "no_black_box"
CHECKS = {
    "zero_gradients": "the gradient is zero on {share:.0%} of the images: gradient attacks are blind there",
    "varies": "two passes over the same images give different logits on {share:.0%} of them: attacks need averaging",
    "probabilities": "the outputs of {share:.0%} of the images are probabilities: gradients vanish where they saturate",
}


def checks(model: nn.Module, images: Tensor, labels: Tensor) -> pd.DataFrame:
    """The checks of AutoAttack (Croce & Hein 2020, flags of their code): the share of images that fail each, one row.

    zero_gradients: the gradient of the log odds is zero in every pixel. varies: two passes differ by more than 1e-4 of
    the largest logit. probabilities: the outputs lie in [0, 1] and sum to 1, so they are no logits.
    """
    (flags,) = passes.in_passes(model, images, lambda rows: (_flags(model, images[rows], labels[rows]),))
    return pd.DataFrame([flags.mean(0).tolist()], columns=list(CHECKS))


def _flags(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Which image fails which of CHECKS: (N, checks) of 0 and 1."""
    x, y = images.detach().to(machine.device()).requires_grad_(), labels.to(machine.device())
    with evaluating(model), torch.enable_grad():
        logits = logits_of(model, x)
        (gradient,) = torch.autograd.grad(log_odds(logits, y).sum(), x)
        again = logits_of(model, x.detach())
    logits = logits.detach()
    varies = (logits - again).abs().amax(1) > 1e-4 * logits.abs().amax(1)
    probabilities = ((logits >= 0) & (logits <= 1)).all(1) & ((logits.sum(1) - 1).abs() < 1e-4)
    return torch.stack([~gradient.flatten(1).any(1), varies, probabilities], 1).float().cpu()


def relied_on(
    model: nn.Module, images: Tensor, labels: Tensor, subspaces: dict[tuple[str, str], Subspace]
) -> pd.DataFrame:
    """Mean drop of the label's probability without the coefficients that an attack may change.

    Rows entry, variant, coefficients (their number), relied. images (N, C, H, W): the first N of the set; an entry
    takes its own n_images of them, and removes of each image what it may change. Probabilities of two networks have one
    unit, which logits have not. Occluded Frequency (Wang et al. 2020, Def. 1) with the probability as the score, the
    coefficients as the component and zeros as the baseline.
    """
    rows, clean = [], _label_probability(model, images, labels)
    size = (images.shape[-2], images.shape[-1])
    for (entry, variant), (band, count, n) in subspaces.items():
        project = subspace_projection(band, count, torch.arange(n), *size) if count else projection(band, *size)
        removed = images[:n] - project(images[:n])
        drop = float((clean[:n] - _label_probability(model, removed, labels[:n])).mean())
        used = count or int(coefficients(band, *size).sum())
        rows.append({"entry": entry, "variant": variant, "coefficients": used, "relied": drop})
    return pd.DataFrame(rows, columns=["entry", "variant", "coefficients", "relied"])


def _label_probability(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return inference.logits(model, images).softmax(1).gather(1, labels[:, None])[:, 0]


def warnings(
    cells: list[Cell], flags: pd.DataFrame, transferred: pd.DataFrame, statistics: StatisticsSettings
) -> dict[str, dict[str, str]]:
    """Signs of masked gradients by run and by the check or attack that shows them; runs without a sign are left out.

    flags: rows of `checks`, with the run. At each radius the strongest white box is compared with all other attacks but
    ensembles and with perturbations transferred from other runs (rows of `transfer.transferred`): one that succeeds
    more often on the same images, by more than chance, is a sign. A sign is about these networks: its interval is over
    images alone. `no_black_box`: radii of white boxes at which nothing without gradients was tried.
    """
    signs: dict[str, dict[str, str]] = {cell.run: {} for cell in cells}
    for run, rows in flags.groupby("run", sort=False):
        shares = {name: rows[name].mean() for name in CHECKS}
        signs[run] = {name: CHECKS[name].format(share=share) for name, share in shares.items() if share > 0}
    for run in signs:
        own, rows = [cell for cell in cells if cell.run == run], transferred[transferred["run"] == run]
        unchecked = []
        for norm, radius in dict.fromkeys((cell.norm, cell.eps) for cell in own):
            if norm is not None and radius is not None:
                kinds = {cell.kind for cell in own if _fooled(cell, norm, radius) is not None}
                unchecked += [f"{norm} {radius:.4g}"] if "white box" in kinds and "black box" not in kinds else []
                signs[run] |= _stronger(own, rows, norm, radius, statistics)
        if unchecked:
            signs[run][NO_BLACK_BOX] = f"no black box at this radius: masking is not checked ({', '.join(unchecked)})"
    return {run: found for run, found in signs.items() if found}


def _stronger(
    own: list[Cell], transferred: pd.DataFrame, norm: str, radius: float, statistics: StatisticsSettings
) -> dict[str, str]:
    """A warning for each attack that fools more images of a run than its strongest white box does at this radius.

    own: the attacks on this run; transferred: rows of attacks on other runs, tried on this one.
    """
    fooled = {cell.attack: (cell.kind, hits) for cell in own if (hits := _fooled(cell, norm, radius)) is not None}
    white = {name: np.nanmean(hits) for name, (kind, hits) in fooled.items() if kind == "white box"}
    strongest = max(white, key=lambda name: white[name], default="")
    if not strongest or np.isnan(white[strongest]):
        return {}
    # An ensemble has white and black boxes: whether it does more or less than another says nothing about gradients.
    rivals = {name: hits for name, (kind, hits) in fooled.items() if kind not in ("white box", "ensemble")}
    same_ball = [cell.attack for cell in own if cell.in_ball(norm, radius)]
    rows = transferred[transferred["attack"].isin(same_ball)]
    for (attack, source), group in rows.groupby(["attack", "source"], sort=False):
        rivals[f"{attack} from {source}"] = estimates.grid(group, ["fooled"])[:, :, 0]
    clusters = max((cell.clusters for cell in own), key=len)
    stronger = {}
    for name, hits in rivals.items():
        mean, low, high = _excess(hits, fooled[strongest][1], clusters, statistics.confidence)
        if low > 0:
            stronger[name] = (
                f"{name} fools {mean:.1%} [{low:.1%}, {high:.1%}] more images "
                f"than the strongest white box, {strongest}, at {norm} {radius:.4g}: gradients may be masked"
            )
    return stronger


def _excess(hits: np.ndarray, best: np.ndarray, clusters: np.ndarray, confidence: float) -> intervals.Interval:
    """Share fooled by one attack minus that by another, on the networks and images that both were tried on.

    (seeds, images) twice, NaN where an image does not count. The networks are taken as they are: their mean stands as
    one network, so that intervals are over images alone, however few networks there are.
    """
    s, n = min(len(hits), len(best)), min(hits.shape[1], best.shape[1])
    both = np.isfinite(hits[:s, :n]) & np.isfinite(best[:s, :n])
    one, other = (
        estimates.means(np.where(both, values[:s, :n], np.nan)[:, :, None], clusters[:n]) for values in (hits, best)
    )
    there = both.any(1)
    if not there.any():
        return intervals.Interval(np.nan, np.nan, np.nan)
    paired = estimates.subtract(one, other)
    by_network, cells = (part[there].mean(0, keepdims=True) for part in (paired.by_network, paired.cells))
    ends = intervals.ends(by_network, cells, confidence)
    low, high = intervals.share_difference_ends(by_network[0], *ends, cells.shape[1], confidence)
    return intervals.Interval(float(by_network[0, 0]), float(low[0]), float(high[0]))


def _fooled(cell: Cell, norm: str, radius: float) -> np.ndarray | None:
    """Whether an attack fools each image within this radius, (seeds, images), NaN where it was not attacked.

    None where the two do not compare: the attack has another ball, or has none and the norm is not l2.
    """
    success = cell.outcomes["success"]
    if cell.norm is None and norm == "l2":
        success = success & (cell.outcomes["l2"] <= radius)
    elif not cell.in_ball(norm, radius):
        return None
    return among_right(cell.outcomes, success)[:, :, 0]

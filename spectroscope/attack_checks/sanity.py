"""What can make an attack look weak without merit of the network, and what perturbations do elsewhere."""

import pandas as pd
import torch
from torch import Tensor, nn

from spectroscope.attacks.band_projection import AttackedBand, projection
from spectroscope.attacks.counting_model import evaluating, log_odds, logits_of

AT_ONCE = 64  # images


def checks(model: nn.Module, x: Tensor, labels: Tensor) -> pd.DataFrame:
    """The checks of AutoAttack (Croce & Hein 2020, flags of their code) as shares of the images, in one row.

    zero_gradients: the gradient of the log odds is zero in every pixel. varies: two passes differ by more than 1e-4 of
    the largest logit. probabilities: the outputs lie in [0, 1] and sum to 1, so that they are no logits.
    """
    found = []
    for part, right in zip(x.split(AT_ONCE), labels.split(AT_ONCE), strict=True):
        z = part.detach().to(_device(model)).requires_grad_()
        with evaluating(model), torch.enable_grad():
            logits = logits_of(model, z)
            (gradient,) = torch.autograd.grad(log_odds(logits, right.to(z.device)).sum(), z)
            again = logits_of(model, z.detach())
        logits = logits.detach()
        different = (logits - again).abs().amax(1) > 1e-4 * logits.abs().amax(1)
        inside = ((logits >= 0) & (logits <= 1)).all(1) & ((logits.sum(1) - 1).abs() < 1e-4)
        found.append(torch.stack([~gradient.flatten(1).any(1), different, inside], 1).float().cpu())
    names = ["zero_gradients", "varies", "probabilities"]
    return pd.DataFrame([torch.cat(found).mean(0).tolist()], columns=names)


def relied_on(model: nn.Module, x: Tensor, labels: Tensor, bands: dict[tuple[str, str], AttackedBand]) -> pd.DataFrame:
    """Mean drop of the label's logit when a whole band is taken out of the images: entry, variant, relied.

    Occluded Frequency (Wang et al. 2020, Def. 1) with the band as the component and zeros as the baseline.
    """
    rows, clean = [], _logits(model, x).gather(1, labels[:, None])
    for (entry, variant), band in bands.items():
        without = x - projection(band, *x.shape[-2:])(x)
        drop = clean - _logits(model, without).gather(1, labels[:, None])
        rows.append({"entry": entry, "variant": variant, "relied": float(drop.mean())})
    return pd.DataFrame(rows, columns=["entry", "variant", "relied"])


def carried_over(
    model: nn.Module, images: Tensor, made: dict[tuple[str, str], tuple[Tensor, pd.DataFrame]], place: int
) -> pd.DataFrame:
    """Whether perturbations made on other networks fool this one: attack, source, image, label, fooled.

    made: perturbations and rows by (source, attack), of which those of the `place`-th seed are used. Counted are the
    images whose own network they fool and that this one has right; `fooled` is missing for the rest.
    """
    tables = []
    for (source, attack), (change, rows) in made.items():
        seed = rows["seed"].unique()[place]
        part = rows[rows["seed"] == seed]
        image, labels = (torch.from_numpy(part[name].to_numpy(copy=True)) for name in ("image", "label"))
        right = _logits(model, images[image]).argmax(1) == labels
        counted = torch.from_numpy(part["success"].to_numpy(copy=True)) & right
        fooled = torch.full((len(part),), torch.nan)
        if counted.any():
            adversaries = (images[image] + change[part.index.to_list()])[counted]
            fooled[counted] = (_logits(model, adversaries).argmax(1) != labels[counted]).float()
        tables.append(part[["image", "label"]].assign(attack=attack, source=source, fooled=fooled.numpy()))
    columns = ["image", "label", "attack", "source", "fooled"]
    return pd.concat(tables) if tables else pd.DataFrame(columns=columns)


@torch.no_grad()
def _logits(model: nn.Module, x: Tensor) -> Tensor:
    with evaluating(model):
        return torch.cat([logits_of(model, part.to(_device(model))).cpu() for part in x.split(AT_ONCE)])


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device

"""Every regime by name, and its hooks."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from spectroscope.frequency.passbands import band_mask
from spectroscope.pipeline.params import Settings
from spectroscope.training.hooks import TrainingHooks
from spectroscope.training.regimes import (
    adversarial,
    confined,
    filtered,
    gaussian,
    gradient_penalty,
    standard,
    swap,
    trades,
)
from spectroscope.training.regimes.pretrained import Pretrained

HOOKS: dict[type[Settings], Callable[[Any], TrainingHooks]] = {
    standard.Standard: standard.hooks,
    adversarial.AdversarialLinf: adversarial.hooks,
    adversarial.AdversarialL2: adversarial.hooks,
    confined.Confined: confined.hooks,
    trades.Trades: trades.hooks,
    gaussian.Gaussian: gaussian.hooks,
    filtered.Filtered: filtered.hooks,
    swap.Swap: swap.hooks,
    gradient_penalty.GradientPenalty: gradient_penalty.hooks,
}
TrainedRegime = (
    standard.Standard
    | adversarial.Adversarial
    | confined.Confined
    | trades.Trades
    | gaussian.Gaussian
    | filtered.Filtered
    | swap.Swap
    | gradient_penalty.GradientPenalty
)
Regime = Annotated[TrainedRegime | Pretrained, Field(discriminator="name")]


def build_hooks(
    regime: TrainedRegime, validation_attack: adversarial.Adversarial, height: int, width: int
) -> TrainingHooks:
    """The hooks of a regime for images of this size; `validation_attack` has the steps of its own attack.

    ValueError if its frequencies hold no coefficient of the images.
    """
    frequencies = getattr(regime, "frequencies", None)
    if frequencies is not None:
        try:
            band_mask(frequencies.band, height, width)
        except ValueError as error:
            raise ValueError(f"regime.frequencies: {error}") from None
    hooks = HOOKS[type(regime)](regime)
    if isinstance(regime, adversarial.AdversarialLinf | adversarial.AdversarialL2):
        return hooks._replace(own_attack=adversarial.own_attack(regime, validation_attack))
    if isinstance(regime, trades.Trades | confined.Confined):
        band = frequencies.band if frequencies else None
        return hooks._replace(own_attack=adversarial.own_attack(regime.adversary, validation_attack, band))
    return hooks

"""The parts of the training loop that a regime fills."""

from collections.abc import Callable
from typing import Any, NamedTuple

from spectroscope.frequency.passbands import band_mask
from spectroscope.pipeline.params import Settings
from spectroscope.training import regimes as kinds
from spectroscope.training import regularisers, transforms
from spectroscope.training.adversary import Adversary, adversary


class Parts(NamedTuple):
    """A transform of the images, then an adversary, then an addition to the loss; None where there is none.

    `robust`: whether the regime trains for accuracy under attack, so that its collapse is a failure.
    """

    transform: transforms.Transform | None
    adversary: Adversary | None
    regulariser: regularisers.Regulariser | None
    robust: bool


def _trades(regime: kinds.Trades) -> Parts:
    found = adversary(regime.adversary, regularisers.divergence)
    return Parts(None, None, regularisers.trades(regime.beta, found), robust=True)


def _gradient_penalty(regime: kinds.GradientPenalty) -> Parts:
    penalty = regularisers.gradient_penalty(regime.weight, regime.frequencies.band)
    return Parts(None, None, penalty, robust=False)


def _confined(regime: kinds.Confined) -> Parts:
    return Parts(None, adversary(regime.adversary, band=regime.frequencies.band), None, robust=True)


def _transformed(transform: transforms.Transform) -> Parts:
    return Parts(transform, None, None, robust=False)


PARTS: dict[type[Settings], Callable[[Any], Parts]] = {
    kinds.Standard: lambda regime: Parts(None, None, None, robust=False),
    kinds.AdversarialLinf: lambda regime: Parts(None, adversary(regime), None, robust=True),
    kinds.AdversarialL2: lambda regime: Parts(None, adversary(regime), None, robust=True),
    kinds.Confined: _confined,
    kinds.Trades: _trades,
    kinds.Gaussian: lambda regime: _transformed(transforms.gaussian(regime.std_255 / 255, regime.share)),
    kinds.Filtered: lambda regime: _transformed(transforms.filtered(regime.frequencies.band, regime.share)),
    kinds.Swap: lambda regime: _transformed(transforms.swap(regime.frequencies.band, regime.share)),
    kinds.GradientPenalty: _gradient_penalty,
}


def parts(regime: Settings, height: int, width: int) -> Parts:
    """The parts of a regime for images of this size; ValueError when its frequencies hold no coefficient of them."""
    frequencies = getattr(regime, "frequencies", None)
    if frequencies is not None:
        try:
            band_mask(frequencies.band, height, width)
        except ValueError as error:
            raise ValueError(f"regime.frequencies: {error}") from None
    return PARTS[type(regime)](regime)

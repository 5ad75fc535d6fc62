"""What can be set for the attacks that see scores or classes alone. `max_queries`: for one image."""

from typing import Annotated, Literal

from pydantic import Field

from spectroscope.attacks.sizes import Count, InL2, InLinf, Sizes, Step, StepsInL2, StepsInLinf, Target
from spectroscope.frequency.balls import Ball
from spectroscope.pipeline.params import Settings

Pairs = Annotated[int, Field(ge=2, multiple_of=2)]
Share = Annotated[float, Field(ge=0, lt=1)]


class _Nes(Settings):
    """Steps along a gradient estimated from `samples` probes, `radius` their standard deviation (Ilyas et al. 2018)."""

    method: Literal["nes"]
    n_images: Count
    target: Target
    samples: Pairs
    radius: Step
    momentum: Share
    max_queries: Count


class NesLinf(StepsInLinf, _Nes):
    """NES in an l-inf ball."""


class NesL2(StepsInL2, _Nes):
    """NES in an l2 ball."""


class _Spsa(Settings):
    """Adam along a gradient estimated from `samples` probes, `radius` away in every pixel (Uesato et al. 2018).

    The step is Adam's: the size of a move of a single pixel, in the l2 norm too.
    """

    method: Literal["spsa"]
    n_images: Count
    target: Target
    samples: Pairs
    radius: Step
    max_queries: Count


class SpsaLinf(StepsInLinf, _Spsa):
    """SPSA in an l-inf ball."""


class SpsaL2(StepsInL2, _Spsa):
    """SPSA in an l2 ball."""


class _HopSkipJump(Settings):
    """Walk along the decision boundary, its gradient from `initial_probes` probes at first (Chen et al. 2020).

    The radius: an image that is inside it is done, and what is found outside is drawn back onto it; null for the
    smallest change that the queries can buy. Untargeted: a target would need an image of its class to start from.
    """

    method: Literal["hop_skip_jump"]
    n_images: Count
    initial_probes: Count
    max_queries: Count


class HopSkipJumpLinf(InLinf, _HopSkipJump):
    """HopSkipJump with distances in l-inf."""

    eps_255: Sizes | None

    @property
    def ball(self) -> Ball | None:
        return None if self.eps_255 is None else Ball("linf", self.eps_255 / 255)


class HopSkipJumpL2(InL2, _HopSkipJump):
    """HopSkipJump with distances in l2."""

    eps: Sizes | None

    @property
    def ball(self) -> Ball | None:
        return None if self.eps is None else Ball("l2", self.eps)


Nes = Annotated[NesLinf | NesL2, Field(discriminator="norm")]
Spsa = Annotated[SpsaLinf | SpsaL2, Field(discriminator="norm")]
HopSkipJump = Annotated[HopSkipJumpLinf | HopSkipJumpL2, Field(discriminator="norm")]

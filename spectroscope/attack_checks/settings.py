"""Settings of the checks of attacks."""

from spectroscope.pipeline.params import Settings


class AttackChecksSettings(Settings):
    """`transfer`: entries of `attacks` whose perturbations are tried on the other runs."""

    transfer: list[str]

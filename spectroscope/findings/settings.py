"""Settings of the findings."""

from spectroscope.pipeline.params import Settings


class FindingsSettings(Settings):
    """`reference`: the run that every other run is compared with."""

    reference: str

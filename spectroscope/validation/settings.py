"""Settings of the checks of attribution methods."""

from spectroscope.pipeline.params import Settings
from spectroscope.validation.faithfulness import FaithfulnessSettings
from spectroscope.validation.multiverse import MultiverseSettings
from spectroscope.validation.sanity import SanitySettings


class ValidationSettings(Settings):
    """Checks of the attribution methods; null leaves one out."""

    faithfulness: FaithfulnessSettings | None
    sanity: SanitySettings | None
    multiverse: MultiverseSettings | None

"""Settings of attribution name the key that makes no sense."""

from pathlib import Path

import pytest

from spectroscope.attribution.settings import AttributionSettings
from spectroscope.pipeline.params import read, validate


def test_octaves_have_no_other_number_of_bands():
    values = read(Path(__file__).parents[2] / "studies" / "smoke.yaml")["attribution"]
    octaves = values | {"compared": values["compared"] | {"shape": "octave", "bands": None}}
    assert validate(octaves, AttributionSettings, "attribution").compared.bands is None
    octaves["compared"]["bands"] = 8
    with pytest.raises(ValueError, match=r"attribution\.compared: expected bands null for octave.*got 8"):
        validate(octaves, AttributionSettings, "attribution")


@pytest.mark.parametrize(
    "fault", [{"hf_from": 1.0}, {"n_images": 0}, {"basis": "dwt"}, {"seed": -1}, {"bands": 1}, {"extra": 1}]
)
def test_settings_that_make_no_sense_name_their_key(fault):
    values = read(Path(__file__).parents[2] / "studies" / "smoke.yaml")["attribution"]
    validate(values, AttributionSettings, "attribution")
    with pytest.raises(ValueError, match=rf"attribution\.{next(iter(fault))}: "):
        validate(values | fault, AttributionSettings, "attribution")

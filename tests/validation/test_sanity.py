"""Sanity: attributions of networks with shuffled weights, beside those with other draws."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from validation_cases import CLUSTERS, SETTINGS, STATISTICS, make_task, network

from spectroscope.attribution.registry import attribute
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.pipeline import params
from spectroscope.validation import tables
from spectroscope.validation.sanity import SanitySettings, repeated_attributions


def test_a_model_without_weights_cannot_be_shuffled():
    methods = params.validate(SETTINGS, AttributionSettings, "attribution").methods
    task = replace(make_task(), model=lambda x: x.flatten(1))
    with pytest.raises(ValueError, match="expected a torch module, whose weights can be shuffled, got function"):
        repeated_attributions(task, methods, SanitySettings(n_images=2, shares=[1.0]))


def repeated(**methods) -> pd.DataFrame:
    chosen = params.validate(SETTINGS | {"methods": methods}, AttributionSettings, "attribution").methods
    found = repeated_attributions(make_task(), chosen, SanitySettings(n_images=4, shares=[1.0]))
    return found.assign(seed=0)


DRAWS = {"method": "occluded", "baseline": "other", "channels": "each", "clip": False}
NO_DRAWS = DRAWS | {"baseline": "zero"}


def test_weights_are_shuffled_on_the_images_and_draws_of_the_network_as_it_is():
    found = repeated(draws=DRAWS)
    task = make_task()
    few = replace(task, images=task.images[:4], labels=task.labels[:4])
    settings = params.validate(SETTINGS | {"methods": {"it": DRAWS}}, AttributionSettings, "attribution").methods["it"]
    before = found[found["shuffled"] == "before"][[f"band_{k}" for k in range(task.n_bands)]]
    np.testing.assert_allclose(before, attribute(few, settings).values)
    assert not np.allclose(before, attribute(task, settings).values[:4])  # the draws depend on the number of images


def test_a_network_that_shuffling_leaves_alone_keeps_its_values():
    alike = network()
    for weight in alike.parameters():  # the same in any order
        weight.fill_(0.01)
    chosen = params.validate(SETTINGS | {"methods": {"it": DRAWS}}, AttributionSettings, "attribution").methods
    found = repeated_attributions(replace(make_task(), model=alike), chosen, SanitySettings(n_images=4, shares=[1.0]))
    of_kind = {kind: rows["band_0"].to_numpy() for kind, rows in found.groupby("shuffled")}
    np.testing.assert_array_equal(of_kind["before"], of_kind["weights"])
    assert not np.allclose(of_kind["before"], of_kind["nothing"], rtol=1e-6)  # other draws


def test_with_nothing_shuffled_a_method_agrees_with_itself_as_far_as_its_draws_do():
    found = repeated(fixed=NO_DRAWS, draws=DRAWS)
    before = found[found["shuffled"] == "before"]
    table = tables.sanity("it", before, found[found["shuffled"] != "before"], CLUSTERS, STATISTICS)
    rho = table.set_index(["method", "shuffled"])["mean"]
    assert rho["fixed", "nothing"] == 1
    assert rho["draws", "nothing"] < 0.99
    assert rho["fixed", "weights"] < 0.9

"""All methods of one network and all checks of them, whole and interrupted."""

import numpy as np
import pytest
import torch
from validation_cases import BANDS, CHECKS, CLASSES, SETTINGS, SHAPE, N, network

from spectroscope.attribution import compare
from spectroscope.attribution.occlusion import occluded_frequency
from spectroscope.attribution.registry import attribute
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.attribution.tables import stacked
from spectroscope.frequency.partitions import partition
from spectroscope.pipeline import checkpoint, io, params
from spectroscope.validation import faithfulness
from spectroscope.validation.checks import ValidationSettings
from spectroscope.validation.checks import tables as of_checks


@pytest.fixture
def pictures() -> io.Images:
    pixels = torch.rand(N, *SHAPE, generator=torch.Generator().manual_seed(0))
    return io.Images(pixels, torch.arange(N) % CLASSES, ("a", "b", "c"))


def tables(pictures, checks: dict, seed: int, store: checkpoint.Store) -> dict:
    """Every table of one network, as the stage `attribution` collects them."""
    settings = params.validate(SETTINGS, AttributionSettings, "attribution")
    task = compare.task_of(network().float(), pictures, settings, seed)
    attributions = compare.attribute_all(task, settings.methods, store)
    checks = params.validate(checks, ValidationSettings, "validation")
    found = [compare.tables(task, attributions, settings), of_checks(task, attributions, settings, checks)]
    return stacked(found)


def test_one_network_gives_every_table(pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with checkpoint.open_store("attribute", it=1) as store:
        found = tables(pictures, CHECKS, 3, store)
    assert set(found) == {
        "values",
        "bands",
        "maps",
        "curves",
        "interventions",
        "sanity",
        "multiverse",
        "multiverse_bands",
    }
    assert all((table["seed"] == 3).all() and len(table) for table in found.values())
    values = found["values"]
    assert len(values) == 3 * N and values["label"].tolist()[:N] == pictures.labels.tolist()
    of = occluded_frequency(network().float(), pictures.pixels, pictures.labels, partition(7, 10, "linf", BANDS, "dct"))
    occluded = values[values["method"] == "occluded"].sort_values("image")[[f"band_{k}" for k in range(BANDS)]]
    np.testing.assert_allclose(occluded, of, rtol=0, atol=1e-4)
    right = network().float()(pictures.pixels).argmax(1) == pictures.labels
    assert values[values["method"] == "waves"].sort_values("image")["right"].tolist() == right.tolist()
    assert set(found["maps"]["method"]) == {"integrated", "waves"}
    assert len(found["sanity"]) == 3 * 3 * (2 + 2)  # before, nothing, and two shares of the layers
    assert set(found["curves"].query("unit == 'coefficient'")["order"]) == {"integrated", *faithfulness.TRIVIAL}
    bands = found["multiverse_bands"]
    assert not bands.duplicated(["basis", "shape", "band"]).any() and len(found["bands"]) == BANDS
    assert set(zip(bands["basis"], bands["shape"], strict=True)) == {
        (basis, shape) for basis in ("dct", "dft") for shape in ("linf", "octave", "equal_energy")
    }


def test_a_killed_network_goes_on_with_the_next_method(pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checks = CHECKS | {"sanity": None, "multiverse": None}
    done = []

    def counted(task, method):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(method.method)
        return attribute(task, method)

    monkeypatch.setattr(compare, "attribute", counted)
    with pytest.raises(KeyboardInterrupt), checkpoint.open_store("attribute", it=1) as store:
        tables(pictures, checks, 0, store)
    monkeypatch.setattr(
        compare, "attribute", lambda task, method: done.append(method.method) or attribute(task, method)
    )
    with checkpoint.open_store("attribute", it=1) as store:
        resumed = tables(pictures, checks, 0, store)
    assert done == ["occluded", "integrated_gradients", "heat_map"]
    with checkpoint.open_store("attribute", it=2) as store:
        whole = tables(pictures, checks, 0, store)
    for name, table in whole.items():
        assert table.equals(resumed[name]), name
    assert whole["sanity"].empty and whole["multiverse"].empty

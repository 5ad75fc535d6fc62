"""The batch size of a profile: halved when memory runs out, bounded by it on a CPU, and without effect on results."""

import held_wrong as wrong
import torch
from torch import nn

from spectroscope.profile import batches, measure, plan, preflight
from spectroscope.profile.batches import bounded
from spectroscope.profile.images import Chosen
from spectroscope.profile.network import Network, Options


def test_the_bound_is_half_of_the_available_memory_by_the_outputs_of_the_layers(monkeypatch):
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 4))
    each = 4 * (3 * 8 * 64 + 4)  # bytes
    for available, expected in ((20 * each, 10), (each, 1), (10**12, 64), (None, 64)):
        monkeypatch.setattr(batches, "available_memory", lambda available=available: available)
        assert bounded(model, torch.rand(2, 3, 8, 8)).images == expected
    assert bounded(model[:3], torch.rand(2, 3, 80, 80)).images == batches.LARGE


def test_a_container_limits_the_memory_of_its_machine(tmp_path, monkeypatch):
    for name, text in (("MEMORY", "MemTotal: 9 kB\nMemAvailable: 8 kB\n"), ("LIMIT", "max\n"), ("TAKEN", "1000\n")):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(batches, name, tmp_path / name)
    assert batches.available_memory() == 8192
    (tmp_path / "LIMIT").write_text("3000\n")
    assert batches.available_memory() == 2000
    monkeypatch.setattr(batches, "MEMORY", tmp_path / "absent")
    assert batches.available_memory() is None


class Small(wrong.Quadrants):
    """Runs out of memory beyond five images at once."""

    def forward(self, x):
        if len(x) > 5:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return super().forward(x)


def test_a_profile_in_little_memory_has_the_same_numbers():
    found = []
    for module in (wrong.Quadrants(), Small()):
        network = Network("net", "function", lambda *_, module=module: module)
        x, y = wrong.images()
        chosen = Chosen("made", "array of pixels", None, x, y, tuple("abcd"), len(x))
        ready = preflight.prepare(network, chosen, Options(None, None, None, None, None), 60.0)
        given = (ready, plan.planned(ready.pixels.shape, 1e-5, 1e-5, 4), 60.0, lambda _: None)
        tables = measure.reliance(*given) | {
            "attacks": measure.attacks(*given),
            "heat_map": measure.heat_map(*given)[1],
        }
        found.append(tables)
        assert ready.model.batch.images == (64 if len(found) == 1 else 4)
    for name, table in found[0].items():
        values = table.select_dtypes("number")
        torch.testing.assert_close(
            *(torch.tensor(t.to_numpy()) for t in (values, found[1][name][values.columns])),
            equal_nan=True,
            rtol=1e-4,
            atol=1e-5,
        )

"""The batch size of a profile: halved when memory runs out, and without effect on results."""

import held_wrong as wrong
import torch

from spectroscope.profile import measure, plan, preflight
from spectroscope.profile.images import Chosen
from spectroscope.profile.network import Network, Options


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

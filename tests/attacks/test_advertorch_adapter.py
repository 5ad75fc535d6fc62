"""advertorch imports beside torchvision in either order, and only when an attack asks for it."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("first", ["torchvision", "advertorch"])
def test_advertorch_and_torchvision_import_in_both_orders_in_a_fresh_process(first):
    steps = {
        "torchvision": "import torchvision",
        "advertorch": "from spectroscope.attacks import advertorch_adapter as a; a.attacks().CarliniWagnerL2Attack",
    }
    before = [
        "import sys, spectroscope.attacks.runner",
        "assert not {'advertorch', 'torchvision'} & set(sys.modules)",
    ]
    after = "assert not hasattr(sys.modules['torch.autograd.gradcheck'], 'zero_gradients')"
    code = "\n".join([*before, *sorted(steps.values(), key=lambda step: step != steps[first]), after])
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

"""advertorch 0.2.3 made importable with today's torch.

Its import costs seconds (it brings torchvision), so it happens when an attack asks for it. Its answers are not trusted:
`batch.attack_batch` checks bounds and success with forward passes of its own.
"""

import importlib
import sys
from types import ModuleType


def attacks() -> ModuleType:
    """The module `advertorch.attacks`.

    It imports `zero_gradients`, which torch lacks since 1.9, and calls it in its FAB alone, which is not used here.
    `torch.autograd.gradcheck` is the name of a function too, hence `sys.modules`.
    """
    gradcheck = sys.modules["torch.autograd.gradcheck"]
    gradcheck.__dict__["zero_gradients"] = None
    try:
        return importlib.import_module("advertorch.attacks")
    finally:
        del gradcheck.__dict__["zero_gradients"]

"""Networks from elsewhere: a library's by name, a function's, weights in a file, an exported program, an ONNX file.

`read` translates each of them into a `Network`: how to make a module from normalised pixels to outputs, and what is
known of the images it wants. No code of a checkpoint is run, and nothing is downloaded unless the name says so. A
function that is named is run: it is code of the user's own.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch import nn

from spectroscope.profile import programs, weights
from spectroscope.profile.libraries import LIBRARIES
from spectroscope.profile.network import Network, Options, Shape

FILES: dict[str, Callable[[str, Options], Network]] = {
    ".onnx": programs.of_onnx,
    ".pt2": programs.of_export,
    **dict.fromkeys((".safetensors", ".pt", ".pth", ".th", ".bin", ".ckpt", ".model", ".tar"), weights.of_weights),
}
KNOWN = (
    "timm:NAME[@file], torchvision:NAME[@file], hf:FOLDER, file.py:function, module:function, or a file ending in "
    f"{', '.join(FILES)}"
)


def read(spec: str, options: Options) -> Network:
    """The network that `spec` names; ValueError in one sentence for one that does not exist or cannot be read."""
    if "" not in sys.path:  # an installed command does not look for modules in the current folder, `python -m` does
        sys.path.insert(0, "")
    scheme, _, rest = spec.partition(":")
    suffix = Path(spec).suffix
    if scheme in LIBRARIES and rest:
        network = LIBRARIES[scheme](rest, options)
    elif suffix in FILES and ":" not in Path(spec).name:
        if not Path(spec).is_file():
            raise ValueError(f"{spec}: expected a file, found none in {Path.cwd()}")
        network = FILES[suffix](spec, options)
    elif ":" in spec:
        network = programs.of_function(spec, KNOWN)
    else:
        raise ValueError(f"{spec}: expected {KNOWN}, got none of them")
    if network.kind != "function":
        network = replace(network, make=_evaluating(network.make))
    if options.size is not None:
        network = replace(network, size=(options.size, options.size), crop=1.0)
    if options.classes is not None:
        network = replace(network, classes=options.classes)
    if options.mean is not None or options.std is not None:
        if options.mean is None or options.std is None or len(options.mean) != len(options.std):
            raise ValueError("expected --mean and --std together, with as many numbers each")
        network = replace(network, mean=options.mean, std=options.std, normalisation="--mean and --std")
    return network


def _evaluating(make: Callable[[Shape, int], nn.Module]) -> Callable[[Shape, int], nn.Module]:
    """What is made here is made for inference; a function's network keeps the mode it comes in, which is checked."""

    def made(shape: Shape, n_classes: int) -> nn.Module:
        model = make(shape, n_classes)
        for part in model.modules():
            part.training = False  # an exported program refuses .eval()
        return model

    return made

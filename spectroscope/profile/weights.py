"""Files of tensors: where the weights lie in them, and of what architecture they are."""

import warnings
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from spectroscope.models import architectures, loading
from spectroscope.profile.network import Network, Options, Shape

ENTRIES = (None, "state_dict", "model_state_dict", "model", "net", "weights")  # where checkpoints keep their weights
SIGNS = {"madry": "attacker.", "own": "0.mean"}  # names in a file that tell its naming scheme


def of_weights(spec: str, options: Options) -> Network:
    """Tensors in a file, and the architecture that they are weights of."""
    path = Path(spec)
    tensors = read_tensors(path, options.entry)
    name = options.architecture
    if name is None:
        known = ", ".join(architectures.ARCHITECTURES)
        raise ValueError(
            f"{spec}: expected --architecture, since a file of weights does not say what it is: one of {known}, or "
            "module:function; got none"
        )
    architectures.architecture(name)  # an unknown one is refused before anything else
    first = next((tensor for tensor in tensors.values() if tensor.ndim == 4), None)
    if first is None:
        raise ValueError(f"{spec}: expected the weights of a network of images, got no convolution among them")
    side = architectures.FIXED_SIDES.get(name)
    keys = next((key for key, sign in SIGNS.items() if any(sign in tensor for tensor in tensors)), "plain")
    inside = keys != "plain"
    run = {"model": name, "weights": [str(path.absolute())], "entry": _entry(path, options.entry), "keys": keys}
    return Network(
        path.name.split(".")[0], f"{name}, weights of {path.name}", partial(_filled, path, name, keys, options.entry),
        first.shape[1], (side, side) if side else None, normalisation="the file of weights" if inside else None,
        run=run,
    )  # fmt: skip


def _filled(path: Path, name: str, keys: str, entry: str | None, shape: Shape, _: int) -> nn.Module:
    """The architecture with the weights of a file; the number of classes is that of the file."""
    entry = _entry(path, entry)
    heads = [len(tensor) for tensor in reversed(loading.tensors_of(path, entry).values()) if tensor.ndim in (2, 4)]
    faults = []
    for n_classes in dict.fromkeys(heads):
        model = architectures.build(name, shape, n_classes)
        try:
            loading.load_weights(model, path, entry, keys)
        except ValueError as error:
            faults.append(error)
        else:
            return model
    raise faults[0]


def _entry(path: Path, entry: str | None) -> str | None:
    """Where the weights lie in a checkpoint: as said, or the first of ENTRIES that holds tensors alone."""
    if entry is not None or path.suffix == ".safetensors":
        return entry
    faults = []
    for name in ENTRIES:
        try:
            with warnings.catch_warnings(action="ignore"):  # about other versions of pickle
                loading.tensors_of(path, name)
        except ValueError as error:
            faults.append(error)
        else:
            return name
    if "Weights only" in str(faults[0]):  # torch goes on to advise loading it with its code
        raise ValueError(f"{path}: expected tensors that load without running code, got other objects, maybe code")
    raise faults[0]


def read_tensors(path: Path, entry: str | None) -> dict[str, Tensor]:
    """Tensors by name, without the wrappers that all names may begin with."""
    tensors = loading.tensors_of(path, _entry(path, entry))
    for wrapper in loading.WRAPPERS:
        if tensors and all(name.startswith(wrapper) for name in tensors):
            tensors = {name.removeprefix(wrapper): value for name, value in tensors.items()}
    if not tensors:
        raise ValueError(f"{path}: expected tensors, got an empty file")
    return tensors

"""Trained networks, read from a run's folder, frozen for inference, and their predictions."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from spectroscope.models.architectures import ARCHITECTURES, build
from spectroscope.pipeline import io, machine, passes


def freeze(model: nn.Module) -> nn.Module:
    """A copy for inference: evaluation mode, no gradients of weights, BatchNorm folded into convolutions.

    Folds a BatchNorm that is the only consumer of a convolution; others, as in pre-activation networks, stay.
    """
    graph = fx.symbolic_trace(copy.deepcopy(model).eval())
    layers = dict(graph.named_modules())
    calls = Counter(node.target for node in graph.graph.nodes)
    for node in graph.graph.nodes:
        if not isinstance(layers.get(node.target), nn.BatchNorm2d):
            continue
        (before,) = node.args
        # a convolution that is called twice, or whose output goes elsewhere too, must keep its own weights
        if isinstance(layers.get(before.target), nn.Conv2d) and len(before.users) == calls[before.target] == 1:
            folded = fuse_conv_bn_eval(layers[before.target], layers[node.target])
            graph.set_submodule(before.target, folded)
            node.replace_all_uses_with(before)
            graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return _for_inference(graph)


def _for_inference(model: nn.Module) -> nn.Module:
    model.eval().requires_grad_(False)
    order = getattr(model, "memory_format", torch.channels_last)
    return model.to(memory_format=order)  # type: ignore[call-overload]  # missing in torch's signature


def restore_all(
    folder: Path, name: str, shape: tuple[int, ...], n_classes: int, fold: bool = True
) -> Iterator[tuple[int, nn.Module]]:
    """Seed and frozen network, on this machine's device, of each `seed<number>.safetensors` in a run's folder.

    name, shape, n_classes: as in `build`. fold: false keeps every module as it was written, BatchNorm and blocks too,
    for what looks into a network; its logits are the same but for rounding. ValueError for a folder without such files,
    and for weights that do not fit.
    """
    files = sorted(folder.glob("seed*.safetensors"), key=lambda file: int(file.stem.removeprefix("seed")))
    if not files:
        raise ValueError(f"{folder}: expected seed<number>.safetensors, found none")
    for file in files:
        model = io.read_weights(file, build(name, shape, n_classes))
        # freeze traces one path through the code, and a network of the user's own may have several
        frozen = freeze(model) if fold and name in ARCHITECTURES else _for_inference(model)
        yield int(file.stem.removeprefix("seed")), frozen.to(machine.device())


@torch.no_grad()
def logits(model: Callable[[Tensor], Tensor], pixels: Tensor) -> Tensor:
    """Logits in batches on this machine's device, where the model must be: (N, C, H, W) -> (N, K) on the CPU.

    ValueError for logits that are not finite: the largest of them would be the first class.
    """
    (found,) = passes.in_passes(model, pixels, lambda rows: (model(pixels[rows].to(machine.device())).cpu(),))
    if not found.isfinite().all():
        n = int((~found.isfinite()).any(1).sum())
        raise ValueError(f"expected finite logits, got NaN or infinity for {n} of {len(found)} images")
    return found


def predict(model: Callable[[Tensor], Tensor], pixels: Tensor) -> Tensor:
    """Class of the largest logit: (N, C, H, W) -> (N,) on the CPU."""
    return logits(model, pixels).argmax(1)

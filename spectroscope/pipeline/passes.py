"""Images in one pass of a network outside of training: a first number by the memory, halved where it does not fit."""

import math
import os
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from spectroscope.pipeline import memory, processes, resources

BATCH_SIZE = "SPECTROSCOPE_BATCH_SIZE"  # environment variable: the first number
SMALL_SIDE = 64  # pixels
MOST_SMALL, MOST_LARGE = 64, 16  # images of up to SMALL_SIDE pixels a side, and larger ones, in one pass on a CPU
KEPT, KEPT_GPU = 64, 1024  # images of a batch that is kept for a restart
USED = 0.5  # of the free memory: the rest is for weights, for what a layer needs while it computes, for other processes
COPIES = 16  # of an image that an attack or a loop over bands may keep beside the outputs of layers
MOST_NUMBERS = 2**31 - 1  # in one tensor: some kernels of a GPU count with 32 bits

Network = Callable[[Tensor], Tensor]


def forward_batch_size(network: Network, images: Tensor) -> int:
    """Images in the first pass of the network; `memory.halving` halves what does not fit all the same.

    What the environment's BATCH_SIZE says. Else the largest power of two for which the outputs of all layers, which a
    gradient keeps, fit in half of the free memory, on a GPU in one tensor each too. They are counted in a pass of the
    first of the images (N, C, H, W); of a network whose layers cannot be seen, COPIES of the image alone count. A power
    of two, since results round by the number, and free memory varies.

    On a CPU at most 64 images, 16 of more than 64 pixels a side, which fit its cache; processes share its memory. Time
    for an image on one core: 1.15 times that with 256 and twice with 1,024 in place of 64 (ResNet-8, 32 pixels), 1.2
    times with 64 in place of 16 (ResNet-18, 224 pixels).

    ValueError when BATCH_SIZE is set to something else than a number.
    """
    if (given := _given()) is not None:
        return given
    device = _device_of(network, images)
    outputs = _outputs(network, images[:1].to(device, copy=True))  # a network may change its input in place
    each = sum(map(_bytes, outputs)) + COPIES * _bytes(images[:1])
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by torch, for later tensors
        free = torch.cuda.mem_get_info(device)[0] + cached
        most = MOST_NUMBERS // max(1, *(tensor.numel() for tensor in (images[:1], *outputs)))
    else:
        free = resources.free_memory() // processes.world_size()
        most = MOST_SMALL if max(images.shape[-2:]) <= SMALL_SIDE else MOST_LARGE
    fit = max(1, min(most, int(USED * free / max(1, each))))
    return 2 ** int(math.log2(fit))


def kept_batch_size(network: Network, images: Tensor) -> int:
    """Images in a batch that is kept for a restart; the passes within it begin with `forward_batch_size`.

    What the environment's BATCH_SIZE says, else KEPT on a CPU and KEPT_GPU on a GPU: the same whatever memory is free,
    or a restart would cut other batches and find none of those that are there.
    """
    return _given() or (KEPT_GPU if _device_of(network, images).type == "cuda" else KEPT)


def in_passes(network: Network, images: Tensor, compute: Callable[[slice], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """`compute(rows)` for all images (N, C, H, W), as many at once as memory holds: its tensors, joined by image.

    compute: passes the images `rows` through the network; no image's numbers depend on those beside it.
    """

    def joined(size: int) -> tuple[Tensor, ...]:
        parts = [compute(slice(start, start + size)) for start in range(0, max(1, len(images)), size)]
        return tuple(torch.cat(each) for each in zip(*parts, strict=True))

    return memory.halving(joined, forward_batch_size(network, images))


def _given() -> int | None:
    """What the environment's BATCH_SIZE says; ValueError for something else than a number."""
    text = os.environ.get(BATCH_SIZE, "")
    if text and (not text.isdecimal() or int(text) < 1):
        raise ValueError(f"{BATCH_SIZE}: expected a number of images >= 1, got {text!r}")
    return int(text) if text else None


def _device_of(network: Network, images: Tensor) -> torch.device:
    """That of the network's weights; that of the images where it has none."""
    tensors = chain(network.parameters(), network.buffers()) if isinstance(network, nn.Module) else ()
    return next((tensor.device for tensor in tensors), images.device)


@torch.no_grad()
def _outputs(network: Network, image: Tensor) -> list[Tensor]:
    """The tensors that the modules of a network give for an image (1, C, H, W), each memory once."""
    found: dict[int, Tensor] = {}  # kept until the end, so that no memory is used twice

    def note(_module: nn.Module, _given: Any, output: Any) -> None:
        for tensor in _tensors(output):
            found.setdefault(tensor.untyped_storage().data_ptr(), tensor)

    parts = list(network.modules()) if isinstance(network, nn.Module) else []
    modes, hooks = [part.training for part in parts], [part.register_forward_hook(note) for part in parts]
    try:
        for part in parts:
            part.training = False  # a batch norm would refuse one image, or learn from it
        if parts:
            network(image)
    finally:
        for part, mode, hook in zip(parts, modes, hooks, strict=True):
            part.training = mode
            hook.remove()
    return list(found.values())


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, (tuple, list)):
        for part in output:
            yield from _tensors(part)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()

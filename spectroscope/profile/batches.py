"""Images in one pass of a network of a profile: a bound by the memory of a CPU; `pipeline.memory` then tries."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spectroscope.pipeline.memory import BatchSize

SMALL, LARGE = 64, 16  # images in one pass: of up to 64 pixels a side, which fit a CPU's cache; of larger ones
USED = 0.5  # of the available memory: other processes and the images themselves need some
MEMORY = Path("/proc/meminfo")
LIMIT, TAKEN = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")  # of a container


@torch.no_grad()
def bounded(network: nn.Module, images: Tensor) -> BatchSize:
    """The usual number for images (N, C, H, W) like these few, or as many as the available memory of a CPU holds.

    Counted are the outputs of all layers, which a gradient keeps, of one forward pass; a network whose layers cannot be
    seen, and a machine that does not tell its memory, set no bound.
    """
    usual = SMALL if max(images.shape[-2:]) <= 64 else LARGE
    sizes: list[int] = []

    def count(_module: nn.Module, _given: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel() * output.element_size())

    hooks = [part.register_forward_hook(count) for part in network.modules() if not list(part.children())]
    try:
        network(images.clone())  # it may change them in place
    finally:
        for hook in hooks:
            hook.remove()
    available = available_memory()
    if not sum(sizes) or available is None:
        return BatchSize(usual)
    return BatchSize(max(1, min(usual, int(USED * available * len(images) / sum(sizes)))))


def available_memory() -> int | None:
    """Bytes that this process may still take, on Linux: those of the machine or of its container; None elsewhere."""
    if not MEMORY.exists():
        return None
    lines = dict(line.split(":", 1) for line in MEMORY.read_text().splitlines())
    found = int(lines["MemAvailable"].split()[0]) * 1024
    if LIMIT.exists() and (limit := LIMIT.read_text().strip()).isdecimal():
        found = min(found, max(0, int(limit) - int(TAKEN.read_text())))
    return found

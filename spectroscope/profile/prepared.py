"""A network as everything else takes it: pixels in [0, 1] to logits, whatever it wants and returns itself."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spectroscope.pipeline import passes
from spectroscope.pipeline.memory import BatchSize, within_memory


class Prepared(nn.Module):
    """Pixels (N, C, H, W) in [0, 1] -> logits (N, K). bgr: blue comes first; log: outputs are probabilities."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], bgr: bool, log: bool = False
    ) -> None:
        super().__init__()
        self.network, self.bgr, self.log = network, bgr, log
        self.batch = BatchSize(passes.MOST_LARGE)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    @property
    def device(self) -> torch.device:
        return self.mean.device

    def forward(self, x: Tensor) -> Tensor:
        x = ((x.flip(1) if self.bgr else x) - self.mean) / self.std  # a new tensor: the network may change it in place
        logits = vector(self.network(x))[0]
        return logits.clamp_min(torch.finfo(logits.dtype).tiny).log() if self.log else logits


@torch.no_grad()
def in_batches(model: Prepared, pixels: Tensor) -> Tensor:
    """Logits (N, K) on the CPU."""
    return within_memory(
        lambda size: torch.cat([model(part.to(model.device)).float().cpu() for part in pixels.split(size)]), model.batch
    )


def vector(output: Any) -> tuple[Tensor, str | None]:
    """The logits (N, K) in what a network returns, and the field they are in; ValueError where there are none."""
    if isinstance(output, Tensor):
        flat = output.flatten(1) if output.ndim == 4 and output.shape[2:] == (1, 1) else output
        if flat.ndim == 2 and flat.shape[1] >= 2:
            return flat, None
        raise ValueError(
            f"expected a network that returns a vector of two or more classes for each image, got {tuple(output.shape)}"
        )
    if isinstance(output, Mapping):
        fields: list[tuple[str, Any]] = list(output.items())
    elif isinstance(output, tuple | list):
        fields = [(str(place), value) for place, value in enumerate(output)]
    else:
        fields = list(vars(output).items()) if hasattr(output, "__dict__") else []
    fields.sort(key=lambda pair: pair[0] not in ("logits", "output", "pred", "preds"))
    for name, value in fields:
        if isinstance(value, Tensor) and value.ndim == 2 and value.shape[1] >= 2:
            return value, name
    raise ValueError(
        f"expected a network that returns a vector of two or more classes for each image, got {type(output).__name__} "
        f"with {', '.join(name for name, _ in fields) or 'nothing'}"
    )

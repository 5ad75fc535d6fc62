"""BatchNorm over the images of all processes, as if one process had the whole batch.

torch's own SyncBatchNorm refuses a CPU and cannot be differentiated twice, which a penalty on gradients needs.
"""

import torch
from torch import Tensor, nn

from spectroscope.pipeline import processes


class Synchronised(nn.BatchNorm2d):
    """Mean and variance (Ioffe & Szegedy 2015, Algorithm 1) over the batches of all processes, in training mode."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or processes.world_size() == 1:
            return super().forward(x)
        wide = x.float()
        n = processes.AllReduceSum.apply(x.new_tensor(x.numel() / x.shape[1], dtype=torch.float32))
        mean = processes.AllReduceSum.apply(wide.sum((0, 2, 3))) / n  # (C,)
        centred = wide - mean[:, None, None]
        variance = processes.AllReduceSum.apply(centred.square().sum((0, 2, 3))) / n  # (C,)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


def synchronise(model: nn.Module) -> None:
    """Let every BatchNorm of the model take its statistics over all processes; its weights stay where they are."""
    for layer in model.modules():
        if type(layer) is nn.BatchNorm2d:
            layer.__class__ = Synchronised

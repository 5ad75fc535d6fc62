"""One training in several processes: each takes its share of every batch; gradients and BatchNorm see the whole batch.

torch's DistributedDataParallel excludes `autograd.grad`, which adversaries and gradient penalties need. torch's
SyncBatchNorm refuses a CPU and cannot be differentiated twice, which gradient penalties need.
"""

import torch
from torch import Tensor, nn

from spectroscope.pipeline import processes


def all_reduce_gradients(loss: Tensor, model: nn.Module) -> None:
    """Replace the loss and the gradients of the weights by their sums over all processes."""
    processes.all_reduce_([loss, *(weight.grad for weight in model.parameters() if weight.grad is not None)])


def synchronise_batch_norm(model: nn.Module) -> None:
    """Make every BatchNorm2d of the model, in place, take its statistics over the batches of all processes."""
    for layer in model.modules():
        if type(layer) is nn.BatchNorm2d:
            layer.__class__ = SynchronisedBatchNorm


class SynchronisedBatchNorm(nn.BatchNorm2d):
    """BatchNorm (Ioffe & Szegedy 2015, Algorithm 1) with mean and variance over all processes in training mode."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or processes.world_size() == 1:
            return super().forward(x)
        wide = x.float()
        n = processes.AllReduceSum.apply(x.new_tensor(x.numel() / x.shape[1], dtype=torch.float32))
        mean = processes.AllReduceSum.apply(wide.sum((0, 2, 3))) / n  # (C,)
        centred = wide - mean[:, None, None]
        variance = processes.AllReduceSum.apply(centred.square().sum((0, 2, 3))) / n  # (C,)
        self._update_running_statistics(mean, variance * n / (n - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)

"""One training in several processes: each takes its share of every batch; gradients and BatchNorm see the whole batch.

torch's DistributedDataParallel excludes `autograd.grad`, which adversaries and gradient penalties need. torch's
SyncBatchNorm refuses a CPU and cannot be differentiated twice, which gradient penalties need.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from spectroscope.pipeline import processes


def all_reduce_gradients(loss: Tensor, model: nn.Module) -> None:
    """Replace the loss and the gradients of the weights by their sums over all processes.

    A weight that only some processes have used, as the images of a batch may decide, has a gradient of zeros in the
    others; one that none has used keeps none.
    """
    if processes.world_size() == 1:
        return
    weights = list(model.parameters())
    used = torch.tensor([float(weight.grad is not None) for weight in weights], device=loss.device)
    for weight in weights:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
    processes.all_reduce_([loss, used, *(weight.grad for weight in weights if weight.grad is not None)])
    for weight, n in zip(weights, used.tolist(), strict=True):
        if not n:
            weight.grad = None


@torch.no_grad()
def require_equal_replicas(model: nn.Module) -> None:
    """ValueError naming the weights of `model` that are not the same, bit for bit, in all processes."""
    if processes.world_size() == 1:
        return
    weights = {name: weight.detach().flatten() for name, weight in model.named_parameters()}
    copies = [weight.clone() for weight in weights.values()]
    processes.broadcast_(copies)
    pairs = zip(copies, weights.values(), strict=True)
    differ = torch.tensor([float(not torch.equal(*pair)) for pair in pairs], device=copies[0].device)
    processes.all_reduce_([differ])
    if names := [name for name, n in zip(weights, differ.tolist(), strict=True) if n]:
        raise ValueError(f"expected the same weights in all processes, got others in {', '.join(names[:3])}: use one")


def synchronise_batch_norm(model: nn.Module) -> None:
    """Make every BatchNorm of the model, in place, take its statistics over the batches of all processes.

    ValueError naming a layer of another class derived from torch's: it may compute something else.
    """
    for name, layer in model.named_modules():
        if type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            layer.__class__ = SynchronisedBatchNorm
        elif isinstance(layer, _BatchNorm) and not isinstance(layer, SynchronisedBatchNorm):
            raise ValueError(
                f"training.batch_norm: expected per_process for the layer {name}, a {type(layer).__name__}, "
                "or one process, got synchronised"
            )


class SynchronisedBatchNorm(_BatchNorm):
    """BatchNorm (Ioffe & Szegedy 2015, Algorithm 1) with mean and variance over all processes in training mode.

    Inputs (N, F) or (N, C, ...), with or without weight and bias, running statistics and a momentum.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        """Any number of dimensions: a layer of one, two or three had its own check."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or processes.world_size() == 1:
            return super().forward(x)
        wide, shape = x.float(), (1, -1) + (1,) * (x.ndim - 2)
        others = [0, *range(2, x.ndim)]
        n = processes.AllReduceSum.apply(x.new_tensor(x.numel() / x.shape[1], dtype=torch.float32))
        mean = processes.AllReduceSum.apply(wide.sum(others)) / n  # (C,)
        centred = wide - mean.view(shape)
        variance = processes.AllReduceSum.apply(centred.square().sum(others)) / n  # (C,)
        self._update_running_statistics(mean, variance * n / (n - 1))
        scale = (variance + self.eps).rsqrt()
        if not self.affine:
            return (centred * scale.view(shape)).to(x.dtype)
        return (centred * (self.weight * scale).view(shape) + self.bias.view(shape)).to(x.dtype)

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        # without a momentum: the plain mean over all batches
        weight = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance, weight)

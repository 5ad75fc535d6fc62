"""A network with shuffled weights: what of a result is owed to the architecture alone."""

import copy

import torch
from torch import nn


def shuffled(model: nn.Module, share: float, generator: torch.Generator) -> nn.Module:
    """A copy with weights and biases permuted within each layer, for this share of the layers, the last ones."""
    other = copy.deepcopy(model)
    layers = [module for module in other.modules() if next(module.parameters(recurse=False), None) is not None]
    for layer in layers[len(layers) - max(1, round(share * len(layers))) :]:
        for weight in layer.parameters(recurse=False):
            order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
            weight.data = weight.data.flatten()[order].view(weight.shape).contiguous()
    return other

"""The layer of a network that classifies: its input is the network's representation of an image."""

from typing import Any

import torch
from torch import Tensor, nn

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # a convolution classifies in networks that end in an average


@torch.no_grad()
def classifier(model: nn.Module, images: Tensor) -> nn.Module:
    """The linear layer, or else the convolution, whose output the logits are; images (N, C, H, W).

    Of the layers that these images pass: the last one whose output equals the logits; if none does (a scale or an
    average follows), the last linear layer, or else the last convolution. The order is that of the forward pass: layers
    may be registered in another one, and some, as auxiliary heads, are never passed. ValueError for a network that
    passes neither kind.
    """
    passed: list[tuple[nn.Module, Tensor]] = []

    def note(layer: nn.Module, _: Any, output: Tensor) -> None:
        passed.append((layer, output))

    hooks = [layer.register_forward_hook(note) for layer in model.modules() if isinstance(layer, LAYERS)]
    try:
        logits = model(images)
    finally:
        for hook in hooks:
            hook.remove()
    same = [layer for layer, output in passed if output.shape == logits.shape and torch.equal(output, logits)]
    linear = [layer for layer, _ in passed if isinstance(layer, nn.Linear)]
    for layers in (same, linear, [layer for layer, _ in passed]):
        if layers:
            return layers[-1]
    raise ValueError("expected a linear layer or a convolution that the images pass, got none: it gives the logits")

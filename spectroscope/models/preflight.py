"""The preflight: what makes a network give wrong numbers, or fail after hours, found in a few forward passes."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from spectroscope.models.classifier import classifier

TOLERANCE = 1e-3  # of the largest logit: other batch sizes and memory orders round differently, about 1e-6
SHOWN = 4  # images of the batch that are also shown to the network alone


def preflight(model: nn.Module, images: Tensor, n_classes: int | None) -> list[str]:
    """A sentence for each fault of a network; an empty list if it has none.

    images (N, C, H, W), two or more that differ, on the network's device. n_classes: logits wanted for each image, None
    for any number. The network is put in evaluation mode for the passes, and its mode is restored.
    Looked for: weights that cannot be saved or copied, or are no parameters; logits that are no float32 tensor (N, K),
    not finite, different at a second pass, or dependent on the other images of the batch; images or buffers that are
    changed; no gradient by the images; no layer that classifies.
    """
    if faults := _faults_of_the_state(model):
        return faults
    modes = {module: module.training for module in model.modules()}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        model.eval()
        with torch.random.fork_rng([images.device] if images.is_cuda else []):  # dropout may draw from it
            return _faults_of_the_passes(model, images, n_classes) or _changed(model, before)
    finally:
        model.load_state_dict(before)
        for module, training in modes.items():
            module.training = training


def reason(error: BaseException) -> str:
    """The kind of an error and the first line of its message, for the end of a sentence."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _faults_of_the_state(model: nn.Module) -> list[str]:
    """Faults of parameters and buffers, which training writes and every later stage reads."""
    if any(
        isinstance(value, UninitializedParameter | UninitializedBuffer)
        for value in [*model.parameters(), *model.buffers()]
    ):
        return ["expected layers of known sizes, got lazy ones, which have no weights yet"]
    faults = []
    try:
        copy.deepcopy(model)
    except Exception as error:  # whatever a layer of the user's own raises
        advice = "torch.nn.utils.weight_norm keeps it from that, torch.nn.utils.parametrizations.weight_norm does not"
        faults.append(f"expected a network that can be copied ({advice}), got {reason(error)}")
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            faults.append(f"expected tensors alone in the state of the network, got {type(value).__name__} in {name}")
        elif value.layout != torch.strided or value.is_quantized or value.is_meta:
            faults.append(f"expected dense weights with values, got a sparse, quantised or meta tensor in {name}")
        elif value.is_complex():
            faults.append(f"expected real weights, got complex ones in {name}")
    if not faults and next(model.parameters(), None) is None:  # what shuffles weights would change nothing
        faults.append("expected weights as parameters (torch.nn.Parameter), got none")
    return faults


def _faults_of_the_passes(model: nn.Module, images: Tensor, n_classes: int | None) -> list[str]:
    """Faults that forward passes show; the first that leaves nothing to compare with is the only one."""
    shown = images.clone()
    try:
        with torch.no_grad():
            logits = model(shown)
            again = model(images.clone()) if _fault_of_logits(logits, len(images), n_classes) is None else logits
    except Exception as error:
        return [f"expected logits of {len(images)} images, got {reason(error)}"]
    if fault := _fault_of_logits(logits, len(images), n_classes):
        return [fault]
    if not torch.equal(shown, images):
        return ["expected images to stay as they are, got them changed in place"]
    if not _near(again, logits):
        return [
            "expected the same logits at a second pass in evaluation mode, got others: dropout or noise stays on "
            "(F.dropout needs training=self.training)"
        ]
    return _faults_of_batches(model, images, logits) + _faults_of_gradients(model, images)


def _fault_of_logits(logits: Any, n: int, n_classes: int | None) -> str | None:
    wanted = f"({n}, {n_classes or 'K'})"
    if not isinstance(logits, Tensor):
        return f"expected logits as one tensor {wanted}, got {_kind(logits)}: return the logits alone"
    if logits.ndim != 2 or len(logits) != n or n_classes not in (None, logits.shape[1]):
        return f"expected logits {wanted}, got shape {tuple(logits.shape)}"
    if logits.dtype != torch.float32:
        return f"expected logits in float32, got {_dtype(logits)}: end with .float()"
    if not logits.isfinite().all():
        return f"expected finite logits, got NaN or infinity for {int((~logits.isfinite()).any(1).sum())} of {n} images"
    return None


def _faults_of_batches(model: nn.Module, images: Tensor, logits: Tensor) -> list[str]:
    """Logits of images alone, in another order, and in the memory order that is fastest."""
    faults = []
    turned = images.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        try:
            if not _near(model(turned), logits):
                faults.append("expected the same logits in both memory orders, got others in channels_last")
        except Exception as error:
            faults.append(
                "expected to take images in the memory order channels_last (flatten(1) or reshape in place of view), "
                f"got {reason(error)}"
            )
        try:
            alone = torch.cat([model(images[row : row + 1]) for row in range(min(SHOWN, len(images)))])
            reverse = model(images.flip(0)).flip(0)
        except Exception as error:
            return [*faults, f"expected logits of batches of any size, got {reason(error)} for one image alone"]
    if not _near(alone, logits[: len(alone)]) or not _near(reverse, logits):
        faults.append(
            "expected logits that depend on one image alone, got others in another batch: BatchNorm without running "
            "statistics, or in training mode, takes them from the batch"
        )
    return faults


def _faults_of_gradients(model: nn.Module, images: Tensor) -> list[str]:
    """Attacks need the gradient by the images, and probes the layer that gives the logits."""
    faults = []
    x = images.clone().requires_grad_()
    try:
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(model(x).sum(), x, allow_unused=True)
    except Exception as error:
        return [f"expected a gradient of the logits by the images, got {reason(error)}"]
    if gradient is None or not gradient.isfinite().all():
        found = "none" if gradient is None else "NaN or infinity"
        faults.append(f"expected a gradient of the logits by the images, got {found}")
    try:
        classifier(model, images)
    except ValueError as error:
        faults.append(str(error))
    return faults


def _changed(model: nn.Module, before: dict[str, Tensor]) -> list[str]:
    after = model.state_dict()
    names = [name for name, value in before.items() if not torch.equal(value.nan_to_num(), after[name].nan_to_num())]
    if not names:
        return []
    return [f"expected evaluation mode to leave weights and buffers as they are, got changes of {', '.join(names[:3])}"]


def _near(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() <= TOLERANCE * other.abs().max())


def _kind(value: Any) -> str:
    many = f" of {', '.join(map(str, value))}" if isinstance(value, dict) else ""
    return f"a {type(value).__name__}{many}"


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")

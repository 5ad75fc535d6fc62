"""Network and images brought together before anything is measured: `prepare` runs the checks."""

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from spectroscope.pipeline import machine, passes
from spectroscope.pipeline.memory import BatchSize, within_memory
from spectroscope.profile import checks, labels, normalisation
from spectroscope.profile.checks import Finding
from spectroscope.profile.images import Chosen
from spectroscope.profile.labels import Matched
from spectroscope.profile.network import Network, Options
from spectroscope.profile.normalisation import numbers
from spectroscope.profile.pixels import Decoded, decode, sides_and_channels
from spectroscope.profile.prepared import Prepared, in_batches

FEWEST = 16  # images of a profile
CHECKED = 4  # images whose outputs are looked at twice
TRIED = 64  # images in the trials of other normalisations
TRIALS = 8  # forward passes of an image in the trials
SHARE = 0.1  # of the time for the forward passes of all images, and the same for the trials
SIDES = (28, 32, 64, 96, 224, 256, 299, 384)  # pixels: sizes that a network is tried with when it refuses the images'


@dataclass(frozen=True)
class Ready:
    """A network and images that fit each other.

    pixels (N, C, H, W); labels (N,): outputs, those of the images or (not labelled) the network's own predictions;
    logits (N, K): of the images as they are; present: outputs that are classes of the images, none without labels.
    cutoff: shell above which the images hold nothing, None where there is none. seconds: of one image's forward pass, a
    first look. facts: what was done, in words.
    """

    network: Network
    model: Prepared
    pixels: Tensor
    labels: Tensor
    logits: Tensor
    labelled: bool
    present: list[int]
    names: tuple[str, ...] | None
    cutoff: int | None
    seconds: float
    normalisation: tuple[str, tuple[float, ...], tuple[float, ...]]
    facts: dict[str, str]
    findings: list[Finding] = field(default_factory=list)


def prepare(network: Network, chosen: Chosen, options: Options, seconds: float) -> Ready:
    """The network in evaluation mode, the images as it wants them, and what was found; ValueError where none fits.

    seconds: of the whole profile; of a slow network fewer images are taken, the classes in turn.
    """
    module, decoded, findings = _fitted(network, chosen)
    pixels, found = normalisation.unit_pixels(decoded.pixels, network)
    findings += found
    model = _wrapped(module, network, pixels.shape[1], options)
    model.batch = BatchSize(passes.forward_batch_size(module, pixels))
    each, found = within_memory(lambda size: _outputs(model, pixels[: min(size, CHECKED)]), model.batch)
    findings += found
    kept = max(FEWEST, int(SHARE * seconds / each))
    if kept < len(pixels):
        text = f"{kept} of {len(pixels)} images are taken: a forward pass of one takes {each:.2g} s. More: --minutes."
        findings.append(Finding("images", "note", text))
    pixels, rows = pixels[:kept], decoded.rows[:kept]
    logits = in_batches(model, pixels)
    matched = labels.match(network.classes, chosen.classes, chosen.labels, rows, logits.shape[1])
    findings += matched.findings
    order = [] if matched.labels is None else checks.order(logits, matched.labels, matched.present)
    trials = max(FEWEST, kept // TRIALS)
    scrambled = any(finding.check == "order" for finding in order)
    setup = [] if network.random or scrambled else _trials(network, model, pixels, matched.labels, trials)
    if bool((logits == logits[0]).all()):
        cause = setup[0].text if setup else "a layer of zeros, or weights that were not loaded; name trained ones"
        raise ValueError(
            f"{network.name}: expected outputs that differ between images, got the same for all {len(logits)}: {cause}"
        )
    if order and not setup:  # what makes a network right says that the labels are
        matched, setup = Matched(None, [], network.classes), [] if network.random else order
    findings += setup
    if matched.labels is None:
        text = "Everything below is about the network's own prediction: no labels are used."
        findings.append(Finding("labels", "note", text))
    cutoff, found = checks.bands_removed(pixels, decoded)
    findings += found
    movable = network.gradient and next(module.parameters(), None) is not None  # constants of a program stay behind
    if movable and machine.device().type == "cuda":  # checked on the CPU, measured where it is fast
        model.to(machine.device())
        model.batch = BatchSize(passes.forward_batch_size(module, pixels))
    mean, std = (tuple(values.flatten().tolist()) for values in (model.mean, model.std))
    used = ("none" if network.mean is None else network.normalisation or "given", mean, std)
    formats = ", ".join(f"{count} {name}" for name, count in decoded.formats.items())
    facts = {
        "Images": f"{len(pixels)} of {chosen.total} of {chosen.name} ({chosen.kind}; {formats})",
        "Size": decoded.done,
        "Normalisation": f"{used[0]}: mean {numbers(mean)}, std {numbers(std)}",
        "Labels": "the network's own prediction" if matched.labels is None else "those of the images",
    }
    own, labelled = matched.labels, matched.labels is not None
    return Ready(
        network, model, pixels, logits.argmax(1) if own is None else own, logits, labelled, matched.present,
        matched.names, cutoff, each, used, facts, findings,
    )  # fmt: skip


def _fitted(network: Network, chosen: Chosen) -> tuple[nn.Module, Decoded, list[Finding]]:
    """The network in evaluation mode, and the images with the size and channels that it takes."""
    findings = [Finding("images", "note", text) for text in chosen.notes]
    if network.random:
        text = f"{network.name} has random weights: name a file, as in NAME@FILE"
        findings.append(Finding("weights", "warning", text))
    sides, found = sides_and_channels(chosen)
    channels, size = network.channels or found, network.size or next(iter(sides), None)
    if size is None or (network.size is None and len(sides) > 1):
        raise ValueError(
            f"{network.name}: expected --size, since images of {len(sides)} sizes must be brought to one and the "
            "network does not say which; got none"
        )
    module = network.make((channels, *size), len(chosen.classes or ()) or 10)
    findings += checks.set_up(module)
    if fault := _fault(module, channels, size):
        fitting = [side for side in SIDES if not _fault(module, channels, (side, side))]
        known = f"it takes {', '.join(map(str, fitting))}: give --size {fitting[0]}" if fitting else "it takes no other"
        wanted = f"{channels} x {size[0]} x {size[1]} pixels"
        raise ValueError(f"{network.name}: expected a network that takes {wanted}; {known} ({fault})")
    decoded = decode(chosen, channels, size, network.crop)
    return module, decoded, findings + checks.images(decoded, size, found, channels)


@torch.no_grad()
def _fault(module: nn.Module, channels: int, size: tuple[int, int]) -> str | None:
    """Why a network refuses images of a size, in a line; None where it takes them."""
    try:
        module(torch.full((2, channels, *size), 0.5))
    except Exception as error:  # torch raises whatever the layer does
        return (str(error).strip() or type(error).__name__).splitlines()[0][:120]
    return None


def _wrapped(module: nn.Module, network: Network, channels: int, options: Options) -> Prepared:
    mean, std = network.mean or (0.0,) * channels, network.std or (1.0,) * channels
    if len(mean) != channels:
        raise ValueError(f"--mean: expected {channels} numbers, one for each channel, got {len(mean)}")
    model = Prepared(module, mean, std, options.bgr)
    model.requires_grad_(False)
    for part in model.modules():
        part.training = False
    return model


def _outputs(model: Prepared, pixels: Tensor) -> tuple[float, list[Finding]]:
    """Seconds of one image's forward pass, and what is found in the outputs, which takes two passes."""
    start = time.perf_counter()
    found = checks.outputs(model, pixels)
    return (time.perf_counter() - start) / (2 * len(pixels)), found


def _trials(network: Network, model: Prepared, pixels: Tensor, own: Tensor | None, n: int) -> list[Finding]:
    """What another normalisation or order of the colours would make better, of n images at most."""
    x, y = pixels[: min(n, TRIED)], None if own is None else own[: min(n, TRIED)]
    found = normalisation.better(network, model, x, y)
    return found + (normalisation.swapped_colours(model, x, y) if x.shape[1] == 3 else [])

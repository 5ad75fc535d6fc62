"""Is the network set up correctly? Checks before anything is measured, each fault with its likely cause.

`prepare` brings network and images together: pixels in [0, 1] on one side, logits on the other. What it changes to get
there and what looks wrong are findings; each says what was expected, what was found, and what to do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.special import bdtrc
from torch import Tensor, nn

from spectroscope.frequency.partitions import mean_by_band
from spectroscope.frequency.spectrum import dct2, shells
from spectroscope.pipeline import machine, passes
from spectroscope.pipeline.memory import BatchSize, within_memory
from spectroscope.profile import images as images_
from spectroscope.profile import labels as labels_
from spectroscope.profile.networks import Network, Options
from spectroscope.statistics.intervals import difference_interval

Level = Literal["changed", "warning", "note"]
TRIED = 64  # images in the trials of other normalisations
LEAST_GAIN = 0.1  # in accuracy or in the largest probability, by which another normalisation must be better
SIDES = (28, 32, 64, 96, 224, 256, 299, 384)  # pixels: sizes that a network is tried with when it refuses the images'
SHARP = 0.5  # mean largest probability above which a network is sure of what it says
CHANCE = 0.001  # how likely a guess is as good as an accuracy that counts as better than chance
SCRAMBLED = 0.5  # accuracy after reordering the classes above which their order is wrong
Trial = tuple[str, tuple[float, ...], tuple[float, ...]]  # name, mean, std of a normalisation
COLOURS: tuple[Trial, ...] = (
    ("ImageNet's", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ("CIFAR-10's", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    ("to [-1, 1]", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ("0..255", (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
)
GREYS: tuple[Trial, ...] = (
    ("MNIST's", (0.1307,), (0.3081,)),
    ("to [-1, 1]", (0.5,), (0.5,)),
    ("0..255", (0.0,), (1 / 255,)),
)


@dataclass(frozen=True)
class Finding:
    """check: its name. level: `changed` (put right), `warning` (yours to put right), `note`."""

    check: str
    level: Level
    text: str


class Prepared(nn.Module):
    """Pixels (N, C, H, W) in [0, 1] -> logits (N, K), whatever the network takes and returns."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], bgr: bool) -> None:
        super().__init__()
        self.network, self.bgr, self.log, self.copies = network, bgr, False, False
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


@dataclass(frozen=True)
class Ready:
    """A network and images that fit each other.

    pixels (N, C, H, W); labels (N,): outputs, those of the images or (not labelled) the network's own predictions;
    logits (N, K): of the images as they are; present: outputs that are classes of the images, None without labels.
    cutoff: shell above which the images hold nothing, None where there is none. facts: what was done, in words.
    """

    network: Network
    model: Prepared
    pixels: Tensor
    labels: Tensor
    logits: Tensor
    labelled: bool
    present: list[int] | None
    names: tuple[str, ...] | None
    cutoff: int | None
    normalisation: tuple[str, tuple[float, ...], tuple[float, ...]]
    facts: dict[str, str]
    findings: list[Finding] = field(default_factory=list)


def prepare(network: Network, chosen: images_.Chosen, options: Options) -> Ready:
    """The network in evaluation mode, the images as it wants them, and what was found; ValueError where none fits."""
    findings = [Finding("images", "note", text) for text in chosen.notes]
    if network.random:
        findings.append(
            Finding("weights", "warning", f"{network.name} has random weights: name a file, as in NAME@FILE")
        )
    n_classes = len(chosen.classes or ()) or 10
    sides, found_channels = images_.sides_and_channels(chosen)
    channels = network.channels or found_channels
    size = network.size or _only(sides, network)
    module = network.make((channels, *size), n_classes)
    findings += _set_up(module)
    size = _accepted(module, channels, size, network)
    decoded = images_.decode(chosen, channels, size, network.crop)
    findings += _about_images(decoded, size, found_channels, channels)
    chosen_labels = None if chosen.labels is None else chosen.labels[decoded.rows]
    pixels, found = unit_pixels(decoded.pixels, network)
    findings += found
    mean, std = network.mean or (0.0,) * channels, network.std or (1.0,) * channels
    if len(mean) != channels:
        raise ValueError(f"--mean: expected {channels} numbers, one for each channel, got {len(mean)}")
    model = Prepared(module, mean, std, options.bgr)
    model.requires_grad_(False)
    for part in model.modules():
        part.training = False
    model.batch = BatchSize(passes.forward_batch_size(module, pixels))
    findings += within_memory(lambda size: _about_outputs(model, pixels[: min(size, 16)]), model.batch)
    logits = in_batches(model, pixels)
    present, labels, names = None, None, network.classes
    if chosen_labels is not None and chosen.classes is not None:
        used = chosen_labels.unique().tolist()
        # where the numbers agree all classes are matched, so that an order stays one when a class has no image
        shown = list(range(len(chosen.classes))) if len(chosen.classes) == logits.shape[1] else used
        places, how = labels_.columns(network.classes, [chosen.classes[k] for k in shown], logits.shape[1])
        if places is None:
            findings.append(
                Finding(
                    "labels", "warning",
                    f"The classes of the images were matched to the network's outputs {how}. The labels are left out; "
                    "to use them, list the names of the outputs in a file: --classes FILE",
                )
            )  # fmt: skip
        else:
            output_of = dict(zip(shown, places, strict=True))
            present = sorted(output_of[k] for k in used)
            labels = torch.tensor([output_of[int(k)] for k in chosen_labels])
            if names is None and len(shown) == logits.shape[1]:
                names = chosen.classes
            findings.append(Finding("labels", "note", f"Labels and outputs were matched {how}."))
    name = "none" if network.mean is None else network.normalisation or "given"
    if not network.random:
        better = _better_normalisation(network, model, pixels, labels)
        findings += better
        if better and better[0].level == "changed":
            name, mean, std = best_trial(network, model, pixels, labels)[0]
            model.mean.copy_(torch.tensor(mean)[:, None, None])
            model.std.copy_(torch.tensor(std)[:, None, None])
            logits = in_batches(model, pixels)
        if channels == 3:
            findings += _swapped_colours(model, pixels, labels)
    if bool((logits == logits[0]).all()) and not any(finding.check == "normalisation" for finding in findings):
        raise ValueError(
            f"{network.name}: expected outputs that differ between images, got the same for all {len(logits)}: a layer "
            "of zeros, or weights that were not loaded; name a file of trained weights"
        )
    if labels is not None:
        order = _about_order(logits, labels, present or [])
        findings += order
        if any(finding.level == "warning" for finding in order):
            labels, present, names = None, None, network.classes
    if labels is None:
        findings.append(
            Finding("labels", "note", "Everything below is about the network's own prediction: no labels are used.")
        )
    cutoff, found = _bands_removed(pixels, decoded)
    findings += found
    movable = network.gradient and next(module.parameters(), None) is not None  # constants of a program stay behind
    if movable and machine.device().type == "cuda":  # checked on the CPU, measured where it is fast
        model.to(machine.device())
        model.batch = BatchSize(passes.forward_batch_size(module, pixels))
    facts = {
        "Images": f"{len(pixels)} of {chosen.total} of {chosen.name} ({chosen.kind}; {_listed(decoded.formats)})",
        "Size": decoded.done,
        "Normalisation": f"{name}: mean {_numbers(mean)}, std {_numbers(std)}",
        "Labels": "the network's own prediction" if labels is None else "those of the images",
    }
    return Ready(
        network, model, pixels, logits.argmax(1) if labels is None else labels, logits, labels is not None, present,
        names, cutoff, (name, mean, std), facts, findings,
    )  # fmt: skip


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


def _only(sides: set[tuple[int, int]], network: Network) -> tuple[int, int]:
    if len(sides) != 1:
        raise ValueError(
            f"{network.name}: expected --size, since images of {len(sides)} sizes must be brought to one and the "
            "network does not say which; got none"
        )
    return next(iter(sides))


def _set_up(module: nn.Module) -> list[Finding]:
    """Evaluation mode and float32."""
    findings = []
    kinds = {type(part).__name__ for part in module.modules() if part.training and not [*part.children()]}
    active = sorted(kind for kind in kinds if "Dropout" in kind or "BatchNorm" in kind or "DropPath" in kind)
    if active:
        findings.append(
            Finding(
                "mode", "changed",
                f"The network came in training mode, with {', '.join(active)} active: call .eval() after loading. It "
                "is profiled in evaluation mode.",
            )
        )  # fmt: skip
    for part in module.modules():
        part.training = False  # an exported program refuses .eval()
    kinds = {str(weight.dtype) for weight in module.parameters() if weight.is_floating_point()} - {"torch.float32"}
    if kinds:
        module.float()
        names = ", ".join(sorted(kinds)).replace("torch.", "")
        findings.append(Finding("weights", "changed", f"Weights in {names} were converted to float32."))
    return findings


@torch.no_grad()
def _accepted(module: nn.Module, channels: int, size: tuple[int, int], network: Network) -> tuple[int, int]:
    """The size, if the network takes it; ValueError with the sizes it does take."""
    try:
        module(torch.full((2, channels, *size), 0.5))
    except Exception as error:  # torch raises whatever the layer does
        fitting = [side for side in SIDES if _runs(module, channels, side)]
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        advice = (
            f"it takes {', '.join(map(str, fitting))}: give --size {fitting[0]}" if fitting else "it takes no other"
        )
        raise ValueError(
            f"{network.name}: expected a network that takes {channels} x {size[0]} x {size[1]} pixels; "
            f"{advice} ({reason})"
        ) from None
    return size


@torch.no_grad()
def _runs(module: nn.Module, channels: int, side: int) -> bool:
    try:
        module(torch.full((2, channels, side, side), 0.5))
    except Exception:
        return False
    return True


def unit_pixels(pixels: Tensor, network: Network) -> tuple[Tensor, list[Finding]]:
    """Pixels in [0, 1]: from 0..255, or from values that were normalised already. ValueError for any others."""
    low, high = float(pixels.min()), float(pixels.max())
    if low >= 0 and high <= 1:
        return pixels, []
    if low >= 0 and 1 < high <= 255:
        text = f"Pixels lie in {low:g}..{high:g}: they are taken as 0..255 and divided by 255."
        return pixels / 255, [Finding("range", "changed", text)]
    channels = pixels.shape[1]
    known: list[Trial] = [(n, m, s) for n, m, s in (*COLOURS, *GREYS) if len(m) == channels and n != "0..255"]
    if network.mean and network.std:
        known.insert(0, ("the network's", network.mean, network.std))
    for name, mean, std in known:
        back = pixels * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]
        if float(back.min()) >= -0.005 and float(back.max()) <= 1.005 and float(back.max() - back.min()) > 0.5:
            text = (
                f"Pixels lie in {low:.2f}..{high:.2f}: they were normalised already ({name} mean and std fit), which "
                "was undone. Give pixels in [0, 1]."
            )
            return back.clamp(0, 1), [Finding("range", "changed", text)]
    raise ValueError(f"expected pixels in [0, 1], 0..255 or normalised by a known mean and std, got {low:g}..{high:g}")


@torch.no_grad()
def _about_outputs(model: Prepared, pixels: Tensor) -> list[Finding]:
    """Which field, probabilities or not, the same twice or not, the input left alone or not; sets `model.log`."""
    findings = []
    given = ((pixels - model.mean) / model.std).clone()
    shown = given.clone()
    output = model.network(shown)
    if not torch.equal(shown, given):
        text = "The network changes its input in place, which spoils what is computed afterwards; it is given copies."
        findings.append(Finding("input", "changed", text))
    logits, name = vector(output)
    if name is not None:
        kind = type(output).__name__
        findings.append(
            Finding("output", "changed", f"The network returns a {kind}: its field {name} is taken as logits.")
        )
    if not logits.isfinite().all():
        raise ValueError("expected finite outputs, got NaN or infinity from the network")
    sums = logits.sum(1)
    if bool((logits >= 0).all() and (logits <= 1).all() and ((sums - 1).abs() < 1e-3).all()):
        model.log = True
        text = "Outputs are probabilities (a softmax comes last): their logarithm is taken, which has the same softmax."
        findings.append(Finding("output", "changed", text))
    elif bool((logits > 0).all() and (logits < 1).all()):
        text = "All outputs lie between 0 and 1 but do not add up to 1 (a sigmoid?): margins are those of these values."
        findings.append(Finding("output", "warning", text))
    again = vector(model.network(given.clone()))[0]
    gap = float((again - logits).abs().max())
    if gap > 1e-4 * max(1.0, float(logits.abs().max())):
        text = (
            f"The same images twice give outputs that differ by up to {gap:.2g}: something random is active (dropout "
            "called with training=True, noise). Every number below holds this noise."
        )
        findings.append(Finding("randomness", "warning", text))
    return findings


def _correct(model: Prepared, pixels: Tensor, labels: Tensor | None) -> np.ndarray:
    """Whether each image is right or, without labels, its largest probability: (N,)."""
    logits = in_batches(model, pixels)
    if labels is None:
        return logits.softmax(1).amax(1).numpy()
    return (logits.argmax(1) == labels).double().numpy()


def best_trial(
    network: Network, model: Prepared, pixels: Tensor, labels: Tensor | None
) -> tuple[tuple[str, tuple[float, ...], tuple[float, ...]], np.ndarray]:
    """The other normalisation with the highest accuracy (or largest probability): its name, mean, std; by image."""
    x, y = pixels[:TRIED], None if labels is None else labels[:TRIED]
    channels = x.shape[1]
    trials = [("none", (0.0,) * channels, (1.0,) * channels), *(COLOURS if channels == 3 else GREYS)]
    own = (tuple(model.mean.flatten().tolist()), tuple(model.std.flatten().tolist()))
    others = [trial for trial in trials if not np.allclose(trial[1:], own, atol=0.02)]
    found = []
    for trial in others:
        tried = Prepared(model.network, trial[1], trial[2], model.bgr)
        tried.log = model.log
        found.append((trial, _correct(tried, x, y)))
    return max(found, key=lambda pair: float(np.nan_to_num(pair[1]).mean()))


def _better_normalisation(network: Network, model: Prepared, pixels: Tensor, labels: Tensor | None) -> list[Finding]:
    (name, mean, std), other = best_trial(network, model, pixels, labels)
    own = _correct(model, pixels[:TRIED], None if labels is None else labels[:TRIED])
    if not _better(other, own):
        return []
    what = "accuracy" if labels is not None else "mean largest probability"
    given = network.mean is not None
    if name == "none":
        cause = f"it normalises by itself, and {network.normalisation} makes it twice"
    elif name == "0..255":
        cause = "it wants pixels 0..255"
    else:
        cause = "another normalisation belongs to it" if given else "normalisation is missing"
    gain = f"With the normalisation {name} the {what} is {other.mean():.0%} in place of {own.mean():.0%}: {cause}."
    options = f"--mean {_numbers(mean, ',')} --std {_numbers(std, ',')}"
    if labels is not None and not given and network.normalisation is None:
        return [Finding("normalisation", "changed", f"{gain} It is used below; say so with {options}")]
    return [Finding("normalisation", "warning", f"{gain} To use it: {options}")]


def _swapped_colours(model: Prepared, pixels: Tensor, labels: Tensor | None) -> list[Finding]:
    x, y = pixels[:TRIED], None if labels is None else labels[:TRIED]
    other = Prepared(
        model.network, tuple(model.mean.flatten().tolist()), tuple(model.std.flatten().tolist()), not model.bgr
    )
    other.log = model.log
    swapped, own = _correct(other, x, y), _correct(model, x, y)
    if not _better(swapped, own):
        return []
    what = "accuracy" if labels is not None else "mean largest probability"
    flag = "leave --bgr out" if model.bgr else "--bgr"
    text = f"With red and blue exchanged the {what} is {swapped.mean():.0%} in place of {own.mean():.0%}: {flag}"
    return [Finding("colours", "warning", text)]


def _better(other: np.ndarray, own: np.ndarray) -> bool:
    """Whether a trial is better by LEAST_GAIN and more than images of another draw would explain."""
    if not np.isfinite(other).all() or other.mean() - own.mean() < LEAST_GAIN:
        return False
    low = difference_interval(other, own).low
    return bool(np.isnan(low) or low > 0)


def _about_order(logits: Tensor, labels: Tensor, present: list[int]) -> list[Finding]:
    """Sure predictions that another order of the outputs makes right; or no better than chance: labels say nothing."""
    n, right = len(labels), float((logits.argmax(1) == labels).double().mean())
    sure = float(logits.softmax(1).amax(1).mean())
    counts = torch.zeros(logits.shape[1], logits.shape[1])
    counts.index_put_((labels, logits.argmax(1)), torch.ones(n), accumulate=True)
    rows = counts[present]
    _, places = linear_sum_assignment(-rows.numpy())
    after = float(rows[torch.arange(len(present)), torch.as_tensor(places)].sum() / n)
    if sure >= SHARP and n >= 3 * len(present) and after >= max(SCRAMBLED, right + 0.3):
        text = (
            f"Accuracy is {right:.0%}, but predictions are sure ({sure:.0%} on average), and with the outputs in "
            f"another order it is {after:.0%}: the order of the classes is wrong. Labels are left out; list the names "
            "of the outputs: --classes FILE"
        )
        return [Finding("order", "warning", text)]
    if float(bdtrc(round(right * n) - 1, n, 1 / logits.shape[1])) > CHANCE:
        text = (
            f"Accuracy is {right:.0%} of {n} images, no better than chance: the labels, the order of the classes, the "
            "images or the weights are wrong. Labels are left out."
        )
        return [Finding("accuracy", "warning", text)]
    return []


def _about_images(decoded: images_.Decoded, size: tuple[int, int], found: int, channels: int) -> list[Finding]:
    findings = []
    if decoded.unreadable:
        text = (
            f"{len(decoded.unreadable)} files cannot be read and are left out: {images_.names_of(decoded.unreadable)}"
        )
        findings.append(Finding("images", "warning", text))
    small = float(decoded.sides.min(1).values.float().median())
    if small < 0.8 * min(size):
        text = (
            f"The images are smaller ({small:g} pixels, median) than the network was made for ({min(size)}): enlarged, "
            f"they hold nothing from about shell {small:.0f} of {min(size)} on."
        )
        findings.append(Finding("size", "warning", text))
    elif small > 1.25 * min(size):
        text = f"The images are larger ({small:g} pixels, median) than the network wants: what is finer is lost."
        findings.append(Finding("size", "note", text))
    if found != channels:
        text = f"The images have {found} and the network wants {channels} channels: they were converted."
        findings.append(Finding("colours", "changed", text))
    return findings


def spectrum_cutoff(pixels: Tensor) -> int | None:
    """First shell from which on all shells hold far less than a smooth spectrum would, None where there is none.

    The mean power per coefficient of natural images falls slowly with the shell (as its -2nd power or so; Field 1987).
    A low pass before the network makes it fall by a factor of STEP within a twelfth of the shells, and stay there.
    """
    size = min(pixels.shape[-2:])
    index = shells(*pixels.shape[-2:])
    power = mean_by_band(dct2(pixels).square().mean((0, 1)), index)[:size].double().clamp_min(1e-12).log10()
    width = max(2, size // 12)
    falls = power[1:-width] - power[1 + width :]  # over `width` shells, from shell 1 on
    start = len(falls) // 8
    place = start + int(falls[start:].argmax())
    expected = 2.5 * np.log10((place + 1 + width) / (place + 1))
    after = power[place + 1 + width :]
    if float(falls[place]) - expected < STEP or float(after.max() - power[place + 1]) > -STEP:
        return None
    return place + 1 + width // 2


STEP = 0.7  # powers of ten


def _bands_removed(pixels: Tensor, decoded: images_.Decoded) -> tuple[int | None, list[Finding]]:
    findings = []
    size = min(pixels.shape[-2:])
    cutoff = spectrum_cutoff(pixels)
    if cutoff is not None:
        text = (
            f"The images hold almost nothing from about shell {cutoff} of {size} on: they were enlarged, smoothed or "
            "compressed before the network saw them. Reliance on those shells cannot be measured on them."
        )
        findings.append(Finding("bands", "warning", text))
    if decoded.quality is not None and decoded.quality < 90:
        shrunk = float(decoded.sides.min(1).values.float().median()) / size
        if shrunk < 2:
            colour = f"; {decoded.half_colour:.0%} store colour at half the resolution" if decoded.half_colour else ""
            shell = (
                f", which takes colour from shell {round(size * shrunk / 2)} on" if colour and shrunk <= 1.05 else ""
            )
            text = (
                f"JPEG of quality {decoded.quality:.0f} has rounded high frequencies away before the network saw them"
                f"{colour}{shell}."
            )
            findings.append(Finding("jpeg", "warning", text))
    return cutoff, findings


def _numbers(values: tuple[float, ...], separator: str = ", ") -> str:
    return separator.join(f"{value:.4g}" for value in values)


def _listed(formats: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in formats.items())

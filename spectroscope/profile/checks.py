"""What can be wrong in how a network or its images are set up: each check returns findings with the likely cause.

A finding says what was expected, what was found, and what to do. `preflight` runs the checks in order.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.special import bdtrc
from torch import Tensor, nn

from spectroscope.frequency.partitions import mean_by_band
from spectroscope.frequency.spectrum import dct2, shells
from spectroscope.profile.pixels import Decoded
from spectroscope.profile.prepared import Prepared, vector

Level = Literal["changed", "warning", "note"]
SHARP = 0.5  # mean largest probability above which a network is sure of what it says
CHANCE = 0.001  # how likely a guess is as good as an accuracy that counts as better than chance
SCRAMBLED = 0.5  # accuracy after reordering the classes above which their order is wrong
STEP = 0.7  # powers of ten: the fall of the power at a cut-off


@dataclass(frozen=True)
class Finding:
    """check: its name. level: `changed` (put right), `warning` (yours to put right), `note`."""

    check: str
    level: Level
    text: str


def set_up(module: nn.Module) -> list[Finding]:
    """Evaluation mode and float32."""
    findings = []
    kinds = {type(part).__name__ for part in module.modules() if part.training and not [*part.children()]}
    active = sorted(kind for kind in kinds if "Dropout" in kind or "BatchNorm" in kind or "DropPath" in kind)
    if active:
        text = (
            f"The network came in training mode, with {', '.join(active)} active: call .eval() after loading. It is "
            "profiled in evaluation mode."
        )
        findings.append(Finding("mode", "changed", text))
    for part in module.modules():
        part.training = False  # an exported program refuses .eval()
    kinds = {str(weight.dtype) for weight in module.parameters() if weight.is_floating_point()} - {"torch.float32"}
    if kinds:
        module.float()
        names = ", ".join(sorted(kinds)).replace("torch.", "")
        findings.append(Finding("weights", "changed", f"Weights in {names} were converted to float32."))
    return findings


@torch.no_grad()
def outputs(model: Prepared, pixels: Tensor) -> list[Finding]:
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
        text = f"The network returns a {type(output).__name__}: its field {name} is taken as logits."
        findings.append(Finding("output", "changed", text))
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


def order(logits: Tensor, labels: Tensor, present: list[int]) -> list[Finding]:
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


def images(decoded: Decoded, size: tuple[int, int], found: int, channels: int) -> list[Finding]:
    """What cannot be read, another size (height, width) than the network's, another number of channels."""
    findings = []
    if decoded.unreadable:
        first, more = ", ".join(decoded.unreadable[:5]), len(decoded.unreadable) - 5
        text = f"{len(decoded.unreadable)} files cannot be read and are left out: {first}"
        text += f" and {more} more" if more > 0 else ""
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


def bands_removed(pixels: Tensor, decoded: Decoded) -> tuple[int | None, list[Finding]]:
    """The shell above which the images (N, C, H, W) hold nothing, or None; and what JPEG took away."""
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

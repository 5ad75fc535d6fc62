"""What fits into the time that is given, told from a measured forward pass and a measured gradient: arithmetic."""

import math
import time
from dataclasses import dataclass, field, replace

import torch

from spectroscope.attribution.heat_map import half_plane
from spectroscope.attribution.sampled_heat_map import rings_of_waves
from spectroscope.pipeline.memory import within_memory
from spectroscope.probing.layers import NETWORKS
from spectroscope.profile.preflight import FEWEST, Ready

SHARES = {"reliance": 0.4, "attacks": 0.28, "heat map": 0.2, "layers": 0.12}  # of the time, in this order
SHOWN = {"attacks": "confined attacks", "heat map": "waves of the Fourier heat map", "layers": "spectra by layer"}
FIRST_FOR_LAYERS = 4  # images that the time of the others is told from
LEAST = 4  # images of a measurement, of a network so slow that FEWEST do not fit into the time
MOST_ATTACKED = 200  # images
STEPS = 10  # of an attack
TRIES = 7 * STEPS + 3 * STEPS  # gradients of an image that is attacked: seven variants, and the pilot's share
SLACK = 1.2  # a plan takes this much longer than the passes that it counts
ANGLES = 6  # waves of each ring that come before more images: intervals are wide because of the images
MOST_RINGS = 16  # of the heat map, above DC; one for 4 pixels of smaller images
LEAST_RINGS = 4
TIMING = 0.01  # of the time for one forward pass that is timed


@dataclass(frozen=True)
class Plan:
    """Bands of reliance; images of each measurement; steps of attacks; rings, angles of each and waves of the heat map.
    Seconds of one image's forward pass and of its gradient; shares of the time, of the measurements that are made;
    dropped: the seconds that those without a share need at least."""

    bands: int
    images: int
    attacked: int
    steps: int
    rings: int
    angles: int
    waves: int
    waved: int
    forward: float
    gradient: float
    shares: dict[str, float]
    dropped: dict[str, float] = field(default_factory=dict)


def plan(ready: Ready, seconds: float) -> Plan:
    """What fits into the seconds given, told from a measured forward pass and a measured gradient."""
    batch, most = ready.model.batch, max(1, min(16, int(TIMING * seconds / ready.seconds)))
    forward = within_memory(lambda size: _timed(ready, min(size, most), False), batch)
    timed = ready.network.gradient
    gradient = within_memory(lambda size: _timed(ready, min(size, most), True), batch) if timed else 0.0
    return planned(ready.pixels.shape, forward, gradient, seconds)


def planned(shape: tuple[int, ...] | torch.Size, forward: float, gradient: float, seconds: float) -> Plan:
    """The plan for images (N, C, H, W), from the seconds of one image: pure arithmetic."""
    n, _, height, width = shape
    side = max(height, width)
    least = {  # seconds of LEAST images
        "attacks": LEAST * TRIES * gradient * SLACK if gradient else math.inf,
        "heat map": LEAST * (1 + 2 * _rings(height, width, LEAST_RINGS)) * forward * SLACK,
        "layers": FIRST_FOR_LAYERS * _passes_for_layers(side) * forward * SLACK if gradient else math.inf,
    }
    shares = _affordable(least, seconds)
    dropped = {name: needed for name, needed in least.items() if name not in shares and needed < math.inf}
    passes = shares["reliance"] * seconds / (forward * SLACK)
    most = most_bands(height, width)
    bands = next((count for count in (most, 16, 8) if count <= most and n * (count + 5) <= passes), min(8, most))
    images = int(min(n, max(LEAST, passes // (bands + 5))))
    attacked = 0
    if "attacks" in shares:
        attacked = _attacked(n, gradient, shares["attacks"] * seconds)
    waves = _waves(n, height, width, forward, shares["heat map"] * seconds) if "heat map" in shares else (0, 0, 0, 0)
    return Plan(bands, images, attacked, STEPS, *waves, forward, gradient, shares, dropped)


def most_bands(height: int, width: int) -> int:
    """Bands of reliance where time allows: the shells of small images."""
    side = max(height, width)
    return side if side <= 32 else 16


def with_more(shape: tuple[int, ...] | torch.Size, chosen: Plan, seconds: float) -> tuple[str, Plan] | None:
    """A measurement that was dropped and fits into the seconds that the others left over, and its plan."""
    name = next((name for name, needed in chosen.dropped.items() if needed <= seconds), None)
    if name is None:
        return None
    n, _, height, width = shape
    dropped = {other: needed for other, needed in chosen.dropped.items() if other != name}
    found = replace(chosen, dropped=dropped)
    if name == "attacks":
        found = replace(found, attacked=_attacked(n, chosen.gradient, seconds))
    if name == "heat map":
        rings, angles, waves, waved = _waves(n, height, width, chosen.forward, seconds)
        found = replace(found, rings=rings, angles=angles, waves=waves, waved=waved)
    return name, found


def _attacked(n: int, gradient: float, seconds: float) -> int:
    """Images that are attacked in the seconds given."""
    return int(min(n, MOST_ATTACKED, max(LEAST, seconds / (gradient * SLACK * TRIES))))


def _waves(n: int, height: int, width: int, forward: float, seconds: float) -> tuple[int, int, int, int]:
    """Rings, angles, waves and images of the heat map in the seconds given."""
    half, budget = len(half_plane(height, width)), seconds / (forward * SLACK)
    whole = half if max(height, width) <= 32 else math.ceil(0.05 * half)
    choices = (_rings(height, width, most) for most in (MOST_RINGS, 8))
    rings = next((r for r in choices if FEWEST * (1 + 2 * r) <= budget), _rings(height, width, LEAST_RINGS))
    fewest = min(FEWEST, max(LEAST, budget // (1 + 2 * rings)))
    waved = int(min(n, 64, max(fewest, budget // (1 + ANGLES * rings))))
    return rings, *_angles(height, width, rings, int(min(whole, budget // waved))), waved


def _rings(height: int, width: int, most: int) -> int:
    return max(1, min(most, min(height, width) // 4))


def _passes_for_layers(side: int) -> int:
    """Forward passes of one image: itself, without each octave, and its DC, through the network and its two nulls."""
    return len(NETWORKS) * (int(math.log2(max(2, side - 1))) + 3)


def _affordable(least: dict[str, float], seconds: float) -> dict[str, float]:
    """Shares of the time, without the measurements whose least seconds do not fit, the dearest first."""
    shares = dict(SHARES)
    while True:
        total = sum(shares.values())
        excess = {name: least[name] / (shares[name] / total * seconds) for name in least if name in shares}
        worst = max(excess, key=lambda name: excess[name], default=None)
        if worst is None or excess[worst] <= 1:
            return {name: share / total for name, share in shares.items()}
        del shares[worst]


def _angles(height: int, width: int, rings: int, most: int) -> tuple[int, int]:
    """Angles of each ring, as many as keep the number of waves within `most`, two at least; and the number of waves."""
    of = torch.bincount(rings_of_waves(height, width, rings))
    counts = {angles: int(of.clamp(max=angles).sum()) for angles in range(2, max(2, int(of.max())) + 1)}
    angles = max((angles for angles, waves in counts.items() if waves <= most), default=2)
    return angles, counts[angles]


def _timed(ready: Ready, size: int, gradient: bool) -> float:
    """Seconds that one image takes: the faster of two batches, each of the given number of images at most."""
    x = ready.pixels[:size].to(ready.model.device)
    found = []
    for _ in range(2):
        start = time.perf_counter()
        if gradient:
            shown = x.clone().requires_grad_()
            torch.autograd.grad(ready.model(shown).sum(), shown)
        else:
            with torch.no_grad():
                ready.model(x)
        if x.is_cuda:
            torch.cuda.synchronize()
        found.append((time.perf_counter() - start) / len(x))
    return min(found)

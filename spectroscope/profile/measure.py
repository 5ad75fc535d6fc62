"""What is measured of one network in a given time: reliance by band, attacks confined to bands, a Fourier heat map.

`plan` sets the numbers of bands, images, steps and waves from the time of a forward pass and of a gradient. Each
measurement goes through its images in parts and stops with those it has when its time is over.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from spectroscope.attacks.batch import Batch, attack_batch
from spectroscope.attacks.confined import ConfinedL2
from spectroscope.attacks.registry import expand_variants, lookup
from spectroscope.attribution.heat_map import half_plane
from spectroscope.attribution.occlusion import drops_by_score
from spectroscope.attribution.sampled_heat_map import draw_waves, ring_means, rings_of_waves, wave_effects, wave_signs
from spectroscope.frequency.partitions import by_band, cycles_per_side, equal_width, mean_power
from spectroscope.frequency.shell_ranges import low_middle_high
from spectroscope.frequency.spectrum import shells
from spectroscope.pipeline import machine
from spectroscope.pipeline.memory import within_memory
from spectroscope.probing.layers import NETWORKS, spectrum_by_layer
from spectroscope.profile.preflight import Ready
from spectroscope.statistics.intervals import mean_interval

HF_FROM = 0.5  # of the shells: where high begins; middle begins at half of it
SHARES = {"reliance": 0.4, "attacks": 0.28, "heat map": 0.2, "layers": 0.12}  # of the time, in this order
SHOWN = {"attacks": "confined attacks", "heat map": "waves of the Fourier heat map", "layers": "spectra by layer"}
MOST_FOR_LAYERS = 32  # images
FIRST_FOR_LAYERS = 4  # images that the time of the others is told from
FEWEST = 16  # images of a measurement
LEAST = 4  # the same, of a network so slow that FEWEST do not fit into the time
STEPS = 10  # of an attack
TRIES = 7 * STEPS + 3 * STEPS  # gradients of an image that is attacked: seven variants, and the pilot's share
PILOT = 16  # images that the radius of the attacks is found on
FOOLED = 0.5  # of the pilot's images, by PGD that is not confined, at the radius
RMS_255 = 0.6  # change of a pixel, root mean square in grey levels: the first radius that is tried
DOUBLINGS = 6
SLACK = 1.2  # a plan takes this much longer than the passes that it counts
ANGLES = 6  # waves of each ring that come before more images: intervals are wide because of the images
MOST_RINGS = 16  # of the heat map, above DC; one for 4 pixels of smaller images
LEAST_RINGS = 4
BANDS = ("low", "middle", "high")


@dataclass(frozen=True)
class Plan:
    """Bands of reliance; images of each measurement; steps of attacks; rings, angles of each and waves of the heat map.
    Seconds of one image's forward pass and of its gradient; shares of the time, of the measurements that are made;
    dropped: the seconds that those without a share need at least; what else time cut short, in words."""

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
    left_out: list[str] = field(default_factory=list)


def plan(ready: Ready, seconds: float) -> Plan:
    """What fits into the seconds given, told from a measured forward pass and a measured gradient."""
    batch = ready.model.batch
    forward = within_memory(lambda size: _timed(ready, size, False), batch)
    gradient = within_memory(lambda size: _timed(ready, size, True), batch) if ready.network.gradient else 0.0
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
    left_out = []
    passes = shares["reliance"] * seconds / (forward * SLACK)
    most = side if side <= 32 else 16
    bands = next((count for count in (most, 16, 8) if count <= most and n * (count + 5) <= passes), min(8, most))
    images = int(min(n, max(LEAST, passes // (bands + 5))))
    if bands < most:
        left_out.append(f"bands of reliance ({bands} in place of {most})")
    if images < n:
        left_out.append(f"images of reliance ({images} of {n})")
    attacked = 0
    if "attacks" in shares:
        attacked = _attacked(n, gradient, shares["attacks"] * seconds)
    waves = _waves(n, height, width, forward, shares["heat map"] * seconds) if "heat map" in shares else (0, 0, 0, 0)
    found = Plan(bands, images, attacked, STEPS, *waves, forward, gradient, shares, dropped, left_out)
    for name in ("attacks", "heat map"):
        left_out += _fewer(name, found, n, height, width) if name in shares else []
    return found


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
    return name, replace(found, left_out=[*chosen.left_out, *_fewer(name, found, n, height, width)])


def _fewer(name: str, plan: Plan, n: int, height: int, width: int) -> list[str]:
    """What a measurement leaves out, in words; nothing where it is whole."""
    half, most = len(half_plane(height, width)), min(n, 200)
    if name == "attacks" and plan.attacked < most:
        return [f"images of the confined attacks ({plan.attacked} of {most})"]
    if name == "heat map" and plan.waves < half:
        return [f"waves of the heat map ({plan.waves} of {half}, drawn evenly over ring and angle)"]
    return []


def _attacked(n: int, gradient: float, seconds: float) -> int:
    """Images that are attacked in the seconds given."""
    return int(min(n, 200, max(LEAST, seconds / (gradient * SLACK * TRIES))))


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
    x = ready.pixels[: min(16, size)].to(ready.model.device)
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


def parts(n: int, size: int, seconds: float, done: Callable[[float], None], least: int = 1) -> Iterator[slice]:
    """Slices of n rows until the time is over, `least` rows in any case. `done` is told the share that is done."""
    start = time.perf_counter()
    for first in range(0, n, size):
        if first >= least and time.perf_counter() - start > seconds:
            return
        yield slice(first, min(first + size, n))
        done(min(1.0, (first + size) / n))


def _part(n: int, most: int) -> int:
    """Images between two looks at the clock: a quarter of them, so that a slower machine costs a quarter at most."""
    return min(most, max(LEAST, -(-n // 4)))


def reliance(ready: Ready, chosen: Plan, seconds: float, done: Callable[[float], None]) -> dict[str, pd.DataFrame]:
    """Tables `reliance` (by band) and `whole_bands` (low, middle, high at once): what is lost without the band.

    Occluded Frequency (Wang et al. 2020, Def. 1): the drop of the label's probability and margin, and of accuracy,
    which follows from the margin. Bands are of equal width in cycles per longer side. Columns: statistic, band, first,
    last (shells), mean, low, high, n_images.
    """
    height, width = ready.pixels.shape[-2:]
    index, whole = equal_width(height, width, chosen.bands, "dct"), whole_bands(height, width)
    fine: list[Tensor] = []
    coarse: list[Tensor] = []
    batch = ready.model.batch

    def drops(rows: slice, bands: Tensor) -> Tensor:
        place = ready.model.device
        network = (ready.model, ready.pixels[rows].to(place), ready.labels[rows].to(place))
        options = (["probability", "margin"], "dct", None, False)
        return within_memory(lambda size: drops_by_score(*network, bands, *options, size), batch).cpu()  # type: ignore[arg-type]

    for rows in parts(chosen.images, _part(chosen.images, batch.images), seconds, done):
        fine.append(drops(rows, index))
        coarse.append(drops(rows, whole))
    shell = (2 * cycles_per_side(height, width, "dct", "linf")).round().long()  # that of a square image
    names = ("DC", *BANDS)
    edges = [(int(shell[index == k].min()), int(shell[index == k].max())) for k in range(chosen.bands)]
    tables = {"reliance": _lost(torch.cat(fine), ready, [_span(*pair) for pair in edges], edges)}
    edges = [(int(shell[whole == k].min()), int(shell[whole == k].max())) for k in range(4)]
    return tables | {"whole_bands": _lost(torch.cat(coarse), ready, list(names), edges)}


def whole_bands(height: int, width: int) -> Tensor:
    """Band of each coefficient: 0 DC, 1 low, 2 middle, 3 high: (H, W)."""
    shell = shells(height, width)
    index = torch.zeros_like(shell)
    for number, (first, last) in enumerate(low_middle_high(int(shell.max()) + 1, HF_FROM).values(), start=1):
        index[(shell >= first) & (shell < last)] = number
    return index


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _lost(drops: Tensor, ready: Ready, names: list[str], edges: list[tuple[int, int]]) -> pd.DataFrame:
    """Rows of a table of reliance from drops (N, 2, bands) of probability and margin."""
    n = len(drops)
    logits, labels = ready.logits[:n], ready.labels[:n]
    margin = logits.gather(1, labels[:, None]) - logits.scatter(1, labels[:, None], -torch.inf).amax(1, keepdim=True)
    right = (logits.argmax(1) == labels)[:, None].double()
    accuracy = right - (margin - drops[:, 1] > 0).double()
    rows = []
    for statistic, values in (("probability", drops[:, 0]), ("accuracy", accuracy), ("margin", drops[:, 1])):
        for band, column in enumerate(values.double().numpy().T):
            mean, low, high = mean_interval(column)
            first, last = edges[band]
            place = {"band": names[band], "first": first, "last": last, "shell": (first + last) / 2}
            rows.append({"statistic": statistic, **place, "mean": mean, "low": low, "high": high, "n_images": n})
    return pd.DataFrame(rows)


def attacks(ready: Ready, chosen: Plan, seconds: float, done: Callable[[float], None]) -> pd.DataFrame:
    """Share of right images that PGD confined to a band fools, at one l2 norm, whole bands and at equal dimension.

    Madry et al. 2018, section 2.1, in a subspace. The radius is the first of RMS_255, twice that, ... at which PGD that
    is not confined fools FOOLED of PILOT images. Columns: dimension (`whole band`, `equal dimension`), band,
    coefficients, eps, mean, low, high, n_images.
    """
    settings = _settings(ready.pixels.shape)
    right = (ready.logits.argmax(1) == ready.labels).nonzero()[:, 0]
    if not len(right):
        raise ValueError("expected images that the network has right, got none to attack")
    begun = time.perf_counter()
    eps = _radius(ready, settings, right[: min(PILOT, chosen.attacked)])
    coefficients = _smallest(ready.pixels.shape)
    variants: list[tuple[str, str, ConfinedL2, int | None]] = [
        ("whole band", name, own, None) for name, own in settings.items()
    ]
    variants += [("equal dimension", name, own, coefficients) for name, own in settings.items() if name != "all"]
    rows = right[: chosen.attacked]
    fooled: dict[int, list[Tensor]] = {}
    size = _part(len(rows), PILOT)  # a part takes seven attacks: small parts keep to the time
    for first in range(0, len(rows), size):
        if first and time.perf_counter() - begun > seconds:
            break
        for place, (_, _, own, count) in enumerate(variants):
            wanted = _within(own, eps).model_copy(update={"coefficients": count})
            fooled.setdefault(place, []).append(_fooled(ready, wanted, rows[first : first + size]))
            done(min(1.0, (first + size * (place + 1) / len(variants)) / len(rows)))
    table = []
    for place, (dimension, name, _, count) in enumerate(variants):
        values = torch.cat(fooled[place]).double().numpy()
        mean, low, high = mean_interval(values) if len(values) > 1 else (float(values.mean()), math.nan, math.nan)
        n_coefficients = (
            count or int((whole_bands(*ready.pixels.shape[-2:]) == 1 + BANDS.index(name)).sum())
            if name != "all"
            else math.prod(ready.pixels.shape[-2:])
        )
        table.append(
            {"dimension": dimension, "band": name, "coefficients": n_coefficients, "eps": eps, "mean": mean, "low": low,
             "high": high, "n_images": len(values)}
        )  # fmt: skip
    return pd.DataFrame(table)


def _settings(shape: torch.Size) -> dict[str, ConfinedL2]:
    """Confined PGD in every band and, as `all`, in none."""
    n_shells = max(shape[-2:])
    band = {"keep": "inside", "basis": "dct", "shape": "linf", "unit": "shells", "clip": False}
    bands = {name: band | {"low": a, "high": b} for name, (a, b) in low_middle_high(n_shells, HF_FROM).items()}
    entry = {"method": "confined", "norm": "l2", "n_images": 1, "target": None, "coefficients": None, "eps": 1.0}
    entry |= {"step_size": 0.25, "direction": "l2", "steps": STEPS, "random_start": True}
    all_bands = {**bands, "all": {"keep": "all", "clip": False}}
    whole = ConfinedL2.model_validate(entry | {"bands": all_bands}, strict=False)
    return {name: own for name, (own,) in expand_variants(whole)}  # type: ignore[misc]


def _smallest(shape: torch.Size) -> int:
    """Coefficients of the smallest band."""
    return int(torch.bincount(whole_bands(*shape[-2:]).flatten())[1:].min())


def _radius(ready: Ready, settings: dict[str, ConfinedL2], rows: Tensor) -> float:
    eps = RMS_255 / 255 * math.sqrt(math.prod(ready.pixels.shape[1:]))
    for _ in range(DOUBLINGS):
        if float(_fooled(ready, _within(settings["all"], eps), rows).double().mean()) >= FOOLED:
            break
        eps *= 2
    return eps


def _within(settings: ConfinedL2, eps: float) -> ConfinedL2:
    """The attack at a radius."""
    return settings.model_copy(update={"eps": eps, "step_size": eps / 4})


def _fooled(ready: Ready, settings: ConfinedL2, rows: Tensor) -> Tensor:
    def attacked(size: int) -> Tensor:
        successes = []
        for part in rows.split(size):
            x, y = ready.pixels[part], ready.labels[part]
            batch = Batch(x, y, [(0, place) for place in part.tolist()], x)
            (outcome,) = attack_batch(lookup("confined"), [settings], ready.model, batch)
            successes.append(outcome.success.cpu())
        return torch.cat(successes)

    return within_memory(attacked, ready.model.batch)


def heat_map(
    ready: Ready, chosen: Plan, seconds: float, done: Callable[[float], None]
) -> tuple[np.ndarray, pd.DataFrame]:
    """Accuracy lost to a single wave: a map (H, W), DC in the centre, and its means by ring of frequency.

    Yin et al. 2019: r eps U_ij is added to every channel, r = +-1. The map is sampled: a coefficient has the value of
    its cell's wave, or its ring's mean where the time was over before that wave. Columns: those of `ring_means`.
    """
    x, y, logits = ready.pixels[: chosen.waved], ready.labels[: chosen.waved], ready.logits[: chosen.waved]
    height, width = x.shape[-2:]
    drawn = draw_waves(height, width, chosen.rings, chosen.angles, machine.generator(0, 1))
    signs = wave_signs(len(drawn.ring), x, "l2", machine.generator(0, 2))
    batch = ready.model.batch

    def errors(rows: slice) -> Tensor:
        some, eps = (drawn.frequencies[rows], signs[rows]), wave_norm(height, width)
        place = ready.model.device
        network = (ready.model, x.to(place), y.to(place), logits.to(place))
        return within_memory(
            lambda size: torch.cat(list(wave_effects(*network, *some, eps, "l2", "error", True, size)), 1), batch
        ).cpu()

    two_a_ring = 1 + 2 * (len(drawn.of) - 1)  # the fewest that have an interval
    at_once = max(1, batch.images // len(x))
    found = torch.cat([errors(rows) for rows in parts(len(drawn.ring), at_once, seconds, done, two_a_ring)], 1)
    lost = found.double() - (logits.argmax(1) != y).double()[:, None]  # (n, waves)
    table = ring_means(drawn, lost)
    table[["low", "high"]] = table[["low", "high"]].clip(-1, 1)  # few images and waves: Student's t reaches beyond
    of_ring = torch.tensor(table["mean"].to_numpy())  # every ring has a wave: they are served in turn
    full = torch.cat([lost.mean(0), of_ring[drawn.ring[lost.shape[1] :]]])[drawn.cell]
    return torch.fft.fftshift(full).numpy(), table


def layers(ready: Ready, seconds: float, done: Callable[[float], None]) -> dict[str, pd.DataFrame]:
    """Tables `layers` (spectra) and `layers_passed`, as `probing.layers.spectrum_by_layer` describes them, by octave.

    Of a few images first; of as many more as their time allows. ValueError for a network without layers of maps.
    """
    begun, n = time.perf_counter(), min(FIRST_FOR_LAYERS, len(ready.pixels))
    batch, pixels = ready.model.batch, ready.pixels[:MOST_FOR_LAYERS].to(ready.model.device)
    found = within_memory(lambda size: spectrum_by_layer(ready.model, pixels[:n], chunk=size), batch)
    taken = (time.perf_counter() - begun) / n
    done(0.2)
    more = int(min(len(ready.pixels), MOST_FOR_LAYERS, (seconds - n * taken) / taken))
    if more >= 2 * n:
        found = within_memory(lambda size: spectrum_by_layer(ready.model, pixels[:more], chunk=size), batch)
    done(1.0)
    tables = {"layers": found.spectra, "layers_passed": found.passed}
    return {name: table.assign(layer=table["layer"].str.removeprefix("network.")) for name, table in tables.items()}


def wave_norm(height: int, width: int) -> float:
    """l2 norm of a wave: Yin et al. 2019 take 4 at 32 x 32 and 15.7 at 224 x 224 pixels; between them by side."""
    return float(np.interp(max(height, width), (32, 224), (4.0, 15.7)))


def power(ready: Ready) -> pd.DataFrame:
    """Mean squared coefficient of the images by shell: what the network was shown. Columns: shell, mean."""
    height, width = ready.pixels.shape[-2:]
    index = shells(height, width)
    own = by_band(mean_power(ready.pixels, "dct"), index) / torch.bincount(index.flatten())
    return pd.DataFrame({"shell": range(len(own)), "mean": own.double().clamp_min(1e-12).numpy()})

"""What is measured of one network: reliance by band, attacks confined to bands, a Fourier heat map, spectra by layer.

Each measurement goes through its images in parts, as `plan` says, and stops with those it has when its time is over.
"""

import math
import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from spectroscope.attacks.batch import Batch, attack_batch
from spectroscope.attacks.confined import ConfinedL2
from spectroscope.attacks.registry import expand_variants, lookup
from spectroscope.attribution.occlusion import drops_by_score
from spectroscope.attribution.sampled_heat_map import draw_waves, ring_means, wave_effects, wave_signs
from spectroscope.frequency.partitions import by_band, cycles_per_side, equal_width, mean_power
from spectroscope.frequency.shell_ranges import low_middle_high
from spectroscope.frequency.spectrum import shells
from spectroscope.pipeline import machine
from spectroscope.pipeline.memory import within_memory
from spectroscope.probing.layers import spectrum_by_layer
from spectroscope.profile.plan import FIRST_FOR_LAYERS, LEAST, STEPS, Plan
from spectroscope.profile.preflight import Ready
from spectroscope.statistics.intervals import mean_interval

HF_FROM = 0.5  # of the shells: where high begins; middle begins at half of it
BANDS = ("low", "middle", "high")
PILOT = 16  # images that the radius of the attacks is found on
FOOLED = 0.5  # of the pilot's images, by PGD that is not confined, at the radius
RMS_255 = 0.6  # change of a pixel, root mean square in grey levels: the first radius that is tried
DOUBLINGS = 6
MOST_FOR_LAYERS = 32  # images


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

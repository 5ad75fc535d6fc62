"""Verdicts on the claims of a study: supported, refuted, undetermined or void, with Holm's confidence for each.

A claim that an effect lies above a margin is supported where its whole interval does, refuted where the whole interval
lies below the margin, else undetermined. So one of two one-sided hypotheses may be rejected. p is twice the smaller of
their levels: the smallest 1 - confidence at which the interval decides. Holm (1979) goes through the claims by p, the
smallest first, at the level (1 - confidence) / (claims not decided yet), and stops at the first that stays
undetermined, whose level is that of all claims after it. Every printed interval is at the level at which its claim was
tested. All claims count, those that cannot be decided too: their number was known before.

The chance of one false verdict or more is at most 1 - confidence: for independent effects Holm's steps control errors
of the sign too (Shaffer 1980); benchmarks/verdicts.py measures it for dependent ones.
"""

import bisect
import math
from collections.abc import Callable
from typing import Any

import pandas as pd

from spectroscope.claims.effects import Cells, Measured, correlation_ends, measure
from spectroscope.claims.settings import Claim, Claims, Correlation, Effect, Extreme, Manipulation
from spectroscope.statistics.estimates import StatisticsSettings
from spectroscope.statistics.intervals import FEWEST_SEEDS, half_width

COLUMNS = [
    "claim",
    "says",
    "verdict",
    "mean",
    "low",
    "high",
    "confidence",
    "expect",
    "margin",
    "unit",
    "n_networks",
    "n_images",
    "n_runs",
    "networks",
    "control",
    "control_low",
    "control_high",
    "void",
    "reason",
    "needed",
    "why",
    "table",
    "choice",
]
SUPPORTED, REFUTED, UNDETERMINED, VOID = "supported", "refuted", "undetermined", "void"
EVERYTHING = "at this confidence the interval spans all values that there are"
SMALLEST, LARGEST = 1e-10, 0.99  # levels between which p is sought
MOST = 1000  # networks, or times the images, up to which `needed` looks


def table(claims: Claims, cells: Cells, settings: StatisticsSettings) -> pd.DataFrame:
    """A row for each claim, COLUMNS; cells: of `cells.read`."""
    effects = {name: measure(claim.effect, cells, settings) for name, claim in claims.items()}
    levels = holm({name: (effects[name], claim) for name, claim in claims.items()}, 1 - settings.confidence)
    rows = [
        {"claim": name, **_row(claim, effects[name], 1 - levels[name], cells, settings)}
        for name, claim in claims.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def holm(effects: dict[str, tuple[Measured, Claim]], level: float) -> dict[str, float]:
    """The level at which each claim is tested, `level` being that of all together."""
    p = {name: p_value(effect, claim) for name, (effect, claim) in effects.items()}
    levels: dict[str, float] = {}
    stopped = None
    for decided, name in enumerate(sorted(p, key=p.__getitem__)):
        levels[name] = stopped or level / (len(p) - decided)
        effect, claim = effects[name]
        if decide(effect, claim, 1 - levels[name]) == UNDETERMINED:
            stopped = levels[name]
    return levels


def decide(effect: Measured, claim: Claim | Manipulation, confidence: float) -> str:
    """The verdict that the interval at a confidence gives: supported, refuted or undetermined."""
    low, high = effect.ends(confidence)
    if claim.expect == "below":
        low, high = -high, -low
    if effect.why or math.isnan(low) or math.isnan(high) or low <= claim.margin <= high:
        return UNDETERMINED
    return SUPPORTED if low > claim.margin else REFUTED


def p_value(effect: Measured, claim: Claim) -> float:
    """The smallest 1 - confidence at which the interval decides, to a part in a thousand; 1 where none does."""
    if decide(effect, claim, 1 - LARGEST) == UNDETERMINED:
        return 1.0
    if decide(effect, claim, 1 - SMALLEST) != UNDETERMINED:
        return SMALLEST
    below, above = SMALLEST, LARGEST
    while above / below > 1.001:
        middle = math.sqrt(below * above)
        if decide(effect, claim, 1 - middle) == UNDETERMINED:
            below = middle
        else:
            above = middle
    return above


def _row(
    claim: Claim, effect: Measured, confidence: float, cells: Cells, settings: StatisticsSettings
) -> dict[str, Any]:
    """A row of `table` but its name."""
    effect_low, effect_high = effect.ends(confidence)
    verdict, void, control = decide(effect, claim, confidence), "", None
    if not isinstance(claim.control, str):
        control = measure(claim.control, cells, settings)
        if decide(control, claim, confidence) == SUPPORTED:
            void = "the control shows the effect too"
    for manipulation in claim.manipulation:
        cause = measure(manipulation.effect, cells, settings)
        found = decide(cause, manipulation, confidence)
        if found != SUPPORTED:
            low, high = cause.ends(confidence)
            ends = "" if math.isnan(low) or math.isnan(high) else f" [{low:.3g}, {high:.3g}]"
            void = void or (
                f"its cause is not established: {_named(manipulation)} is {cause.mean:.3g}{ends}, expected "
                f"{manipulation.expect} {_threshold(manipulation):g}{f' ({cause.why})' if cause.why else ''}"
            )
    control_low, control_high = control.ends(confidence) if control else (math.nan, math.nan)
    undetermined = verdict == UNDETERMINED
    # At a higher confidence an interval may span everything, which `bounded_ends` takes for none.
    reason = effect.why or (EVERYTHING if math.isnan(effect_low) and not math.isnan(effect.mean) else "")
    return {
        "says": claim.says,
        "verdict": VOID if void else verdict,
        "mean": effect.mean,
        "low": effect_low,
        "high": effect_high,
        "confidence": confidence,
        "expect": claim.expect,
        "margin": claim.margin,
        "unit": claim.unit,
        "n_networks": effect.n_networks,
        "n_images": effect.n_images,
        "n_runs": effect.n_runs,
        "networks": " ".join(f"{value:.4g}" for value in effect.by_network),
        "control": control.mean if control else math.nan,
        "control_low": control_low,
        "control_high": control_high,
        "void": void,
        "reason": reason,
        "needed": needed(effect, claim, confidence) if undetermined else "",
        "why": claim.why,
        "table": _table(claim.effect),
        "choice": effect.choice,
    }


def needed(effect: Measured, claim: Claim, confidence: float) -> str:
    """How many networks, else images, would decide at this spread if the mean were the truth; "" where not known."""
    distance = abs(effect.mean - _threshold(claim))
    if math.isnan(distance) or (effect.why and not _only_two(effect)):
        return ""
    if effect.n_runs:
        runs = range(effect.n_runs + 1, MOST + 1)
        enough = _first(runs, lambda n: not _holds(correlation_ends(effect.mean, n, confidence), _threshold(claim)))
        return _count(enough, "runs")
    if _only_two(effect):
        return f"at least {FEWEST_SEEDS} networks a run"
    if effect.parts is None:
        return ""
    (image, of_images), (network, of_networks) = effect.parts
    now, groups = effect.n_networks, effect.n_groups

    def half(networks: float, times: float) -> float:
        freedom = of_networks * (networks - 1) / max(now - 1, 1)
        parts = [(image / times, of_images + (times - 1) * groups), (network * now / networks, freedom)]
        return float(half_width(parts, confidence)[0])

    if now > 1:
        enough_networks = _first(range(now + 1, MOST + 1), lambda n: half(n, 1) < distance)
        if enough_networks:
            return _count(enough_networks, "networks a run")
    more = range(effect.n_images + 1, MOST * effect.n_images)
    return _count(_first(more, lambda n: half(now, n / effect.n_images) < distance), "images")


def _first(numbers: range, enough: Callable[[int], bool]) -> int | None:
    """The first number that is enough, where all larger ones are too."""
    place = bisect.bisect_left(numbers, True, key=enough)
    return numbers[place] if place < len(numbers) else None


def _only_two(effect: Measured) -> bool:
    return effect.why.startswith("two networks")


def _holds(ends: tuple[float, float], value: float) -> bool:
    return ends[0] <= value <= ends[1]


def _count(number: int | None, noun: str) -> str:
    if number is None:
        return "no number of networks or images alone: the mean is too near the margin"
    digits = 10 ** max(len(str(number)) - 2, 0)
    return f"about {math.ceil(number / digits) * digits} {noun}"


def _threshold(claim: Claim | Manipulation) -> float:
    return claim.margin if claim.expect == "above" else -claim.margin


def _table(effect: Effect) -> str:
    if isinstance(effect, Extreme):
        return "choices"
    return effect.x.table if isinstance(effect, Correlation) else effect.table


def _named(manipulation: Manipulation) -> str:
    effect = manipulation.effect
    if isinstance(effect, Extreme):
        return f"the {effect.take} {effect.statistic} of {effect.run} less {effect.less}"
    if isinstance(effect, Correlation):
        return "the correlation over runs"
    words = ", ".join(map(str, effect.where.values()))
    return words if effect.less is None else f"{words} less {', '.join(map(str, effect.less.values()))}"

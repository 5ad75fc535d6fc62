"""Ranges of shells that are fractions of their number: low, middle and high. Without torch."""

import math


def low_middle_high(n_shells: int, hf_from: float) -> dict[str, tuple[int, int]]:
    """First shell, and the one after the last, of the bands low, middle and high: all shells but DC.

    Edges at hf_from / 2 and hf_from, fractions of the number of shells (32 shells and 0.5: 1..7, 8..15 and 16..31).
    """
    middle, high = first_shell(hf_from / 2, n_shells), first_shell(hf_from, n_shells)
    return {"low": (1, middle), "middle": (middle, high), "high": (high, n_shells)}


def first_shell(fraction: float, shells: int) -> int:
    """First shell at or above a fraction of their number; .28 of 25 is 7, although the product is 7.000000000000001."""
    return math.ceil(round(fraction * shells, 9))

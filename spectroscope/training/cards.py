"""Model cards: what a stranger needs to know before using the weights of a run."""

from typing import Any

import pandas as pd

from spectroscope.pipeline import io


def describe(
    run: str, settings: dict[str, Any], images: io.Images, facts: dict[str, Any], epochs: pd.DataFrame
) -> dict[str, Any]:
    """The card that training writes: settings, data with its digest, held-out accuracies of each seed's kept epoch.

    `settings`: regime, model and training; `facts`: those of the image file; `epochs`: the rows of epochs.csv.
    """
    kept = epochs[epochs["kept"]].set_index("seed")
    return {
        "run": run,
        "settings": settings,
        "input": {"pixels": "float32 in [0, 1], NCHW", "shape": list(images.pixels.shape[1:])},
        "classes": list(images.classes),
        "data": {**facts, "images": len(images)},
        "held_out": {f"seed{seed}": {"clean": row["clean"], "robust": row["robust"]} for seed, row in kept.iterrows()},
    }


def markdown(card: dict[str, Any], statistics: dict[str, dict[str, Any]]) -> str:
    """The card as Markdown, with statistics of the test images: accuracies, HF share, centroid."""
    size, classes = " x ".join(map(str, card["input"]["shape"])), len(card["classes"])
    settings = {**card["data"], **card["settings"]["regime"], **card["settings"]["training"]}
    lines = [f"# {card['run']}", ""]
    lines += [f"`{card['settings']['model']}`, pixels {card['input']['pixels']}, {size}; {classes} classes.", ""]
    lines += ["| setting | value |", "|---|---|", *(f"| {name} | `{value}` |" for name, value in settings.items())]
    lines += ["", "| statistic | mean | low | high | images | seeds |", "|---|---|---|---|---|---|"]
    for name, row in statistics.items():
        cells = ["-" if row[key] is None else f"{row[key]:.4g}" for key in ("mean", "low", "high")]
        lines.append(f"| {name} | {' | '.join(cells)} | {row['n_images']} | {row['n_seeds']} |")
    return "\n".join([*lines, ""])

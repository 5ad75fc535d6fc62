"""Model cards: what a stranger must know of weights before using them."""

from typing import Any

import pandas as pd

from spectroscope.pipeline import io, machine


def card(run: str, settings: dict[str, Any], images: io.Images, facts: dict[str, Any], rows: pd.DataFrame) -> dict:
    """What training knows: settings, data with its digest, held-out accuracy of the weights kept, by seed."""
    kept = rows[rows["kept"]].set_index("seed")
    return {
        "run": run,
        "settings": settings,
        "input": {"pixels": "float32 in [0, 1], NCHW", "shape": list(images.pixels.shape[1:])},
        "classes": list(images.classes),
        "data": {**facts, "images": len(images)},
        "held_out": {f"seed{seed}": {"clean": row["clean"], "robust": row["robust"]} for seed, row in kept.iterrows()},
        "made_by": machine.describe(),
    }


def markdown(about: dict[str, Any], measures: dict[str, dict[str, Any]]) -> str:
    """The card as a page, with what was measured on test images: accuracies, HF share, centroid."""
    regime, training = about["settings"]["regime"], about["settings"]["training"]
    lines = [f"# {about['run']}", "", f"`{about['settings']['model']}`, pixels {about['input']['pixels']}, "]
    lines[-1] += f"{' x '.join(map(str, about['input']['shape']))}; {len(about['classes'])} classes."
    lines += ["", "| setting | value |", "|---|---|"]
    lines += [f"| {name} | `{value}` |" for name, value in [*about["data"].items(), *regime.items(), *training.items()]]
    lines += ["", "| measure | mean | low | high | images | seeds |", "|---|---|---|---|---|---|"]
    for name, row in measures.items():
        cells = ["-" if row[key] is None else f"{row[key]:.4g}" for key in ("mean", "low", "high")]
        lines.append(f"| {name} | {' | '.join(cells)} | {row['n_images']} | {row['n_seeds']} |")
    return "\n".join([*lines, "", f"Made by {', '.join(f'{k} {v}' for k, v in about['made_by'].items())}.", ""])

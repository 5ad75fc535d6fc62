"""The figures of `benchmarks/gpu.sh` as Markdown, for docs/scale.md."""

import json
from pathlib import Path
from typing import Any

Facts = dict[str, Any]


def tables(file: Path) -> str:
    """Two tables: the networks with accuracies and reliance, in both kinds of numbers, and images per second."""
    found = json.loads(file.read_text())
    n, device = found["n_test"], found["machine"]["device"]
    lines = [
        f"{device}, torch {found['machine']['torch']}; {found['n_train']:,} training and {n:,} test images, reliance "
        f"on {found['speed_32']['n_images']:,} of them; one network each, intervals over images.",
        "",
        "| network | evaluated in | minutes, epochs | clean | PGD-20, 8/255 | centroid, margin | HF share, margin |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in ("standard", "adversarial"):
        training = found[f"{name}_training"]
        for number, measured in found[name].items():
            cells = [name, number, f"{training['minutes']:.1f}, {training['epochs']}"]
            cells += [_interval(measured[key], 100, 1, " %") for key in ("clean", "pgd20")]
            cells.append(_interval(measured["margin centroid"], 1, 1, ""))
            cells.append(_interval(measured["margin hf_share"], 100, 0, " %"))
            lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "| images per second | float32 | bfloat16 |", "|---|---|---|"]
    speed = found["images_per_second"]
    for name in ("standard", "PGD-10"):
        lines.append(_row(f"training, {name}, ResNet-18, 32 pixels", [speed[f"{name}, {k}"] for k in NUMBERS]))
    for place, model in (("speed_32", "ResNet-18"), ("speed_large", "ResNet-50")):
        side, passes = found[place]["side"], found[place]["forward_passes"]
        of = [found[place][k] for k in NUMBERS]
        lines.append(_row(f"Occluded Frequency, {model}, {side} pixels", [each["occluded_frequency"] for each in of]))
        lines.append(_row(f"as many bare forward passes ({passes} an image)", [each["bare"] for each in of]))
        lines.append(f"| ratio | {of[0]['ratio']:.2f} | {of[1]['ratio']:.2f} |")
    lines.append(_row("PGD-20 on the adversarial network, images it has right", _attacked(found)))
    same = found["agreement"]
    lines += [
        "",
        f"Between GPU and CPU, {same['n_images']} images: {same['different_predictions']:.0f} predictions differ, and "
        f"the loss of the label's probability by {same['largest_difference']:.2g} at most.",
    ]
    return "\n".join(lines) + "\n"


NUMBERS = ("float32", "bfloat16")


def _attacked(found: Facts) -> list[float]:
    return [found["adversarial"][number]["pgd20_images_per_second"] for number in NUMBERS]


def _row(name: str, values: list[float]) -> str:
    return f"| {name} | " + " | ".join(f"{value:,.0f}" for value in values) + " |"


def _interval(found: Facts, scale: float, digits: int, unit: str) -> str:
    mean, low, high = (f"{scale * found[key]:.{digits}f}" for key in ("mean", "low", "high"))
    return f"{mean}{unit} [{low}, {high}]"

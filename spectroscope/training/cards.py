"""Model cards: what a stranger needs to know before using the weights of a run."""

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

    from spectroscope.pipeline.images import Images

TASK = "image-classification"  # the hub's name of it


def describe(
    run: str, settings: dict[str, Any], images: "Images", facts: dict[str, Any], epochs: pd.DataFrame
) -> dict[str, Any]:
    """The card that training writes: settings, data with its digest, held-out accuracies of each seed's kept epoch.

    `settings`: regime, model, training and, for a run that starts from trained weights, start; `facts`: those of the
    image file; `epochs`: the rows of epochs.csv.
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


def markdown(card: dict[str, Any], figures: pd.DataFrame) -> str:
    """The card as Markdown, with figures of the test images: rows of the tables of accuracy and reliance.

    Its front matter is that of the Hugging Face hub (`README.md` of a model's repository); accuracies are its results.
    """
    from huggingface_hub import ModelCard, ModelCardData  # here: training only describes, and does without the import

    results = _results(card["data"], figures)
    metadata = ModelCardData(
        library_name="spectroscope",
        pipeline_tag=TASK,
        tags=["spectroscope", card["settings"]["regime"]["name"]],
        metrics=["accuracy"] if results else None,
        model_name=card["run"],
        eval_results=results or None,
    )
    return str(ModelCard(f"---\n{metadata}\n---\n\n{_body(card, figures)}"))


def _results(data: dict[str, Any], figures: pd.DataFrame) -> list["EvalResult"]:
    """Accuracies as results of a model-index; the interval and its n are arguments of the metric."""
    from huggingface_hub import EvalResult

    rows = [row for row in figures.to_dict("records") if isinstance(row.get("attack"), str)]
    return [
        EvalResult(
            task_type=TASK,
            dataset_type=data["source"],
            dataset_name=data["source"],
            dataset_split="test",
            dataset_args={"digest": data["digest"]},
            metric_type="accuracy",
            metric_name=f"accuracy, {row['attack']}",
            metric_value=_rounded(row["mean"]),
            metric_args={key: _rounded(row[key]) for key in ("low", "high") if pd.notna(row[key])}
            | {"images": int(row["n_images"]), "networks": int(row["n_seeds"])},
        )
        for row in rows
        if pd.notna(row["mean"])  # not a number in JSON, which the hub makes of it
    ]


def _rounded(value: float) -> float:
    """As the table of the card prints it."""
    return float(f"{value:.4g}")


def _body(card: dict[str, Any], figures: pd.DataFrame) -> str:
    size, classes = " x ".join(map(str, card["input"]["shape"])), len(card["classes"])
    start = {f"start: {name}": value for name, value in card["settings"].get("start", {}).items()}
    settings = {**card["data"], **card["settings"]["regime"], **start, **card["settings"]["training"]}
    lines = [f"# {card['run']}", ""]
    lines += [f"`{card['settings']['model']}`, pixels {card['input']['pixels']}, {size}; {classes} classes.", ""]
    lines += ["| setting | value |", "|---|---|", *(f"| {name} | `{value}` |" for name, value in settings.items())]
    lines += ["", "| statistic | mean | low | high | images | networks |", "|---|---|---|---|---|---|"]
    for row in figures.to_dict("records"):
        by_score = f"{row['statistic']} by {row['score']}" if "statistic" in row else ""
        name = f"accuracy, {row['attack']}" if isinstance(row.get("attack"), str) else by_score
        cells = ["-" if pd.isna(row[key]) else f"{row[key]:.4g}" for key in ("mean", "low", "high")]
        lines.append(f"| {name} | {' | '.join(cells)} | {row['n_images']} | {row['n_seeds']} |")
    return "\n".join([*lines, ""])

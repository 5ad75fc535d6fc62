"""A study that never ran: every table, map and image the page is made of, in memory or as the pipeline leaves them."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml

from spectroscope.pipeline import io
from spectroscope.pipeline.arrays import ArrayImages
from spectroscope.report import results, style

RUNS = ["standard", "adversarial", "low_pass", "high_pass", "fifth", "sixth", "seventh", "eighth"]
ATTACKS = ["fgsm", "pgd", "simba"]
BANDS = ["full", "low", "high"]
CLASSES = ["brick", "grass", "moon"]
SHELLS, N, SIZE = 8, 12, 8
SHAPE = ["centroid", "centroid_abs", "negative_share", "hf_share", "class_negative"]
COMPARED = ["centroid by margin", "hf_share by margin", "low_sum by probability"]
LAYERS = [f"1.{place} Conv2d" for place in range(8)]
NETWORKS = ["network", "random weights", "shuffled pixels"]
LOST, CHANGES = ["low", "middle", "high"], ["without", "only", "equal_energy"]
CHOICES = ("basis", "shape", "baseline", "clip", "normalisation")


def run_colours(n_runs: int) -> dict[str, str]:
    return style.assign_colours(RUNS[:n_runs])


def rows(rng: np.random.Generator, scale: float = 1.0, n_seeds: int = 3, **axes: list) -> pd.DataFrame:
    """One row for each combination of the axes, with a mean inside its interval."""
    table = pd.MultiIndex.from_product(axes.values(), names=axes).to_frame(index=False)
    mean = scale * rng.uniform(0.2, 0.8, len(table))
    width = scale * rng.uniform(0.01, 0.05, len(table))
    table = table.assign(mean=mean, low=mean - width, high=mean + width, n_images=200, n_seeds=n_seeds)
    return table.assign(networks=[" ".join([f"{value:.4g}"] * n_seeds) for value in mean])


def tables(
    n_runs: int = 4, attacks: list[str] = ATTACKS, shells: int = SHELLS, n_seeds: int = 3
) -> dict[str, pd.DataFrame]:
    """Every table the page reads."""
    rng, runs, shell = np.random.default_rng(0), RUNS[:n_runs], list(range(shells))

    def table(scale: float = 1.0, **axes: list) -> pd.DataFrame:
        return rows(rng, scale, n_seeds, **axes)

    epochs = table(run=runs, seed=list(range(n_seeds)), epoch=[1, 2, 3])[["run", "seed", "epoch"]]
    contrast = table(run=runs[1:], reference=runs[:1], statistic=["clean", *attacks, *COMPARED])
    contrast[["mean", "low", "high"]] -= 0.5
    scores = ["margin", "probability", "logit"]
    frequency = table(run=runs, score=scores, shell=shell).assign(at_chance=False)
    frequency[["mean", "low", "high"]] = frequency[["mean", "low", "high"]].mul(8.0 / (1 + frequency["shell"]), axis=0)
    cell = {"run": runs, "attack": attacks, "source": ["attack", "control"]}
    probes = table(band=["all", "0", "1"], features=["signed", "magnitude"], labels=["true", "permuted"])
    score = table(**cell, shape=["linf", "radial"], shell=shell)
    strength = {"n_attacked": 200, "kind": "white box", "norm": "linf", "eps": 0.03, "l2": 1.0, "queries": 9.0}
    strength |= dict.fromkeys(("median_l2", "median_l2_low", "median_l2_high"), np.nan)
    whole, equal = (table(run=runs, entry=[entry], band=BANDS) for entry in ("confined", "confined-16"))
    whole["coefficients"] = whole["band"].map(dict(zip(BANDS, (64, 16, 48), strict=True)))
    confined = pd.concat([whole, equal.assign(coefficients=16)], ignore_index=True)
    transfer = table(attack=attacks[:1], source=runs, run=runs)
    return {
        "accuracy": table(run=runs, attack=["clean", *attacks]).assign(clean=0.75),
        "band_accuracy": table(run=runs, band=BANDS),
        "occluded_frequency": frequency,
        "class_occluded_frequency": table(run=runs, score=scores, **{"class": CLASSES}, shell=shell),
        "reliance": table(run=runs, score=scores, statistic=SHAPE).assign(n_missing=0, marked=False),
        "band_loss": table(run=runs, band=LOST, change=CHANGES, measure=["accuracy", "probability"], energy=[0.2]),
        "perturbation": table(1 / shells, **cell, shape=["linf"], statistic=["power", "mean_of_ratios"], shell=shell),
        "calibrated": score.assign(z=30 * score["mean"], null=0.01),
        "split_half": table(run=runs, attack=attacks, source=["attack"], estimator=["mean_of_ratios", "score"]),
        "probes": probes.assign(coefficients=9).drop(columns=["n_seeds", "networks"]),
        "class_spectra": table(**{"class": CLASSES}, statistic=["magnitude", "adcs"], shell=shell).drop(
            columns=["n_seeds", "networks"]
        ),
        "margins": table(run=runs, band=[0, 1, 2]).assign(unreached=0.0),
        "masks": table(run=runs, mask=["network", "essential", "adversarial"], shell=shell),
        "counterparts": table(run=runs, statistic=["change", "control", "remaining", "left"], shell=shell),
        "layers": table(
            run=runs, layer=LAYERS, network=NETWORKS, statistic=["relative", "passed"], band=[1, 2, 3]
        ).pipe(lambda rows: rows.assign(cycles=2.0 ** rows["band"])),
        "contrasts": contrast,
        "training": epochs.assign(loss=2 / epochs["epoch"], clean=0.6, robust=0.3),
        "attacks": table(run=runs, attack=attacks).assign(**strength),
        "queries": table(run=runs, attack=attacks[-1:], queries=[1, 10, 100]),
        "confined": confined.assign(norm="l2", l2=0.5, relied=rng.normal(size=len(confined))),
        "attack_transfer": transfer[transfer["source"] != transfer["run"]],
        **_validation_tables(table, runs),
        "claims": claims(),
    }


def claims() -> pd.DataFrame:
    """A claim of each verdict."""
    row = {"says": "High frequencies & noise", "mean": 0.3, "low": 0.2, "high": 0.4, "expect": "above", "margin": 0.1}
    row |= {
        "unit": "log ratio",
        "n_networks": 3,
        "n_images": 200,
        "n_runs": 0,
        "networks": "",
        "confidence": 0.99,
        "weak": False,
    }
    row |= {"control": 0.01, "control_low": -0.1, "control_high": 0.1, "table": "calibrated", "why": "a fifth"}
    row |= {"void": "", "reason": "", "needed": "", "choice": ""}
    below = {"expect": "below", "margin": 1.0, "unit": "shells", "table": "reliance", "control": np.nan}
    none = {
        "low": np.nan,
        "high": np.nan,
        "reason": "two networks have no interval",
        "needed": "at least 3 networks a run",
    }
    changes = {
        "supported": {},
        "refuted": below,
        "undetermined": none | {"n_networks": 2},
        "void": {"void": "the control shows the effect too"},
    }
    return pd.DataFrame([{**row, **change, "claim": name, "verdict": name} for name, change in changes.items()])


def _validation_tables(table, runs: list[str]) -> dict[str, pd.DataFrame]:
    methods = table(run=runs, method=["occluded", "waves"], band=[0, 1, 2])
    across = [
        table(run=runs, method=["all"], across=["methods"]).assign(raters=2),
        table(run=runs, method=["occluded", "waves"], across=["seeds"]).assign(raters=3),
    ]
    choices = {name: ["a"] for name in CHOICES} | {"score": ["logit", "margin"]}
    sign = {"run": runs[-1], "statistic": "hf_share", "n_choices": 2, "no_centre": 0, "same_sign": 1.0, "sure": 0.5}
    lost = {"hurt_named": 0.4, "hurt_other": 0.1, "hurts_more": 1.0}
    found = {"labels": "original", "chance": 0.2, "p": 0.0001, "control": 0.45, "control_p": 0.012}
    faithfulness = table(run=runs, order=["occluded", "energy"], unit=["band"], kind=["deletion", "insertion"])
    less = [f"less_energy{end}" for end in ("", "_low", "_high")]
    faithfulness[less] = faithfulness[["mean", "low", "high"]].sub([0.5, 0.5, 0.5])
    faithfulness.loc[faithfulness["order"] == "energy", less] = np.nan
    return {
        "methods": methods.assign(position=methods["band"] / 2),
        "agreement": table(run=runs, method=["occluded"], other=["waves"]),
        "concordance": pd.concat(across),
        "faithfulness": faithfulness,
        "recovery": table(run=runs[:1], method=["occluded"]).assign(**lost, **found),
        "multiverse": table(run=runs[1:], reference=runs[:1], statistic=["hf_share"], **choices).assign(marked=False),
        "signs": pd.DataFrame([sign]),
    }


def tensors() -> io.Images:
    pixels = torch.rand(N, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    return io.Images(pixels, torch.arange(N) % len(CLASSES), tuple(CLASSES))


def images() -> ArrayImages:
    test = tensors()
    return ArrayImages(test.pixels.numpy(), test.labels.numpy(), test.clusters.numpy(), test.classes)


def cell(right: list[int], fooled: list[int]) -> tuple[np.ndarray, pd.DataFrame]:
    """An attack that fools the images `fooled` of a network that had the images `right` right."""
    test = images()
    rows = pd.DataFrame({"seed": 0, "image": range(N), "label": test.labels})
    rows["before"] = np.where(rows["image"].isin(right), rows["label"], (rows["label"] + 1) % len(CLASSES))
    return np.zeros_like(test.pixels), rows.assign(after=1, success=rows["image"].isin(fooled))


def rct_maps(n_runs: int = 4, attacks: list[str] = ATTACKS) -> pd.DataFrame:
    estimators, shell = ["mean_of_ratios", "median_of_ratios", "ratio_of_means", "score"], list(range(SHELLS))
    axes = {"run": RUNS[:n_runs], "attack": attacks, "source": ["attack", "control"], "estimator": estimators}
    return rows(np.random.default_rng(1), 10, **axes, u=shell, v=shell)


def attribution_map() -> pd.DataFrame:
    u, v = np.indices((4, 4)).reshape(2, -1)
    return pd.DataFrame({"method": "waves", "u": u, "v": v, "value": u - 1.0 * v, "seed": 0})


def settings(n_runs: int = 4) -> dict:
    return {
        "runs": {run: {"band": "full", "regime": {"name": "standard"}, "model": "resnet8"} for run in RUNS[:n_runs]},
        "attacks": {attack: {"method": "pgd", "random_start": True, "eps": None} for attack in ATTACKS},
        "bands": {band: {"keep": "all", "clip": False} for band in BANDS},
        "statistics": {"confidence": 0.95},
        "findings": {
            "reference": RUNS[0],
            "attack": "pgd",
            "usual": {"accuracy": 0.9, "source": "somebody"},
            "floor": 0.88,
        },
    }


def study(n_runs: int = 2, **changes) -> results.Results:
    """The whole study in memory; `changes`: fields of Results, and tables to replace by name in `tables`."""
    fields = {
        "settings": settings(n_runs),
        "provenance": {"source": "photos", "test_images": 12},
        "warnings": {},
        "tables": tables(n_runs) | changes.pop("tables", {}),
        "rct_maps": rct_maps(n_runs),
        "attribution_maps": dict.fromkeys(RUNS[:n_runs], attribution_map()),
        "images": images(),
        "bands": dict.fromkeys(BANDS, images()),
        "adversaries": {(run, attack): cell([1], [1]) for run in RUNS[:n_runs] for attack in ATTACKS},
    }
    return results.Results(**fields | changes)


def write_study(root: Path, n_runs: int = 4) -> None:
    """The same as files, where the pipeline leaves them."""
    test = tensors()
    io.write_images(root / "images.parquet", test, source="photos", digest="abc")
    for band in BANDS:
        kept = test.pixels if band == "full" else test.pixels - test.pixels.mean((2, 3), keepdim=True)
        io.write_images(root / "bands" / band / "test.parquet", io.Images(kept, test.labels, test.classes))
    generator = torch.Generator().manual_seed(0)
    for run in RUNS[:n_runs]:
        io.write_table(root / "attribution" / run / "maps.parquet", attribution_map())
        for attack in ATTACKS:
            _, rows = cell(list(range(8)), list(range(7, N)))  # of those fooled only image 7 was right before
            rows = pd.concat([rows, rows.assign(seed=1)], ignore_index=True).assign(variant="")
            changes = torch.randn(2 * N, 3, SIZE, SIZE, generator=generator) / 255
            io.write_arrays(root / "attacks" / run / f"{attack}.parquet", changes, rows)
    for name, table in tables(n_runs).items():
        io.write_table(root / f"tables/{name}.csv", table)
    io.write_table(root / "maps.parquet", rct_maps(n_runs))
    io.write_json(root / "warnings.json", {})
    (root / "params.yaml").write_text(yaml.safe_dump(settings(n_runs), sort_keys=False))

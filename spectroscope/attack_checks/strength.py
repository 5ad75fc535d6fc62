"""How strong the attacks of a study are, and what speaks against believing them.

Tables in, tables out; every row of a result ends in mean, low, high, n_images, n_seeds, a bootstrap over seeds and
images. `rows`: one for each run, attack, seed and image, as the attack stage writes them. A success counts among the
images that the network had right, which alone are attacked.
"""

import numpy as np
import pandas as pd

from spectroscope import bootstrap as stats
from spectroscope.bootstrap import StatisticsSettings, grid

POINTS = 16  # of a curve of success against queries
CHECKS = {
    "zero_gradients": "the gradient is zero on {share:.0%} of the images: gradient attacks are blind there",
    "varies": "two passes over the same images give different logits on {share:.0%} of them: attacks need averaging",
    "probabilities": "the outputs of {share:.0%} of the images are probabilities: gradients vanish where they saturate",
}


def successes(rows: pd.DataFrame, about: pd.DataFrame, runs: list[str], settings: StatisticsSettings) -> pd.DataFrame:
    """Success of each attack on each run; about: as of `attack_descriptions.describe`.

    run, attack, kind, norm, eps; l2 and queries: medians over the successes.
    """
    found = []
    for run, attack, kind, norm, eps, part in _cells(rows, about, runs):
        fooled = part[part["success"]]
        cell = {"run": run, "attack": attack, "kind": kind, "norm": norm, "eps": eps}
        cell |= {"l2": fooled["l2"].median(), "queries": fooled["queries_to_success"].median()}
        found.append({**cell, **_share(_among_right(part, part["success"]), runs.index(run), settings)[0]})
    return pd.DataFrame(found)


def query_curves(
    rows: pd.DataFrame, about: pd.DataFrame, runs: list[str], settings: StatisticsSettings
) -> pd.DataFrame:
    """Success of the black boxes within so many queries: run, attack, queries, on a geometric grid up to the most."""
    found = []
    for run, attack, kind, _, _, part in _cells(rows, about, runs):
        if kind != "black box" or not part["queries"].max():
            continue
        budgets = np.unique(np.geomspace(1, part["queries"].max(), POINTS).round().astype(int))
        within = [part["success"] & (part["queries_to_success"] <= budget) for budget in budgets]
        shares = _share(_among_right(part, *within), runs.index(run), settings)
        found += [
            {"run": run, "attack": attack, "queries": budget, **share}
            for budget, share in zip(budgets, shares, strict=True)
        ]
    return pd.DataFrame(found, columns=["run", "attack", "queries", "mean", "low", "high", "n_images", "n_seeds"])


def confined(
    rows: pd.DataFrame,
    about: pd.DataFrame,
    runs: list[str],
    relied: pd.DataFrame,
    settings: StatisticsSettings,
) -> pd.DataFrame:
    """Success of attacks confined to a band at matched l2: run, entry, band, norm, l2, relied.

    In the l2 ball all bands have its radius. In another ball the l2 norm differs from band to band: a success counts
    where it is at most the smallest of the bands' median l2 norms, over all runs. relied: rows (run,
    entry, variant, relied), one for each network: what a run loses with the band.
    """
    lost = relied.groupby(["run", "entry", "variant"])["relied"].mean()
    banded = about[(about["kind"] == "confined") & (about["variant"] != "")]
    found = []
    for (entry, norm, eps), group in banded.groupby(["entry", "norm", "eps"], sort=False, dropna=False):
        radius = eps
        if norm != "l2":
            hits = rows[rows["success"] & rows["attack"].isin(group["attack"])]
            radius = hits.groupby(["run", "attack"])["l2"].median().min()
        for run, attack, _, _, _, part in _cells(rows, group, runs):
            band = group.set_index("attack").loc[attack, "variant"]
            within = part["success"] & (part["l2"] <= radius * (1 + 1e-5))
            (share,) = _share(_among_right(part, within), runs.index(run), settings)
            cell = {"run": run, "entry": entry, "band": band, "norm": norm, "l2": radius}
            found.append({**cell, "relied": lost[run, entry, band], **share})
    ending = ["mean", "low", "high", "n_images", "n_seeds"]
    return pd.DataFrame(found, columns=["run", "entry", "band", "norm", "l2", "relied", *ending])


def transfers(carried: pd.DataFrame, runs: list[str], settings: StatisticsSettings) -> pd.DataFrame:
    """How often what fooled one run fools another: attack, source, run; carried: also seed, image, fooled."""
    found = []
    for (attack, source, run), part in carried.groupby(["attack", "source", "run"], sort=False):
        (share,) = _share(grid(part, ["fooled"]), runs.index(run), settings)
        found.append({"attack": attack, "source": source, "run": run, **share})
    ending = ["mean", "low", "high", "n_images", "n_seeds"]
    return pd.DataFrame(found, columns=["attack", "source", "run", *ending])


def warnings(
    rows: pd.DataFrame,
    about: pd.DataFrame,
    checks: pd.DataFrame,
    carried: pd.DataFrame,
    runs: list[str],
    settings: StatisticsSettings,
) -> dict[str, dict[str, str]]:
    """What speaks against the attacks, by run and by the name of what found it; empty where nothing does.

    Compared at each radius: the strongest white box with every other attack and with what other runs' perturbations do
    to this one. Gradients may be masked where the other succeeds more often, on the same images, by more than chance.
    checks: the shares of `sanity.checks`, with the run.
    """
    found: dict[str, dict[str, str]] = {}
    for run, part in checks.groupby("run", sort=False):
        for name, text in CHECKS.items():
            if (share := part[name].mean()) > 0:
                found.setdefault(run, {})[name] = text.format(share=share)
    for run in runs:
        cells = {attack: (norm, eps, kind, part) for _, attack, kind, norm, eps, part in _cells(rows, about, [run])}
        stronger = {}
        for norm, radius in dict.fromkeys((norm, eps) for norm, eps, _, _ in cells.values() if pd.notna(norm)):
            at = {name: _within(*cell, norm, radius) for name, cell in cells.items()}
            at = {name: values for name, values in at.items() if values is not None}
            white = {name: np.nanmean(values) for name, values in at.items() if cells[name][2] == "white box"}
            if not white or np.isnan(best := max(white.values())):
                continue
            strongest = next(name for name, rate in white.items() if rate == best)
            others = {name: values for name, values in at.items() if cells[name][2] not in ("white box", "ensemble")}
            others |= _carried(carried, about, run, norm, radius)
            for name, values in others.items():
                n = min(values.shape[1], at[strongest].shape[1])
                excess = _share((values[:, :n] - at[strongest][:, :n])[:, :, None], runs.index(run), settings)[0]
                if excess["low"] > 0:
                    stronger[name] = (
                        f"{name} fools {excess['mean']:.1%} [{excess['low']:.1%}, {excess['high']:.1%}] more images "
                        f"than the strongest white box, {strongest}, at {norm} {radius:.4g}: gradients may be masked"
                    )
        if stronger:
            found.setdefault(run, {}).update(stronger)
    return found


def _within(norm: str, eps: float, kind: str, part: pd.DataFrame, at: str, radius: float) -> np.ndarray | None:
    """Whether an attack fooled each image within this radius, (seeds, images), NaN where it was not attacked.

    None where the attack cannot say: it has another ball, or none and its norm is not the l2 norm.
    """
    if pd.isna(norm) and at == "l2":
        return _among_right(part, part["success"] & (part["l2"] <= radius))[:, :, 0]
    if norm == at and np.isclose(eps, radius):
        return _among_right(part, part["success"])[:, :, 0]
    return None


def _carried(carried: pd.DataFrame, about: pd.DataFrame, run: str, norm: str, radius: float) -> dict[str, np.ndarray]:
    """What attacks of this ball on other runs do to this one: (seeds, images)."""
    same = about[(about["norm"] == norm) & np.isclose(about["eps"], radius)]["attack"]
    chosen = carried[(carried["run"] == run) & carried["attack"].isin(same)]
    groups = chosen.groupby(["attack", "source"], sort=False)
    return {f"{attack} from {source}": grid(part, ["fooled"])[:, :, 0] for (attack, source), part in groups}


def _cells(rows: pd.DataFrame, about: pd.DataFrame, runs: list[str]) -> list[tuple]:
    """(run, attack, kind, norm, eps, rows) in the order of runs and attacks."""
    groups = dict(list(rows.groupby(["run", "attack"], sort=False)))
    return [
        (run, each.attack, each.kind, each.norm, each.eps, groups[run, each.attack])
        for run in runs
        for each in about.itertuples()
    ]


def _among_right(part: pd.DataFrame, *values: pd.Series) -> np.ndarray:
    """Values of each seed and image, NaN where the network was wrong before: (seeds, images, values)."""
    right = part["before"] == part["label"]
    columns = {str(number): value.astype(float).where(right) for number, value in enumerate(values)}
    return grid(part[["seed", "image"]].assign(**columns), list(columns))


def _share(values: np.ndarray, stream: int, settings: StatisticsSettings) -> list[dict[str, float | int]]:
    """Mean with interval of each value (seeds, images, K); n_images: those that count for at least one seed."""
    groups = stats.everything(values.shape[1])
    with np.errstate(invalid="ignore"):
        point, drawn = stats.estimate(values, groups)[0], stats.draws(values, groups, settings, stream)[:, 0]
    shape = (len(values), int(np.isfinite(values).all(2).any(0).sum()))
    return [stats.summary(mean, drawn[:, k], shape, settings) for k, mean in enumerate(point)]

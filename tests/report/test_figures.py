"""Charts hold exactly the rows of their table, in the colours of their runs."""

import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import vl_convert

from spectroscope.report import attack_figures, bandfigures, figures, style

SHELLS, SEEDS = 8, 3
ATTACKS = ["fgsm", "pgd", "simba"]
BANDS = ["full", "low", "high"]
CLASSES = ["brick", "grass", "moon"]
MATRICES = ("band_accuracy", "attack_transfer")


def runs(n: int) -> list[str]:
    return ["standard", "adversarial", "low_pass", "high_pass", "fifth", "sixth", "seventh", "eighth"][:n]


def rows(rng: np.random.Generator, scale: float = 1.0, **axes: list) -> pd.DataFrame:
    """One row for each combination of the axes, with a mean inside its interval."""
    table = pd.MultiIndex.from_product(axes.values(), names=axes).to_frame(index=False)
    mean = scale * rng.uniform(0.2, 0.8, len(table))
    width = scale * rng.uniform(0.01, 0.05, len(table))
    return table.assign(mean=mean, low=mean - width, high=mean + width, n_images=200, n_seeds=SEEDS)


def tables(n_runs: int = 4, attacks: list[str] = ATTACKS, shells: int = SHELLS) -> dict[str, pd.DataFrame]:
    """The tables of a study that never ran."""
    rng, names, shell = np.random.default_rng(0), runs(n_runs), list(range(shells))
    epochs = rows(rng, run=names, seed=[0, 1], epoch=[1, 2, 3])[["run", "seed", "epoch"]]
    contrast = rows(rng, run=names[1:], reference=names[:1], statistic=["clean", *attacks, "centroid", "hf_share"])
    contrast[["mean", "low", "high"]] -= 0.5
    frequency = rows(rng, run=names, shell=shell)
    frequency[["mean", "low", "high"]] = frequency[["mean", "low", "high"]].mul(8.0 / (1 + frequency["shell"]), axis=0)
    by_class = rows(rng, run=names, **{"class": CLASSES}, shell=shell)
    shares = {"run": names, "attack": attacks, "source": ["attack", "control"]}
    power = rows(rng, 1 / shells, **shares, shape=["linf"], statistic=["power", "mean_of_ratios"], shell=shell)
    estimators = ["mean_of_ratios", "median_of_ratios", "ratio_of_means", "score"]
    score = rows(rng, **shares, shape=["linf", "radial"], shell=shell)
    probes = rows(rng, band=["all", "0", "1"], features=["signed", "magnitude"], labels=["true", "permuted"])
    spectra = rows(rng, **{"class": CLASSES}, statistic=["magnitude", "adcs"], shell=shell)
    return {
        "accuracy": rows(rng, run=names, attack=["clean", *attacks]),
        "band_accuracy": rows(rng, run=names, band=BANDS),
        "occluded_frequency": frequency,
        "class_occluded_frequency": by_class.drop(columns=["low", "high"]),
        "reliance": rows(rng, run=names, statistic=["centroid", "hf_share"]).assign(n_missing=0),
        "perturbation": power,
        "calibrated": score.assign(z=30 * score["mean"], null=0.01),
        "split_half": rows(rng, run=names, attack=attacks, source=["attack"], estimator=estimators),
        "probes": probes.assign(coefficients=9).drop(columns="n_seeds"),
        "class_spectra": spectra.drop(columns="n_seeds"),
        "margins": rows(rng, run=names, band=[0, 1, 2]).assign(unreached=0.0),
        "masks": rows(rng, run=names, mask=["network", "essential", "adversarial"], shell=shell),
        "counterparts": rows(rng, run=names, statistic=["change", "control", "remaining", "left"], shell=shell),
        "contrasts": contrast,
        **attack_tables(rng, names, attacks),
        "training": epochs.assign(loss=2 / epochs["epoch"], clean=0.6, robust=0.3),
        "maps": rows(rng, 10, **shares, estimator=estimators, u=shell, v=shell),
    }


def attack_tables(rng: np.random.Generator, names: list[str], attacks: list[str]) -> dict[str, pd.DataFrame]:
    """What the stage `strength` writes."""
    pairs = rows(rng, attack=attacks[:1], source=names, run=names)
    bands = rows(rng, run=names, entry=["confined"], band=BANDS)
    return {
        "attacks": rows(rng, run=names, attack=attacks).assign(
            kind="white box", norm="linf", eps=0.03, l2=1, queries=9
        ),
        "queries": rows(rng, run=names, attack=attacks[-1:], queries=[1, 10, 100]),
        "confined": bands.assign(norm="l2", l2=0.5, relied=rng.normal(size=len(bands))),
        "attack_transfer": pairs[pairs["source"] != pairs["run"]],
    }


def charts(table: dict[str, pd.DataFrame], hues: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Every chart of the page as a Vega-Lite specification, by its table."""
    made = {
        "occluded_frequency": figures.occluded_frequency(
            table["occluded_frequency"], table["class_occluded_frequency"], hues
        ),
        "band_accuracy": figures.transfer(table["band_accuracy"], hues),
        "accuracy": figures.accuracy(table["accuracy"], hues),
        "contrasts": figures.contrasts(table["contrasts"], hues),
        "perturbation": figures.power(table["perturbation"], hues),
        "calibrated": bandfigures.calibrated(table["calibrated"], hues),
        "margins": bandfigures.margins(table["margins"], hues),
        "masks": bandfigures.masks(table["masks"], hues),
        "counterparts": bandfigures.counterparts(table["counterparts"], hues),
        "training": figures.training(table["training"], hues),
        "queries": attack_figures.queries(table["queries"], hues),
        "confined": attack_figures.confined(table["confined"], hues),
        "attack_transfer": attack_figures.transfer(table["attack_transfer"], hues),
    }
    return {name: chart.to_dict() for name, chart in made.items()}


def found(spec: Any, key: str) -> Iterator[Any]:
    """Every value under `key`, at any depth."""
    if isinstance(spec, dict):
        yield from ([spec[key]] if key in spec else [])
        for value in spec.values():
            yield from found(value, key)
    elif isinstance(spec, list):
        for value in spec:
            yield from found(value, key)


def drawn(spec: dict[str, Any]) -> pd.DataFrame:
    """The rows a chart holds, each once."""
    held = [values for values in spec["datasets"].values() if isinstance(values, str)]
    return pd.concat(pd.read_csv(io.StringIO(text)) for text in held)


@pytest.fixture(scope="module")
def table() -> dict[str, pd.DataFrame]:
    return tables()


@pytest.fixture(scope="module")
def specs(table) -> dict[str, dict[str, Any]]:
    return charts(table, style.colours(runs(4)))


@pytest.mark.parametrize(
    "name", ["band_accuracy", "accuracy", "contrasts", "training", "margins", "masks", "queries", "attack_transfer"]
)
def test_a_chart_holds_exactly_the_rows_of_its_table(specs, table, name):
    rows = drawn(specs[name])
    order = [column for column in rows if not pd.api.types.is_float_dtype(rows[column])]
    expected = table[name][list(rows)].sort_values(order, ignore_index=True)
    pd.testing.assert_frame_equal(rows.sort_values(order, ignore_index=True), expected, rtol=1e-5, check_dtype=False)


def test_the_power_chart_leaves_the_other_measures_out(specs, table):
    power = table["perturbation"].query("statistic == 'power'")
    assert len(power) == len(table["perturbation"]) / 2
    np.testing.assert_allclose(drawn(specs["perturbation"])["mean"], power["mean"], rtol=1e-5)


def test_the_chart_of_counterparts_shows_what_remains(specs, table):
    remaining = table["counterparts"].query("statistic == 'remaining'")
    np.testing.assert_allclose(drawn(specs["counterparts"])["mean"], remaining["mean"], rtol=1e-5)


def test_the_chart_of_information_holds_the_probes_and_the_adcs_of_each_class(table):
    chart = bandfigures.information(table["probes"], table["class_spectra"]).to_dict()
    shown, own = drawn(chart), table["class_spectra"].query("statistic == 'adcs'")
    found = [len(part) for part in (shown.dropna(subset=["band"]), shown.dropna(subset=["shell"]))]
    assert found == [len(table["probes"]), len(own)]
    np.testing.assert_allclose(shown.dropna(subset=["shell"])["mean"], own["mean"], rtol=1e-5)
    assert "NaN" not in vl_convert.vegalite_to_svg(chart)


def test_the_chart_against_noise_shows_one_shape_and_counts_the_intervals_of_noise(table):
    rows = table["calibrated"]
    rows.loc[(rows["source"] == "control") & (rows["shell"] < 2), ["low", "high"]] = [-0.1, 0.1]
    chart = bandfigures.calibrated(rows, style.colours(runs(4))).to_dict()
    shown = rows.query("shape == 'linf'")
    np.testing.assert_allclose(drawn(chart)["z"], shown["z"], rtol=1e-5)
    control = len(shown) // 2
    assert f"{control * 2 // SHELLS} of its {control} intervals include zero" in chart["description"]


def test_the_reliance_chart_offers_the_mean_and_every_class(specs, table):
    spec = specs["occluded_frequency"]
    rows, (select,) = drawn(spec), [bind for bind in found(spec, "bind") if isinstance(bind, dict)]
    assert select["options"] == [figures.MEAN, *CLASSES]
    of_class = table["class_occluded_frequency"]
    for name, part in [(figures.MEAN, table["occluded_frequency"]), *of_class.groupby("class")]:
        np.testing.assert_allclose(rows.loc[rows["class"] == name, "mean"], part["mean"], rtol=1e-5)


def test_every_run_has_its_one_colour_in_every_chart(specs):
    hues = style.colours(runs(4))
    assert len(set(hues.values())) == 4
    for name, spec in specs.items():
        coloured = [channel for key in ("color", "fill") for channel in found(spec, key) if isinstance(channel, dict)]
        scales = [scale for channel in coloured for scale in found(channel, "scale") if "domain" in scale]
        of_runs = [
            dict(zip(scale["domain"], scale["range"], strict=True)) for scale in scales if scale["domain"] != [0, 1]
        ]
        assert of_runs or name in MATRICES
        assert all(given == hues for given in of_runs)


def test_every_caption_says_what_its_numbers_rest_on(specs):
    for name, spec in specs.items():
        assert "seeds" in spec["description"]
        assert "interval" in spec["description"]
        assert name == "training" or "n\u00a0=\u00a0200" in spec["description"]


@pytest.mark.parametrize("column", ["run", "attack", "low", "n_seeds"])
def test_a_missing_column_is_named(table, column):
    with pytest.raises(ValueError, match=f"accuracy: expected column {column}, got"):
        figures.accuracy(table["accuracy"].drop(columns=column), style.colours(runs(4)))


def test_an_empty_table_is_refused(table):
    with pytest.raises(ValueError, match="band_accuracy: expected at least one row"):
        figures.transfer(table["band_accuracy"].head(0), style.colours(runs(4)))


@pytest.mark.parametrize(("n_runs", "n_attacks"), [(2, 1), (8, 20)])
def test_charts_compile_for_few_and_many_runs_and_attacks(n_runs, n_attacks):
    attacks = [f"attack{i}" for i in range(n_attacks)]
    for name, spec in charts(tables(n_runs, attacks, 4), style.colours(runs(n_runs))).items():
        svg = vl_convert.vegalite_to_svg(spec)
        assert all(f">{run}<" in svg for run in runs(n_runs)), name
        assert "NaN" not in svg


def test_a_click_in_the_legend_reaches_every_chart_of_runs(specs):
    for name, spec in specs.items():
        signals = [signal["name"] for signal in vl_convert.vegalite_to_vega(spec).get("signals", [])]
        assert ("pick_run_legend" in signals) == (name not in MATRICES), name


def test_logits_are_not_compared(table):
    rows = pd.concat([table["contrasts"], table["contrasts"].assign(statistic="low_sum")])
    assert "low_sum" not in set(drawn(figures.contrasts(rows, style.colours(runs(4))).to_dict())["statistic"])


def test_a_dot_is_hollow_exactly_where_its_interval_holds_zero():
    rows = tables(4)["contrasts"]
    rows[["low", "high"]] = np.stack([rows["mean"] - 0.1, rows["mean"] + 0.1], 1)
    svg = vl_convert.vegalite_to_svg(figures.contrasts(rows, style.colours(runs(4))).to_dict())
    hollow = re.findall(r'aria-roledescription="point"[^>]*fill="white"', svg)
    filled = re.findall(r'aria-roledescription="point"[^>]*fill="#', svg)
    holds_zero = (rows["low"] <= 0) & (rows["high"] >= 0)
    assert (len(hollow), len(filled)) == (holds_zero.sum(), (~holds_zero).sum())
    assert holds_zero.any()


@pytest.mark.parametrize(("name", "start"), [("a.svg", b"<svg"), ("a.png", b"\x89PNG")])
def test_the_overview_is_exported(table, tmp_path, name, start):
    chart = figures.overview(table["occluded_frequency"], table["accuracy"], style.colours(runs(4)))
    figures.export(chart, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)


def test_an_unknown_ending_is_refused(table, tmp_path):
    chart = figures.transfer(table["band_accuracy"], style.colours(runs(4)))
    with pytest.raises(ValueError, match=r"expected a name ending in \.svg or \.png, got '\.gif'"):
        figures.export(chart, tmp_path / "a.gif")

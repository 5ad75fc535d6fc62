"""Chapters hold the numbers of their tables: every run in its colour, every caption with its sample."""

import io as memory
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import report_tables
import vl_convert
from report_pages import decoded
from report_tables import ATTACKS, LAYERS, RUNS, SHELLS, cell, study, tables

from spectroscope.pipeline.arrays import ArrayImages
from spectroscope.report import page
from spectroscope.report.chapters import (
    attack_checks,
    attacks,
    attribution,
    bands,
    dataset,
    evaluation,
    findings,
    information,
    perturbation,
    probing,
    training,
    validation,
)

MATRICES = ("band_accuracy", "attack_transfer", "agreement")
SOURCES = {"against_energy": "faithfulness"}  # charts named otherwise than their table


def charts(table: dict[str, pd.DataFrame], run_colours: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Every chart of the page that shows runs as a Vega-Lite specification, by its table."""
    of_one_table = {
        "contrasts": findings.contrasts,
        "perturbation": perturbation.power,
        "margins": probing.margins,
        "masks": probing.masks,
        "counterparts": probing.counterparts,
        "queries": attack_checks.queries,
        "confined": attack_checks.confined,
        "attack_transfer": attack_checks.transfer,
        "methods": attribution.methods,
        "faithfulness": validation.faithfulness,
        "against_energy": validation.against_energy,
    }
    curves = (table["occluded_frequency"], table["class_occluded_frequency"])
    drawn = {name: draw(table[SOURCES.get(name, name)], run_colours) for name, draw in of_one_table.items()}
    drawn["occluded_frequency"] = attribution.occluded_frequency(*curves, run_colours)
    drawn["accuracy"] = evaluation.accuracy(table["accuracy"], table["attacks"], run_colours, 0.25)
    drawn["band_accuracy"] = bands.accuracy(table["band_accuracy"], run_colours, 0.25)
    drawn["training"] = training.training(table["training"], run_colours, 0.25)
    drawn["calibrated"] = perturbation.against_noise(table["calibrated"], run_colours, 0.95)
    drawn["layers"] = probing.layers(table["layers"], "passed", run_colours)
    drawn["agreement"] = validation.agreement(table["agreement"])
    drawn["multiverse"] = validation.choices(table["multiverse"], table["signs"], run_colours)
    return {name: chart.to_dict() for name, chart in drawn.items()}


def below(spec: Any, key: str) -> Iterator[Any]:
    """Every value under `key`, at any depth."""
    if isinstance(spec, dict):
        yield from ([spec[key]] if key in spec else [])
        for value in spec.values():
            yield from below(value, key)
    elif isinstance(spec, list):
        for value in spec:
            yield from below(value, key)


def held(spec: dict[str, Any]) -> pd.DataFrame:
    """The rows a chart holds, each once."""
    texts = [values for values in spec["datasets"].values() if isinstance(values, str)]
    return pd.concat(pd.read_csv(memory.StringIO(text)) for text in texts)


def chapter(module, results) -> str:
    return "".join(module.blocks(results))


@pytest.fixture(scope="module")
def table() -> dict[str, pd.DataFrame]:
    return tables()


@pytest.fixture(scope="module")
def specs(table) -> dict[str, dict[str, Any]]:
    return charts(table, report_tables.run_colours(4))


# ---- every chart


@pytest.mark.parametrize(
    "name",
    [
        *("band_accuracy", "accuracy", "contrasts", "training", "margins", "masks", "queries", "attack_transfer"),
        *("agreement", "faithfulness", "multiverse"),
    ],
)
def test_a_chart_holds_exactly_the_rows_of_its_table(specs, table, name):
    rows = held(specs[name]).drop(columns="rank", errors="ignore")
    order = [column for column in rows if not pd.api.types.is_float_dtype(rows[column])]
    expected = table[name][list(rows)].sort_values(order, ignore_index=True)
    pd.testing.assert_frame_equal(rows.sort_values(order, ignore_index=True), expected, rtol=1e-5, check_dtype=False)


@pytest.mark.parametrize(
    ("name", "condition", "column"),
    [
        ("perturbation", "statistic == 'power'", "mean"),
        ("counterparts", "statistic == 'remaining'", "mean"),
        ("calibrated", "shape == 'linf'", "z"),
        ("methods", "band > 0", "mean"),
    ],
)
def test_a_chart_leaves_out_what_it_does_not_show(specs, table, name, condition, column):
    shown = table[name].query(condition)
    assert 0 < len(shown) < len(table[name])
    np.testing.assert_allclose(held(specs[name])[column], shown[column], rtol=1e-5)


def test_every_run_has_its_one_colour_in_every_chart(specs):
    run_colours = report_tables.run_colours(4)
    for name, spec in specs.items():
        coloured = [channel for key in ("color", "fill") for channel in below(spec, key) if isinstance(channel, dict)]
        scales = [scale for channel in coloured for scale in below(channel, "scale") if "domain" in scale]
        of_runs = [scale for scale in scales if scale["domain"] not in ([0, 1], [-1, 1])]
        assert of_runs or name in MATRICES
        assert all(dict(zip(scale["domain"], scale["range"], strict=True)) == run_colours for scale in of_runs)


def test_every_caption_says_what_its_numbers_rest_on(specs):
    for name, spec in specs.items():
        assert "3 networks a run" in spec["description"] and "interval" in spec["description"]
        assert name == "training" or "n\u00a0=\u00a0200" in spec["description"]


@pytest.mark.parametrize(("n_runs", "n_attacks"), [(2, 1), (8, 7)])
def test_charts_are_drawn_for_few_and_many_runs_and_a_click_in_the_legend_reaches_them(n_runs, n_attacks):
    table = tables(n_runs, [f"attack{i}" for i in range(n_attacks)], 4)
    for name, spec in charts(table, report_tables.run_colours(n_runs)).items():
        vega = vl_convert.vegalite_to_vega(spec)
        signals = [signal["name"] for signal in vega.get("signals", [])]
        assert ("highlight_run_legend" in signals) == (name not in MATRICES), name
        svg = vl_convert.vega_to_svg(vega)
        shown = RUNS[name == "contrasts" : n_runs]  # the reference differs from nothing
        assert all(f">{run}<" in svg for run in shown) and (name != "contrasts" or f">{RUNS[0]}<" not in svg), name
        assert "NaN" not in svg


# ---- evaluation, bands, findings


def test_the_result_table_has_every_attack_and_run():
    frame, caption = evaluation.results_table(study())
    under = [f"under {attack}" for attack in ATTACKS]
    assert frame[""].tolist() == ["clean accuracy", *under, *(name for name, _ in evaluation.RELIANCE.values())]
    assert list(frame) == ["", "images", *RUNS[:2]] and "left out" not in caption
    assert set(frame["images"]) == {"200"} and "Chance is 33.3%." in caption


def test_an_attack_on_fewer_images_has_the_clean_accuracy_of_these():
    accuracy = tables(2)["accuracy"]
    accuracy.loc[accuracy["attack"] == "pgd", ["clean", "n_images"]] = [0.875, 50]
    rows = evaluation.results_table(study(tables={"accuracy": accuracy}))[0].set_index("")
    assert rows.loc["under pgd", RUNS[0]].endswith("] of 87.5 %") and rows.loc["under pgd", "images"] == "50"
    assert " of " not in rows.loc["under fgsm", RUNS[0]]


def test_a_run_on_a_band_is_judged_on_that_band():
    settings = report_tables.settings(2)
    settings["bands"]["low"] = {"keep": "inside"}
    settings["runs"][RUNS[1]]["band"] = "low"
    accuracy = tables(2)["band_accuracy"]
    accuracy.loc[(accuracy["run"] == RUNS[1]) & (accuracy["band"] == "low"), ["mean", "low", "high"]] = [0.5, 0.4, 0.6]
    frame, _ = evaluation.results_table(study(settings=settings, tables={"band_accuracy": accuracy}))
    assert frame.set_index("").loc["accuracy on its own band", RUNS[1]] == "50.0 % [40.0, 60.0]"


def test_what_a_run_at_chance_relies_on_is_not_told():
    curves, reliance = tables(2)["occluded_frequency"], tables(2)["reliance"]
    curves["at_chance"] = curves["run"] == RUNS[1]
    reliance = reliance[reliance["run"] != RUNS[1]]
    changed = {"occluded_frequency": curves, "reliance": reliance}
    frame, caption = evaluation.results_table(study(tables=changed))
    assert set(frame.set_index("")[RUNS[1]].tail(len(evaluation.RELIANCE))) == {"at chance"}
    assert f"rely on means nothing: {RUNS[1]}." in caption


def test_noise_stands_apart_and_an_attack_without_a_ball_has_no_accuracy(table):
    accuracy, attacks = table["accuracy"], table["attacks"].copy()
    attacks.loc[attacks["attack"] == "fgsm", ["kind", "eps"]] = ["control", 0.5]
    accuracy = accuracy[accuracy["attack"] != "pgd"]
    groups = evaluation.grouped(accuracy, attacks)
    assert [attack for rows in groups.values() for attack in rows["attack"].unique()] == ["clean", "simba", "fgsm"]
    assert [title for _, title in groups] == ["no attack", "linf ball, 0.03", "noise, linf norm 0.5"]
    accuracy = accuracy.assign(mean=accuracy["mean"].where(accuracy["attack"] != "fgsm", 0.0))
    results = study(4, tables={"accuracy": accuracy, "attacks": attacks})
    drawn = evaluation.accuracy(accuracy, attacks, results.run_colours, 0.25)
    assert "Lowest accuracy in a ball, of the attacks on 200 images: standard simba" in drawn.to_dict()["description"]
    frame, caption = evaluation.results_table(results)
    assert evaluation.UNBOUNDED in caption and "under fgsm" not in set(frame[""])  # the chart has noise


def test_the_centroid_stands_in_shells_and_one_higher_in_the_papers_k():
    reliance = tables(2)["reliance"]
    reliance.loc[reliance["statistic"] == "centroid", ["mean", "low", "high"]] = [7.25, 6.0, 8.5]
    reliance.loc[(reliance["run"] == RUNS[0]) & (reliance["score"] == "margin"), "marked"] = True
    rows = evaluation.results_table(study(tables={"reliance": reliance}))[0].set_index("")
    names = [evaluation.RELIANCE[score, "centroid"][0] for score in ("margin", "logit")]
    assert rows.loc[names, RUNS[0]].tolist() == ["7.2 [6.0, 8.5] *", "8.2 [7.0, 9.5]"]


def test_values_that_are_undefined_are_told():
    reliance = tables(2)["reliance"]
    lacking = reliance.assign(n_missing=2 * ((reliance["statistic"] == "hf_share") & (reliance["score"] == "margin")))
    _, caption = evaluation.results_table(study(tables={"reliance": lacking}))
    assert "left out of it for all: 2 by margin." in caption


def test_a_cell_of_a_matrix_without_a_number_is_empty(table):
    rows = table["band_accuracy"].copy()
    rows.loc[0, ["mean", "low", "high"]] = float("nan")
    assert "null" not in vl_convert.vegalite_to_svg(bands.accuracy(rows, report_tables.run_colours(4), 0.25).to_dict())


def test_a_band_without_dc_is_shown_around_mid_grey(monkeypatch):
    wave = np.array([[[[0.1, -0.1], [-0.1, 0.1]]]], np.float32)
    images = ArrayImages(np.full((1, 1, 2, 2), 0.25, np.float32), np.array([0]), np.array([0]), ("moon",))
    columns, ((_, (original, high)),), *_ = grids(
        monkeypatch,
        lambda: bands.samples(images, {"full": images, "high": replace(images, pixels=wave)}),
    )
    assert columns == ["original", "high"]  # a band that keeps everything is not shown twice
    assert (decoded(original.pictures[0]) == 64).all()  # the image itself is not moved
    np.testing.assert_array_equal(decoded(high.pictures[0])[0], [[153, 102], [102, 153]])


def grids(monkeypatch, draw) -> tuple:
    """The arguments of the one picture grid that is drawn."""
    drawn = []
    monkeypatch.setattr(page, "grid", lambda *arguments: drawn.append(arguments))
    draw()
    (arguments,) = drawn
    return arguments


@pytest.mark.parametrize(
    ("statistic", "panel"),
    [
        ("pgd", "accuracy"),
        ("centroid by logit", "centroid"),
        ("hf_share by margin", "share"),
        ("low_sum by probability", "amount"),
    ],
)
def test_a_difference_stands_in_the_panel_of_its_unit(statistic, panel):
    assert findings.unit(statistic) == panel


def test_a_dot_is_hollow_exactly_where_its_interval_holds_zero():
    rows = tables(4)["contrasts"]
    rows[["low", "high"]] = np.stack([rows["mean"] - 0.1, rows["mean"] + 0.1], 1)
    spec = findings.contrasts(rows, report_tables.run_colours(4)).to_dict()
    svg = vl_convert.vegalite_to_svg(spec)
    hollow = re.findall(r'aria-roledescription="point"[^>]*fill="white"', svg)
    filled = re.findall(r'aria-roledescription="point"[^>]*fill="#', svg)
    holds_zero = (rows["low"] <= 0) & (rows["high"] >= 0)
    assert (len(hollow), len(filled)) == (holds_zero.sum(), (~holds_zero).sum())
    assert holds_zero.any()
    assert f"{(~holds_zero).sum()} of {len(rows)} differences have an interval without zero" in spec["description"]


def test_one_run_differs_from_nothing():
    text = chapter(findings, study(1, tables={"contrasts": tables(1)["contrasts"]}))
    assert "one run" in text and "chart" not in text


# ---- attribution


def test_a_panel_of_masks_without_a_mean_says_so(table):
    rows = table["masks"].assign(mean=lambda rows: rows["mean"].where(rows["mask"] != "adversarial"))
    drawn = [probing.masks(masks, report_tables.run_colours(4)).to_dict() for masks in (table["masks"], rows)]
    assert [vl_convert.vegalite_to_svg(spec).count("no data") > 0 for spec in drawn] == [False, True]


def test_a_method_with_a_map_has_a_picture_for_each_run():
    text = chapter(attribution, study())
    assert text.count("<img") == 2 and text.count("-3 to 3") == 2
    nothing = dict.fromkeys(RUNS[:2], report_tables.attribution_map().head(0))
    assert "<img" not in chapter(attribution, study(attribution_maps=nothing))


# ---- perturbation


def test_the_chart_against_noise_counts_the_intervals_of_noise(table):
    rows = table["calibrated"].copy()
    rows.loc[(rows["source"] == "control") & (rows["shell"] < 2), ["low", "high"]] = [-0.1, 0.1]
    spec = perturbation.against_noise(rows, report_tables.run_colours(4), 0.9).to_dict()
    control = len(rows.query("shape == 'linf' and source == 'control'"))
    assert f"{control * 2 // SHELLS} of its {control} intervals include zero (nominally 90%)" in spec["description"]


def test_a_map_is_upright_and_stands_in_the_row_of_its_attack(monkeypatch):
    maps = report_tables.rct_maps(1, ["pgd"])
    maps["mean"] = 1.0
    maps.loc[(maps["source"] == "attack") & (maps["u"] == 0) & (maps["v"] == SHELLS - 1), "mean"] = 9.0
    shown = []
    monkeypatch.setattr(page, "grid", lambda columns, rows, *_: shown.append(rows) or page.prose(""))
    perturbation.maps(maps, ["pgd"], report_tables.run_colours(1))
    for ((attack, (cells,)),) in shown[1:]:
        pixels = decoded(cells.pictures[0])[:, :, :SHELLS].sum(0)
        assert attack == "pgd"
        assert np.unravel_index(pixels.argmin(), pixels.shape) == (0, SHELLS - 1)  # horizontal frequency: top right


def test_a_map_without_its_control_is_refused():
    maps = report_tables.rct_maps(1, ["pgd"]).query("source == 'attack'")
    with pytest.raises(ValueError, match="pgd, mean_of_ratios: expected attack and control, got attack"):
        perturbation.maps(maps, ["pgd"], report_tables.run_colours(1))


def test_an_attack_that_fooled_no_image_has_no_map():
    maps = report_tables.rct_maps(2).query("run != 'standard' or attack != 'pgd'")
    assert chapter(perturbation, study(rct_maps=maps)).count("no image fooled") == 4  # each estimator, against noise


def test_where_no_attack_fooled_any_network_the_chapter_says_so():
    text = chapter(perturbation, study(rct_maps=report_tables.rct_maps().head(0)))
    assert "No attack fooled any network" in text and "chart" not in text


def test_the_gap_of_the_score_is_told_as_a_log_ratio_and_the_others_as_shares():
    gaps = pd.DataFrame({"estimator": ["mean_of_ratios", "score"], "mean": [1.06, 0.28]})
    assert "by: mean of ratios 106% of its mean, score 0.28 (a log ratio)." in perturbation.stability(gaps)


def test_the_half_of_the_shells_that_attacks_strike_is_told_from_the_table():
    def scores(attack: str, mean: list[float]) -> pd.DataFrame:
        rows = pd.DataFrame({"run": "standard", "attack": attack, "source": "attack", "shape": "linf"}, index=range(4))
        return rows.assign(shell=range(4), mean=mean, low=np.subtract(mean, 0.5))

    calibrated = pd.concat(
        [scores("pgd", [0.1, 0.9, 0, 0]), scores("cw", [0.2, 0, 0, 0]), scores("fgsm", [0, 0, 1, 0])]
        + [scores(attack, [3, 0, 0, 0]) for attack in ("noise", "confined low")],
        ignore_index=True,
    )
    kinds = {
        "pgd": "white box",
        "cw": "white box",
        "fgsm": "single step",
        "noise": "control",
        "confined low": "confined",
    }
    attacks_table = pd.DataFrame({"attack": kinds.keys(), "kind": kinds.values()})
    text = perturbation.strikes(calibrated, attacks_table)
    assert "lower half of the shells for 2 of 3 pairs of run and attack, 1 of them with an interval above zero" in text
    assert "study" not in perturbation.strikes(calibrated.query("attack == 'noise'"), attacks_table)


def test_the_shells_of_half_the_power_are_told_for_attack_and_control():
    rows = pd.DataFrame(
        {"source": ["attack"] * 3 + ["control"] * 3, "run": "a", "attack": "pgd", "shell": [0, 1, 2] * 2}
    )
    text = perturbation.half_of_power(rows.assign(mean=[0.6, 0.3, 0.1, 0.1, 0.2, 0.7]))
    assert "half of the power lies in shells 0 to 0, of the control's in 0 to 2 (medians" in text


def test_without_intervals_the_chart_against_noise_counts_none(table):
    rows = table["calibrated"].assign(low=np.nan, high=np.nan, n_seeds=2)
    caption = perturbation.against_noise(rows, report_tables.run_colours(4), 0.9).to_dict()["description"]
    assert "in place of the attack. " in caption and "include zero" not in caption


# ---- attacks and their checks


def test_the_adversary_shown_is_the_image_most_attacks_fooled():
    adversaries = {("standard", "fgsm"): cell([4, 7, 8], [7, 8, 9]), ("standard", "pgd"): cell([4, 7], [7, 9])}
    assert attacks.most_fooled(adversaries) == 7  # 9 was wrong before, 8 once


def test_an_adversary_stands_beside_its_image_and_what_became_of_it(monkeypatch):
    _, rows, *_ = grids(monkeypatch, lambda: attacks.blocks(study(1)))
    (_, (original,)), (attack, (adversary,)), *_ = rows
    expected = (report_tables.images().pixels[1] * 255).round()
    assert attack == "fgsm" and original.note == "grass" and adversary.note == "grass → grass"
    assert attacks.outcome(study(1).adversaries, 1) == "Here 3 of 3 cells show a success."
    assert attacks.outcome(study(1).adversaries, 2) == "Here 0 of 3 cells show a success."
    for picture in (original.pictures[0], adversary.pictures[0]):
        np.testing.assert_array_equal(decoded(picture), expected)


def test_warnings_are_told_first():
    sound, *_ = attack_checks.blocks(study())
    assert "No check speaks against the attacks" in sound and "200 correctly classified images" in sound
    told, *_ = attack_checks.blocks(study(warnings={"standard": {"square": "fools 5.0% more"}}))
    assert told.startswith('<p class="warning">') and "standard, square: fools 5.0% more." in told


def test_the_images_of_every_attack_and_what_it_needed_are_shown():
    rows = tables(2)["attacks"].assign(n_images=[200, 190, 40, 200, 180, 40])
    rows.loc[5, ["l2", "queries"]] = float("nan")
    frame = attack_checks.strength(rows, report_tables.run_colours(2))
    assert frame["images"].tolist() == ["200", "180 to 190", "40"]
    assert set(frame["kind"]) == {"white box"} and set(frame["radius"]) == {"linf 0.03"}
    assert "".join(frame[RUNS[0]] + frame[RUNS[1]]).count("· l2 1 · 9 queries") == 5


def test_an_attack_without_a_radius_shows_its_median_norm():
    rows = tables(1)["attacks"]
    rows.loc[0, ["eps", "median_l2", "median_l2_low", "median_l2_high"]] = [float("nan"), 0.312, 0.25, 0.41]
    rows.loc[1, ["eps", "median_l2"]] = [float("nan"), 0.312]
    cells = attack_checks.strength(rows, report_tables.run_colours(1))[RUNS[0]].tolist()
    assert "· median l2 0.31 [0.25, 0.41] · 9 queries" in cells[0] and "· median l2 0.31 · 9" in cells[1]
    assert "· l2 1 · 9 queries" in cells[2]


def test_the_captions_of_the_checks_say_what_the_study_shows():
    table = tables(2)
    colours = report_tables.run_colours(2)
    table["attacks"].loc[table["attacks"]["attack"] == "fgsm", "mean"] = 0.99
    assert attack_checks.strongest(table["attacks"]).endswith("by: standard fgsm, adversarial fgsm.")
    assert attack_checks.strongest(table["attacks"].assign(eps=float("nan"))) == ""
    table["queries"]["mean"] = [0, 0.1, 0.25, 0, 0.1, 0.5]
    assert "over runs: simba 25% to 50%." in attack_checks.queries(table["queries"], colours).to_dict()["description"]
    table["confined"]["mean"] = [0.5, 0.25, 0.375, 0, 0, 0, 0.125, 0.75, 0.375, 0, 0, 0]
    caption = attack_checks.confined(table["confined"], colours).to_dict()["description"]
    shares = (
        "confined (whole bands) full 50%, low 25%, high 38%; confined-16 (16 coefficients) full 12%, low 75%, high 38%"
    )
    assert f"Fooled of standard: {shares}." in caption
    table["attack_transfer"]["mean"] = [0.2, 0.6]
    caption = attack_checks.transfer(table["attack_transfer"], colours).to_dict()["description"]
    assert (
        "Most transfers fgsm from adversarial to standard 60%, least fgsm from standard to adversarial 20%." in caption
    )


def test_both_kinds_of_subspace_have_a_panel(table, specs):
    titles = [title for title in below(specs["confined"], "title") if str(title).startswith("Fooled inside")]
    kinds = ("confined (whole bands), l2 0.5", "confined-16 (16 coefficients), l2 0.5")
    assert titles == [f"Fooled inside the band: {kind}" for kind in kinds]
    assert set(held(specs["confined"])["coefficients"]) == {16, 48, 64}


def test_a_study_without_black_boxes_has_no_query_curve():
    text = chapter(attack_checks, study(tables={"queries": tables(2)["queries"].head(0)}))
    assert "How many queries?" not in text and "Inside which band are networks fooled?" in text


# ---- images, information, validation


def test_a_study_of_photographs_says_that_its_images_overlap():
    assert "overlap" in chapter(dataset, study(provenance={"source": "photos"}))
    assert "overlap" not in chapter(dataset, study(provenance={"source": "cifar10"}))


def test_the_chart_of_information_holds_the_probes_and_the_adcs_of_each_class(table):
    chart = information.information(table["probes"], table["class_spectra"], 0.25).to_dict()
    shown, adcs = held(chart), table["class_spectra"].query("statistic == 'adcs'")
    assert len(shown.dropna(subset=["band"])) == len(table["probes"])
    np.testing.assert_allclose(shown.dropna(subset=["shell"])["mean"], adcs["mean"], rtol=1e-5)
    assert "NaN" not in vl_convert.vegalite_to_svg(chart)
    true = table["probes"].query("labels == 'true' and band != 'all'")
    best = true.loc[true["mean"].idxmax()]
    assert f"band {best['band']} alone ({best['features']}) tells most: {best['mean']:.0%} of" in chart["description"]


def test_the_checks_of_the_methods_show_what_was_computed():
    text = chapter(validation, study())
    assert text.count('<figure class="chart">') == 4 and text.count("<table") == 2
    assert "100% of 2 combinations have one sign (0 more give no centre), 50% an interval without zero" in text
    empty = pd.DataFrame(columns=["run"])
    names = ("agreement", "concordance", "faithfulness", "recovery", "multiverse", "signs")
    nothing = chapter(validation, study(tables=dict.fromkeys(names, empty)))
    assert "compares no methods" in nothing and "<h3>" not in nothing


def test_concordance_has_an_interval_across_methods_and_a_range_across_the_rest():
    rows = tables(1)["concordance"]
    text = validation.concordance(rows)
    first, low, high = rows.iloc[0][["mean", "low", "high"]]
    others = rows["mean"].iloc[1:]
    assert f"{first:.2f}<small>[{low:.2f}, {high:.2f}]</small>" in text
    assert f"{others.min():.2f} to {others.max():.2f}" in text


def test_orders_are_compared_with_that_by_energy_in_pairs(table):
    rows = table["faithfulness"].query("run == 'standard'").copy()
    less = ["less_energy", "less_energy_low", "less_energy_high"]
    rows.loc[rows["order"] == "occluded", less] = [[-0.1, -0.2, -0.05], [-0.1, -0.2, 0.05]]  # deletion, insertion
    spec = validation.against_energy(rows, report_tables.run_colours(1)).to_dict()
    assert "Here 1 of 2 differences say better than energy, 0 worse" in spec["description"]
    assert held(spec)[["kind", "mean"]].to_numpy().tolist() == [["deletion", -0.1], ["insertion", -0.1]]
    rows[less[1:]] = np.nan
    assert (
        "nothing is decided" in validation.against_energy(rows, report_tables.run_colours(1)).to_dict()["description"]
    )


def test_a_choice_without_intervals_says_so(table):
    chart = validation.choices(table["multiverse"], table["signs"].assign(sure=np.nan), report_tables.run_colours(4))
    assert "have one sign (0 more give no centre), no interval." in chart.to_dict()["description"]


def test_an_infinite_margin_has_no_dot_and_no_lowest_place(table):
    rows = table["margins"].query("run == 'standard'").assign(mean=[np.inf, 2.0, np.inf])
    spec = probing.margins(rows, report_tables.run_colours(1)).to_dict()
    assert "band: standard 1." in spec["description"] and held(spec)["mean"].isna().tolist() == [True, False, True]
    nowhere = probing.margins(rows.assign(mean=np.inf), report_tables.run_colours(1)).to_dict()
    assert "standard no data" in nowhere["description"]


def test_layers_are_shown_from_first_to_last_beside_their_null_and_only_where_probed(table):
    spec = probing.layers(table["layers"], "passed", report_tables.run_colours(4)).to_dict()
    rows = held(spec)
    shown = [LAYERS[k] for k in (0, 1, 3, 4, 6, 7)]
    assert rows["panel"].unique().tolist() == shown and "6 of 8 layers" in spec["description"]
    kept = ["network", "random weights"]
    expected = table["layers"].query("statistic == 'passed' and layer in @shown and network in @kept")
    order = ["run", "layer", "network", "band"]
    pd.testing.assert_frame_equal(
        rows.sort_values(order)[[*order, "mean", "low"]].reset_index(drop=True),
        expected.sort_values(order)[[*order, "mean", "low"]].reset_index(drop=True),
        rtol=1e-5,
    )
    last = table["layers"].query("statistic == 'passed' and layer == @LAYERS[-1] and band == 3 and run == 'standard'")
    own, null = (last.set_index("network")["mean"][name] for name in kept)
    assert f"in the last layer: standard {own:.2f} (weights shuffled {null:.2f})" in spec["description"]
    assert "reach each layer" in chapter(probing, study())
    off = table["layers"].iloc[:0]
    assert "reach each layer" not in chapter(probing, study(tables={"layers": off}))


def test_runs_with_other_layers_are_set_side_by_side_by_depth(table):
    rows = table["layers"].query("run in @RUNS[:2]")
    other = rows[(rows["run"] == RUNS[0]) | rows["layer"].isin(LAYERS[:3])]
    spec = probing.layers(other, "relative", report_tables.run_colours(2)).to_dict()
    shown = held(spec)
    assert shown["panel"].unique().tolist() == [f"depth {k}%" for k in (0, 20, 40, 60, 80, 100)]
    deepest = shown[shown["panel"] == "depth 100%"].groupby("run")["layer"].first()
    assert (
        deepest.to_dict() == {RUNS[0]: LAYERS[-1], RUNS[1]: LAYERS[2]} and "6 of 3 to 8 layers" in spec["description"]
    )


def test_recovery_tells_what_was_found_what_the_control_found_and_what_removal_costs():
    rows = tables(1)["recovery"].assign(mean=0.95, low=0.1, high=1.0)
    control = rows.assign(run="permuted", labels="permuted")
    text = validation.recovery(pd.concat([rows, control]))
    assert all(number in text for number in ("95.0 %<small>[10.0, 100.0]", "40.0 %", "10.0 %", "45.0 %", "0.012"))
    assert "Here 1 of 1 methods find it more often than chance (20%)" in text
    assert (
        "1 do so in the control, where there is nothing to find: occluded." in text and "permuted, occluded" not in text
    )

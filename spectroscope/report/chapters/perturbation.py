"""Spectra of perturbations: RCT maps, the shells an attack changes more than noise does, and where its power lies."""

from collections.abc import Callable, Sequence

import altair as alt
import numpy as np
import pandas as pd

from spectroscope.questions import QUESTIONS
from spectroscope.report import charts, page, pictures, style, words
from spectroscope.report.pictures import Cell
from spectroscope.report.results import Results
from spectroscope.report.style import DIVERGING, SEQUENTIAL, RunColours

QUESTION = QUESTIONS["perturbation"]
RCT = (
    "The paper's relative change of DCT coefficients (RCT) averages, over images, change over clean coefficient. This "
    "mean of ratios has no finite value where clean coefficients come near zero, and white noise alone gives a map "
    "that is hot at high frequencies: read a map against its control, white noise of the same norm through the same "
    "clip. The median of ratios and the ratio of means can be more stable; see the figures below."
)
NONE_FOOLED = "No attack fooled any network on one of the images looked at, so there is nothing to measure."
SCORE = (
    "Left the map as in the paper: mean of ratios, each scaled to its own maximum, so it shows where, not how much. "
    "Right the null-calibrated score: the logarithm of how much more an attack changes a coefficient than noise of its "
    "norm through the same clip does; noise scores 0. Intervals are in the chart by shell below. "
)
MAPS = (
    "DC is at the top left; frequency grows to the right (horizontal) and down (vertical), one square for each "
    "coefficient. Attack and control share one log scale, whose range (first to last percentile) stands below. "
)
AGAINST_NOISE = (
    "How far the change of a shell is from that by norm-matched noise through the same clip, in standard deviations of "
    "noise against noise: above zero the attack strikes the shell, below it spares it. The pointer shows the score "
    "(log ratio). A large z is, for these perturbations, a sure difference, not a large one. Dashed: a further draw of "
    "noise in place of the attack"
)
POWER = (
    "Share of the perturbation's power in each shell: solid, the attack; dashed, its control, white noise of the same "
    "norm through the same clip, which rises because higher shells hold more coefficients. What the attack's algorithm "
    "gives a spectrum, such as the sign of FGSM and PGD, is not told apart from what the network gives it. "
)
STRIKES = (
    "It says where these attacks go, not what the networks rely on: an attack's algorithm shapes its spectrum too. "
    "Confined attacks and noise, whose spectrum is given, are not counted."
)
FOOLED = "fooled image"


def blocks(results: Results) -> page.Blocks:
    if results.rct_maps.empty:
        return (page.prose(NONE_FOOLED),)
    run_colours, tables = results.run_colours, results.tables
    scales = (
        (SEQUENTIAL, "attack, control: low", "high"),
        (DIVERGING, "attack ÷ control, score: 1/4 or less", "4 or more"),
    )
    return (
        page.heading("Which coefficients?"),
        page.prose(RCT, stability(tables["split_half"])),
        page.colour_scales(scales),
        maps(results.rct_maps, results.attacks, run_colours),
        page.heading("Which shells, more than noise?"),
        page.prose(strikes(tables["calibrated"], tables["attacks"])),
        page.chart(against_noise(tables["calibrated"], run_colours, results.settings["statistics"]["confidence"])),
        page.heading("Where does the power lie?"),
        page.chart(power(tables["perturbation"], run_colours)),
    )


def stability(split_half: pd.DataFrame) -> str:
    """How far a network's maps of two halves of the images disagree, by estimator: median over attacks and runs."""
    gaps = split_half.groupby("estimator", sort=False)["mean"].median().dropna()
    relative = [f"{name.replace('_', ' ')} {gap:.0%} of its mean" for name, gap in gaps.items() if name != "score"]
    listed = ", ".join([*relative, *(f"score {gap:.2f} (a log ratio)" for gap in gaps[gaps.index == "score"])])
    halves = "A network's maps of two random halves of the images differ"
    return f"{halves}, at the median coefficient, attack and run, by: {listed}."


def strikes(calibrated: pd.DataFrame, attacks: pd.DataFrame) -> str:
    """In which half of the shells the score is highest, over the attacks whose spectrum is not given."""
    free = attacks.loc[~attacks["kind"].isin(("control", "confined")), "attack"]
    rows = calibrated[(calibrated["shape"] == calibrated["shape"].iloc[0]) & (calibrated["source"] == "attack")]
    rows = rows[rows["attack"].isin(free)].dropna(subset=["mean"])
    if rows.empty:
        return STRIKES
    highest = rows.loc[rows.groupby(["run", "attack"], sort=False)["mean"].idxmax()]
    low = highest[highest["shell"] <= rows["shell"].max() / 2]
    return (
        f"In this study the highest score lies in the lower half of the shells for {len(low)} of "
        f"{words.count(len(highest), 'pair')} of run and attack, {int((low['low'] > 0).sum())} of them with an "
        f"interval above zero. {STRIKES}"
    )


def maps(table: pd.DataFrame, attacks: Sequence[str], run_colours: RunColours) -> page.Markup:
    """Tabs: the paper's map beside the calibrated one, then attack, control and ratio by each estimator."""
    keys = ["run", "attack", "source", "estimator"]
    squares = {key: rows.pivot(index="u", columns="v", values="mean") for key, rows in table.groupby(keys, sort=False)}
    squares = {key: square.to_numpy(float) for key, square in squares.items()}
    height = 96 if len(run_colours) <= 3 else 64
    estimators = [name for name in dict.fromkeys(table["estimator"]) if name != "score"]

    def lines(cell: Callable[..., Cell], *estimator: str) -> list[tuple[str, list[Cell]]]:
        return [(name, [cell(squares, run, name, *estimator, height) for run in run_colours]) for name in attacks]

    columns, legend = list(run_colours), "the paper's RCT · calibrated score"
    panels = {"against noise": page.grid(columns, lines(_beside_paper), SCORE, run_colours, legend)}
    legend = "attack · control · attack ÷ control"
    for name in estimators:
        panels[name.replace("_", " ")] = page.grid(columns, lines(_triple, name), MAPS, run_colours, legend)
    return page.tabs("estimator", panels)


def _beside_paper(squares: dict[tuple, np.ndarray], run: str, attack: str, height: int) -> Cell:
    if (run, attack, "attack", "score") not in squares:
        return Cell((), "no image fooled")
    ratios, score = (squares[run, attack, "attack", name] for name in ("mean_of_ratios", "score"))
    return Cell((pictures.picture(pictures.paper_and_score(ratios, score), f"{run}, {attack}", height),))


def _triple(squares: dict[tuple, np.ndarray], run: str, attack: str, estimator: str, height: int) -> Cell:
    sources = [name for name in ("attack", "control") if (run, attack, name, estimator) in squares]
    if not sources:
        return Cell((), "no image fooled")
    if len(sources) == 1:
        raise ValueError(f"RCT maps: {run}, {attack}, {estimator}: expected attack and control, got {sources[0]}")
    pixels, span = pictures.attack_control_ratio(*(squares[run, attack, name, estimator] for name in sources))
    return Cell((pictures.picture(pixels, f"{run}, {attack}, {estimator}", height),), span)


def against_noise(table: pd.DataFrame, run_colours: RunColours, confidence: float) -> alt.TopLevelMixin:
    """z of the null-calibrated score in each shell, attack and control, one panel for each attack."""
    rows = table[table["shape"] == table["shape"].iloc[0]]
    ticks = alt.Axis(values=[-1000, -100, -10, -2, 2, 10, 100, 1000])
    y = alt.Y("z:Q", title="z against noise (symlog axis)", scale=alt.Scale(type="symlog", constant=2), axis=ticks)
    base, dashed_control = _by_source(run_colours)
    tooltip = [*style.tooltip("run", "attack", "source", "shell"), alt.Tooltip("z:Q", format=".1f")]
    line = base.mark_line(strokeWidth=2).encode(y, dashed_control, opacity=style.highlighted(), tooltip=tooltip)
    control = rows[rows["source"] == "control"].dropna(subset=["low", "high"])  # two networks have no interval
    null = int(((control["low"] <= 0) & (control["high"] >= 0)).sum())
    counted = f"; {null} of its {words.count(len(control), 'interval')} include zero (nominally {confidence:.0%})"
    intervals = counted if len(control) else ""
    chart = _by_attack(line, rows, ("z", *charts.SUMMARY))
    return style.styled(chart, f"{AGAINST_NOISE}{intervals}. {words.sample_note(rows, FOOLED, drawn=False)}")


def power(table: pd.DataFrame, run_colours: RunColours) -> alt.TopLevelMixin:
    """Share of the perturbation's power in each shell, attack against control, one panel for each attack."""
    rows = table[(table["statistic"] == "power") & (table["shape"] == table["shape"].iloc[0])]
    base, dashed_control = _by_source(run_colours)
    tooltip = style.tooltip("run", "attack", "source", "shell", share=True)
    panel = charts.curves(base, style.axis(alt.Y, "share of power", ".1~%", 5), tooltip, dashed_control)
    chart = _by_attack(panel, rows, charts.SUMMARY)
    return style.styled(chart, f"{POWER}{half_of_power(rows)}{words.sample_note(rows, FOOLED)}")


def half_of_power(rows: pd.DataFrame) -> str:
    """Up to which shell half of the power lies, of attacks and of noise: the median over attacks and runs."""
    curves = rows.pivot_table(index=["source", "run", "attack"], columns="shell", values="mean", sort=True)
    reached = curves.cumsum(axis=1).ge(curves.sum(axis=1) / 2, axis=0).to_numpy().argmax(1)
    halves = pd.Series(curves.columns.to_numpy()[reached], curves.index).groupby("source").median()
    return (
        f"In this study half of the power lies in shells 0 to {halves['attack']:g}, of the control's in 0 to "
        f"{halves['control']:g} (medians over runs and attacks). "
    )


def _by_source(run_colours: RunColours) -> tuple[alt.Chart, alt.StrokeDash]:
    """Shells, runs, attack and control apart; and the channel that dashes the control."""
    scale = alt.Scale(domain=["attack", "control"], range=[[1, 0], [3, 3]])
    legend = alt.Legend(title=None, orient="top", symbolStrokeColor=style.INK)
    base = alt.Chart().encode(style.shell_axis(), style.run_colour(run_colours), detail="source:N")
    return base, alt.StrokeDash("source:N", scale=scale, legend=legend)


def _by_attack(panel: alt.TopLevelMixin, rows: pd.DataFrame, values: tuple[str, ...]) -> alt.TopLevelMixin:
    """One panel for each attack."""
    columns = charts.even_columns(rows["attack"].nunique())
    panel = panel.properties(width=930 // columns - 40, height=190)
    chart = charts.panels(panel, rows, "attack", ("run", "source", "shell"), columns, values)
    return chart.resolve_axis(x="independent").add_params(style.highlight())

"""Checks of the attribution methods: agreement, deletion and insertion, planted truth, and analysis choices."""

import altair as alt
import pandas as pd

from spectroscope.questions import QUESTIONS
from spectroscope.report import charts, page, style, words
from spectroscope.report.results import Results
from spectroscope.report.style import RunColours

QUESTION = QUESTIONS["validation"]
NONE = "This study compares no methods, so there is nothing to validate."
AGREEMENT = (
    "Spearman's rank correlation of the bands above DC as two methods rank them, by class, averaged over classes: 1 "
    "where they rank alike, -1 where they rank in reverse. Methods that agree can be wrong together. "
)
CONCORDANCE = (
    "Kendall's W of the bands above DC, 1 where all rank them alike, about 1 over how many rank without agreement: "
    "across the methods of a run, and, for each method, across seeds, classes and runs (lowest to highest method). "
)
FAITHFULNESS = (
    "Mean probability of the label while bands or coefficients are deleted (a good order: low) or inserted (a good "
    "order: high), in the order a method gives. The last four orders know nothing of the network. Intervals that "
    "overlap do not tell whether one order is better than another: the next chart compares. "
)
AGAINST_ENERGY = (
    "The same minus that of the order by energy, on the same networks and images. Better than energy is an interval "
    "below zero for deletion, above for insertion. "
)
RECOVERY = (
    "The label is planted in known shells. Found: share of networks whose top band above DC is planted, with an exact "
    "interval over networks; p: that chance finds it in at least as many; control: networks that learned permuted "
    "labels. Then the accuracy lost without the band a method names, and without an equal energy taken off the others. "
)
SHOWN = ("agreement", "concordance", "faithfulness", "recovery", "multiverse", "signs")
AT_CHANCE = "Without {}, at chance on clean images: there is nothing to explain."
CHANCE = 0.05  # p below which a method is said to find more than chance does


def blocks(results: Results) -> page.Blocks:
    at_chance, run_colours = results.at_chance, results.run_colours
    tables = {name: _without(results.tables[name], at_chance) for name in SHOWN}
    content: list[page.Markup] = [page.prose(AT_CHANCE.format(", ".join(at_chance)))] if at_chance else []
    if len(tables["agreement"]):
        content += [page.heading("Do the methods agree?"), page.chart(agreement(tables["agreement"]))]
    if len(tables["concordance"]):
        content.append(concordance(tables["concordance"]))
    if len(table := tables["faithfulness"]):
        content += [page.heading("How faithful are they?"), page.chart(faithfulness(table, run_colours))]
        content += [page.chart(against_energy(table, run_colours))]
    if len(tables["recovery"]):
        content += [page.heading("Do they find what was planted?"), recovery(tables["recovery"])]
    if len(tables["multiverse"]):
        content.append(page.heading("Does the answer survive other choices?"))
        content.append(page.chart(choices(tables["multiverse"], tables["signs"], run_colours)))
    return tuple(content) or (page.prose(NONE),)


def _without(table: pd.DataFrame, runs: list[str]) -> pd.DataFrame:
    """The rows of other runs."""
    return table[~table["run"].isin(runs)] if len(table) else table


def agreement(table: pd.DataFrame) -> alt.TopLevelMixin:
    """Rank correlation of every pair of methods, one matrix for each run."""
    names = list(dict.fromkeys([*table["method"], *table["other"]]))
    base = alt.Chart().encode(
        alt.X("other:N", sort=names, title=None, axis=alt.Axis(labelAngle=-40)),
        alt.Y("method:N", sort=names, title=None),
        tooltip=style.tooltip("run", "method", "other"),
    )
    scale = alt.Scale(domain=[-1, 1], range=list(style.DIVERGING), interpolate="rgb")
    colour = alt.Color("mean:Q", scale=scale, legend=alt.Legend(title="rho", orient="right"))
    side = 22 * len(names)
    panel = charts.matrix(base, colour, ".1f", 10 if len(names) <= 8 else 8).properties(width=side, height=side)
    chart = charts.panels(panel, table, "run", ("method", "other"), max(1, 700 // (side + 120)))
    span = f"Here from {table['mean'].min():.2f} to {table['mean'].max():.2f}. "
    return style.styled(chart, AGREEMENT + span + words.sample_note(table, drawn=False))


def concordance(table: pd.DataFrame) -> page.Markup:
    """Kendall's W: a row for what ranks and the run; how many rank, W."""
    lines = []
    for (across, run), rows in table.groupby(["across", "run"], sort=False):
        span = f"{rows['mean'].min():.2f} to {rows['mean'].max():.2f}"  # lowest to highest method
        w = _two_digits(rows.iloc[0]) if across == "methods" else span  # the methods rank, in one row
        lines.append((f"{across}, {run}", int(rows["raters"].max()), w))
    frame = pd.DataFrame(lines, columns=["across", "how many rank", "W"])
    return page.table(frame, f"{CONCORDANCE}{_span(table)}{words.sample(table)}.")


def _span(table: pd.DataFrame) -> str:
    """W of the methods of the runs, in words; nothing where one method stands alone."""
    rows = table[table["across"] == "methods"]
    if rows.empty:
        return ""
    alone = 1 / rows["raters"].max()
    span = f"Here the methods of a run reach {rows['mean'].min():.2f} to {rows['mean'].max():.2f}, where "
    return f"{span}independent rankings have {alone:.2f}. A high W does not make the common ranking right. "


def _two_digits(row: pd.Series) -> str:
    """A number with its interval, where it has one."""
    ends = f" [{row['low']:.2f}, {row['high']:.2f}]" if pd.notna(row["low"]) else ""
    return f"{row['mean']:.2f}{ends}"


def faithfulness(table: pd.DataFrame, run_colours: RunColours) -> alt.TopLevelMixin:
    """Mean of the deletion and insertion curve of every order, by band and by coefficient: dots with intervals."""
    first, *others = [_orders(rows, str(unit), run_colours) for unit, rows in table.groupby("unit", sort=False)]
    chart = alt.vconcat(first.add_params(style.highlight()), *others, spacing=24)
    return style.styled(chart, FAITHFULNESS + words.sample_note(table))


def against_energy(table: pd.DataFrame, run_colours: RunColours) -> alt.TopLevelMixin:
    """Every order minus that by energy, paired by network and image: dots with intervals and a rule at zero."""
    ends = {"mean": "less_energy", "low": "less_energy_low", "high": "less_energy_high"}
    rows = table.dropna(subset=["less_energy"]).assign(**{name: table[column] for name, column in ends.items()})
    first, *others = [
        _orders(part, str(unit), run_colours, "minus the order by energy")
        for unit, part in rows.groupby("unit", sort=False)
    ]
    chart = alt.vconcat(first.add_params(style.highlight()), *others, spacing=24)
    return style.styled(chart, f"{AGAINST_ENERGY}{_better(rows)}{words.sample_note(rows)}")


def _better(rows: pd.DataFrame) -> str:
    """How many orders beat that by energy, in words; rows of differences."""
    told = rows.dropna(subset=["low"])
    if told.empty:
        return "Two networks a run have no interval, so nothing is decided here. "
    deletion = told["kind"] == "deletion"
    better = (told["high"] < 0).where(deletion, told["low"] > 0)
    worse = (told["low"] > 0).where(deletion, told["high"] < 0)
    return (
        f"Here {better.sum()} of {len(told)} differences say better than energy, {worse.sum()} worse; nothing is "
        "corrected for their number, and an order that is not better may still be right about the network. "
    )


def _orders(
    rows: pd.DataFrame, unit: str, run_colours: RunColours, title: str = "mean probability of the label"
) -> alt.FacetChart:
    orders = list(dict.fromkeys(rows["order"]))
    x = alt.X("mean:Q", title=f"{title}, by {unit}", scale=alt.Scale(zero=False))
    base = charts.run_dots(alt.Chart(), "order", orders, run_colours)
    layers = list(charts.dots(base, x, style.tooltip("run", "order", "unit", "kind"), size=45))
    if "energy" not in orders:  # differences from it; the first layer has the legend to click in
        layers.append(alt.Chart().mark_rule(color=style.AXIS).encode(alt.X(datum=0)))
    panel = alt.layer(*layers).properties(width=330, height=len(orders) * (12 + 6 * len(run_colours)))
    return charts.panels(panel, rows.sort_values("kind", kind="stable"), "kind", ("run", "order", "unit"), 2)


def recovery(table: pd.DataFrame) -> page.Markup:
    """Whether each method names a planted band, beside its control, then what removal costs."""
    rows = table[table["labels"] == "original"]
    if rows.empty:
        return page.prose("Every run learned permuted labels: there is nothing to find.")
    lines = [
        (
            f"{row.run}, {row.method}",
            words.number(row.mean, row.low, row.high, True),
            _p(row.p),
            words.number(row.control, None, None, True),
            _p(row.control_p),
            *(words.number(value, None, None, True) for value in (row.hurt_named, row.hurt_other, row.hurts_more)),
        )
        for row in rows.itertuples()
    ]
    names = ["run, method", "found", "p", "control", "p of control"]
    names += ["lost without it", "lost without others", "networks where it hurts more"]
    finds, in_control = rows[rows["p"] < CHANCE], rows[rows["control_p"] < CHANCE]
    here = (
        f"Here {len(finds)} of {len(rows)} methods find it more often than chance ({rows['chance'].iloc[0]:.0%}) would "
        f"(p < {CHANCE}, not corrected for their number), and {len(in_control)} do so in the control"
        f"{', where there is nothing to find: ' + ', '.join(in_control['method']) if len(in_control) else ''}. "
        "What holds for planted cues need not hold for natural images. "
    )
    return page.table(pd.DataFrame(lines, columns=names), f"{RECOVERY}{here}{words.sample(rows)}.")


def _p(value: float) -> str:
    """A probability in words: `0.012`, `< 0.001`, a dash where there is none."""
    return "-" if pd.isna(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def choices(table: pd.DataFrame, signs: pd.DataFrame, run_colours: RunColours) -> alt.TopLevelMixin:
    """The specification curve: the contrast under every combination of choices, sorted, with its interval."""
    rows = table[~table["marked"]].dropna(subset=["mean"]).copy()
    rows["rank"] = rows.groupby(["run", "statistic"])["mean"].rank(method="first").astype(int)
    names = ("basis", "shape", "baseline", "score", "clip", "normalisation")
    base = alt.Chart().encode(
        alt.X("rank:Q", title="combinations of choices, sorted", axis=alt.Axis(grid=False)),
        style.run_colour(run_colours),
        opacity=style.highlighted(),
    )
    bars, dots = charts.dots(
        base, alt.Y("mean:Q", title="run - reference"), style.tooltip("run", "statistic", *names), size=14
    )
    bars = bars.encode(opacity=style.highlighted(0.25))
    panel = alt.layer(bars, alt.Chart().mark_rule(color=style.AXIS).encode(alt.Y(datum=0)), dots)
    chart = charts.panels(panel.properties(width=400, height=240), rows, "statistic", ("run", "rank", *names), 2)
    chart = chart.resolve_scale(y="independent").add_params(style.highlight())
    agreed = "; ".join(
        f"{row.run}, {row.statistic}: {row.same_sign:.0%} of {row.n_choices} combinations have one sign "
        f"({row.no_centre} more give no centre), "
        f"{'no interval' if pd.isna(row.sure) else f'{row.sure:.0%} an interval without zero'}"
        for row in signs.itertuples()
    )
    reference = " / ".join(dict.fromkeys(table["reference"]))
    caption = (
        f"Each run minus {reference} under every combination of analysis choices, sorted; the pointer names them. "
        f"{agreed}. Combinations share their images and are not independent: a share is no probability. "
    )
    return style.styled(chart, caption + words.sample_note(table))

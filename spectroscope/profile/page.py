"""The page of a profile, of one network or of several: what to know first, then each measurement, then its limits."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import torch

from spectroscope.frequency.spectrum import dct2, idct2
from spectroscope.probing.layers import NETWORKS
from spectroscope.profile import measure
from spectroscope.profile.plan import SHOWN
from spectroscope.profile.preflight import Ready
from spectroscope.profile.prepared import in_batches
from spectroscope.profile.summary import Profile, cut_short, sentences
from spectroscope.report import charts, page, pictures, style, words
from spectroscope.report.pictures import Cell
from spectroscope.report.style import RunColours

TITLE = "What does {} look at?"
SEEN = {"changed": "put right", "note": "to know"}
RELIANCE = (
    "What each network loses when one band of frequencies is set to zero in every image: probability of the label and "
    "accuracy; below zero, it gains. Higher shells hold more coefficients. One band removed at a time does not show "
    "how bands act together, and an image without a band is unlike any that the network was trained on. "
)
WHOLE = "The same for all low, middle and high shells at once, and for DC. "
ATTACKS = (
    "Share of the images it has right that PGD fools when its perturbation is confined to a band: every perturbation "
    "has the same l2 norm. Left, bands as they are; right, in equally many coefficients of each, drawn at random, as "
    "more coefficients give an attack more room. It does not say that the network uses the band on clean images. "
)
HEAT = (
    "Accuracy lost when one wave of l2 norm {} is added to every image (Yin et al. 2019): DC in the centre, high "
    "frequencies outside. Orange: lost; blue: gained. Where waves were drawn, one at random stands for each cell of "
    "ring and angle. Below, the mean by distance from DC. "
)
SHOWN_LAYERS = 6
MANY_ENDS = 0.3  # of the pixels at 0 or 1; of photographs few are, of digits four in five
PASSED = (
    "How well each octave of the image reaches a layer: what the layer changes by when the octave is removed, relative "
    "to the octave's energy; 1 for a copy of the image. Beside the network the same with its weights shuffled, and "
    "with the pixels shuffled: what the architecture does by itself. "
)
SPECTRA = (
    "Spectrum of the layer's features relative to the image's: above 1 the features hold more of that frequency. A "
    "non-linear layer makes frequencies that the image does not hold. "
)
LIMITS = (
    "One network and its images: intervals are over images, for this one network. Another training of the same network "
    "may give other values, and a difference between two networks is none between two kinds of training.",
    "Reliance is what the network loses without a band, not what the band is worth alone: one stands in for another.",
    "Attacks of ten steps find an upper bound of robustness; the radius was chosen for this network, so that shares of "
    "two networks stand at different radii.",
    "A network that is wrong, at chance or set up wrongly has a profile too: read the first section before the charts.",
)


def render(profiles: Sequence[Profile]) -> str:
    """The whole page."""
    colours = style.assign_colours([each.name for each in profiles])
    lead = sentences(profiles[0]) if len(profiles) == 1 else [text for each in profiles for text in sentences(each)[:3]]
    chapters = [
        page.Chapter("setup", "Is it set up correctly?", tuple(setup(profiles))),
        page.Chapter("reliance", "Which frequencies does it rely on?", tuple(reliance(profiles, colours))),
        page.Chapter("attacks", "Where do small perturbations of equal size hurt?", tuple(attacks(profiles, colours))),
        page.Chapter("heat_map", "Which single waves hurt?", tuple(heat_maps(profiles, colours))),
        page.Chapter("layers", "Which frequencies reach which layer?", tuple(layers(profiles))),
        page.Chapter("example", "What does it see in one image?", tuple(examples(profiles))),
        page.Chapter("images", "What did the pre-processing do?", tuple(shown_images(profiles, colours))),
        page.Chapter("others", "Where does it stand beside public networks?", tuple(public(profiles))),
        page.Chapter("limits", "What can this page not say?", (page.items(*LIMITS, *left_out(profiles)),)),
    ]
    title = TITLE.format(profiles[0].name) if len(profiles) == 1 else "Networks side by side"
    return page.render(title, lead, chapters)


def setup(profiles: Sequence[Profile]) -> list[page.Markup]:
    """What the preflight found, and what was measured on."""
    blocks = []
    for profile in profiles:
        if len(profiles) > 1:
            blocks.append(page.heading(profile.name))
        findings = profile.ready.findings
        warnings = [f"{f.check.capitalize()}: {f.text}" for f in findings if f.level == "warning"]
        blocks += [page.prose(text, kind="warning") for text in warnings]
        facts = {"Network": f"{profile.name} ({profile.ready.network.kind})", **profile.ready.facts}
        blocks.append(page.facts(facts))
        rest = [f"{f.check.capitalize()}, {SEEN[f.level]}: {f.text}" for f in findings if f.level in SEEN]
        if rest:
            blocks.append(page.items(*rest))
        elif not warnings:
            blocks.append(page.prose("Nothing was found wrong."))
    return blocks


def stacked(profiles: Sequence[Profile], name: str) -> pd.DataFrame:
    """A table of all networks, with a column `run`."""
    tables = [each.tables[name].assign(run=each.name) for each in profiles if name in each.tables]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _none(profiles: Sequence[Profile], kind: str) -> list[page.Markup]:
    """Why none of the networks has a measurement, by its name in `plan.SHOWN`; why the work stopped where none says."""
    lines = list(dict.fromkeys(text for each in profiles for text in each.missing))
    own = [text for text in lines if SHOWN[kind] in text]
    return [page.prose(*(own or [text for text in lines if "stopped" in text] or ["Not measured."]))]


def reliance(profiles: Sequence[Profile], colours: RunColours) -> list[page.Markup]:
    table, whole = stacked(profiles, "reliance"), stacked(profiles, "whole_bands")
    if not len(table):
        return [page.prose("Not measured.")]
    rows = table[table["statistic"].isin(["probability", "accuracy"]) & (table["band"] != "0")]
    base = alt.Chart().encode(style.shell_axis("shell (DC is below)"), style.run_colour(colours))
    y = alt.Y("mean:Q", title=None, axis=alt.Axis(format="%", tickCount=6))
    curves = charts.curves(base, y, style.tooltip("run", "band", share=True), points=24, zero=True)
    chart = charts.panels(curves.properties(width=400, height=240), rows, "statistic", ("run", "shell", "band"), 2)
    curve = style.styled(chart.add_params(style.highlight()), RELIANCE + _over(rows))
    rows = whole[whole["statistic"] == "accuracy"]
    axis = alt.X("mean:Q", title=_lost(profiles), axis=alt.Axis(format="%"))
    dots = charts.dots_by_row(rows, colours, "band", axis, 620).add_params(style.highlight())
    return [page.chart(curve), page.chart(style.styled(dots, WHOLE + _over(rows)))]


def _lost(profiles: Sequence[Profile]) -> str:
    """What the networks lose: without labels a network agrees with itself on whole images."""
    return "accuracy lost" if all(each.ready.labelled for each in profiles) else "predictions changed"


def _over(rows: pd.DataFrame) -> str:
    return f"n = {words.n_images(rows)} images; intervals over images, for this one network."


def attacks(profiles: Sequence[Profile], colours: RunColours) -> list[page.Markup]:
    table = stacked(profiles, "attacks")
    if not len(table):
        return _none(profiles, "attacks")
    table = table.assign(place=table["band"] + ", " + table["coefficients"].astype(str) + " coefficients")
    blocks = []
    radii = ", ".join(f"{run} {eps:.3g}" for run, eps in table.groupby("run", sort=False)["eps"].first().items())
    axis = alt.X("mean:Q", title="fooled", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    panels = [
        charts.dots_by_row(rows, colours, "place", axis, 300).properties(title=str(name))
        for name, rows in table.groupby("dimension", sort=False)
    ]
    panels[0] = panels[0].add_params(style.highlight())  # one parameter serves both panels
    chart = alt.hconcat(*panels)
    chosen = f"l2 norm: {radii}, the first of a doubling row at which PGD that is not confined fools half. "
    caption = f"{ATTACKS}{chosen}{_little_room(profiles)}{_over(table)}"
    blocks.append(page.chart(style.styled(chart, caption)))
    return blocks


def _little_room(profiles: Sequence[Profile]) -> str:
    """A sentence where many pixels are black or white: [0, 1] leaves little of a perturbation of one band there."""
    pixels = profiles[0].ready.pixels
    ends = float(((pixels <= 0) | (pixels >= 1)).float().mean())
    if ends < MANY_ENDS:
        return ""
    return (
        f"{ends:.0%} of the pixels are at 0 or 1 and can change in one direction only, which a perturbation of one "
        "band can hardly do: here the attacks confined to a band say little. "
    )


def heat_maps(profiles: Sequence[Profile], colours: RunColours) -> list[page.Markup]:
    shown = [each for each in profiles if each.heat_map is not None]
    if not shown:
        return _none(profiles, "heat map")
    norm = measure.wave_norm(*shown[0].ready.pixels.shape[-2:])
    cells = []
    for each in shown:
        values = each.heat_map
        assert values is not None
        picture = pictures.picture(pictures.signed(values), f"heat map of {each.name}", 224)
        cells.append(Cell((picture,), f"{values.min():.0%} to {values.max():.0%}"))
    tables = [(each.plan.waved, each.tables["heat_map"]) for each in shown]
    waved = ", ".join(f"{n} images, {own['waves'].sum()} of {own['of'].sum()} waves" for n, own in tables)
    caption = f"{HEAT.format(f'{norm:.3g}')}n = {waved}."
    table = stacked(profiles, "heat_map")
    base = alt.Chart(charts.inline(table, "run", "cycles"))
    base = base.encode(alt.X("cycles:Q", title="cycles per image"), style.run_colour(colours))
    y = alt.Y("mean:Q", title=_lost(profiles), axis=alt.Axis(format="%"))
    curves = charts.curves(base, y, style.tooltip("run", "cycles", share=True), points=24, zero=True)
    over = f"n = {words.n_images(table)} images; intervals over images and waves, for this one network."
    chart = style.styled(curves.properties(width=840, height=220).add_params(style.highlight()), over)
    return [page.grid([each.name for each in shown], [("", cells)], caption, colours), page.chart(chart)]


def layers(profiles: Sequence[Profile]) -> list[page.Markup]:
    """Spectra of some layers and what reaches them, beside their nulls: two charts for each network."""
    shown = [each for each in profiles if "layers" in each.tables]
    if not shown:
        return _none(profiles, "layers")
    blocks = []
    colours = style.assign_colours(list(NETWORKS))
    for each in shown:
        names = list(dict.fromkeys(each.tables["layers_passed"]["layer"]))
        picked = [names[k] for k in sorted({round(k) for k in np.linspace(0, len(names) - 1, SHOWN_LAYERS)})]
        if len(shown) > 1:
            blocks.append(page.heading(each.name))
        for name, value, caption in (("layers_passed", "passed", PASSED), ("layers", "relative", SPECTRA)):
            table = each.tables[name]
            rows = table[table["layer"].isin(picked)].rename(columns={"network": "run", value: "mean"})
            base = alt.Chart().encode(alt.X("cycles:Q", title="cycles per image"), style.run_colour(colours))
            y = alt.Y("mean:Q", title=None, scale=alt.Scale(type="symlog", constant=0.1))
            panel = charts.curves(base, y, style.tooltip("run", "layer", "cycles"), points=12)
            chart = charts.panels(panel.properties(width=240, height=150), rows, "layer", ("run", "cycles"), 3)
            text = (
                f"{caption}{len(picked)} of {len(names)} layers, first to last; all are in `{name}.csv`. {_over(rows)}"
            )
            blocks.append(page.chart(style.styled(chart.add_params(style.highlight()), text)))
    return blocks


def examples(profiles: Sequence[Profile]) -> list[page.Markup]:
    """One image: as it is, its low, middle and high part, and the image without each; with what the network says."""
    blocks = []
    for profile in profiles:
        ready = profile.ready
        right = (ready.logits.argmax(1) == ready.labels).nonzero()[:, 0]
        row, which = (int(right[0]), f"image that {profile.name} has right") if len(right) else (0, "image")
        x, label = ready.pixels[row], int(ready.labels[row])
        whole = measure.whole_bands(*x.shape[-2:])
        spectrum = dct2(x)
        part = [idct2(spectrum * (whole == k)) for k in range(4)]
        versions = [("as it is", x)] + [(f"without {name}", x - part[k]) for k, name in enumerate(measure.BANDS, 1)]
        probabilities = in_batches(ready.model, torch.stack([v for _, v in versions])).softmax(1)
        name = _class(ready, label)
        cells = []
        for (_, pixels), chances in zip(versions, probabilities, strict=True):
            said = int(chances.argmax())
            note = f"{name} {float(chances[label]):.0%}" + ("" if said == label else f"; says {_class(ready, said)}")
            cells.append(Cell((pictures.picture(pixels, name, 112),), note))
        parts_ = [Cell((pictures.picture(x, name, 112),), "")]
        parts_ += [Cell((pictures.picture(part[k] + 0.5, band, 112),), "") for k, band in enumerate(measure.BANDS, 1)]
        rows = [("seen", cells), ("the part itself, on grey", parts_)]
        caption = (
            f"The first {which}. Above: the image without a band, the probability of its class and what is said "
            "instead; below: what was taken away."
        )
        blocks.append(page.grid([title for title, _ in versions], rows, caption))
    return blocks


def _class(ready: Ready, place: int) -> str:
    return ready.names[place].split(",")[0] if ready.names else f"class {place}"


def shown_images(profiles: Sequence[Profile], colours: RunColours) -> list[page.Markup]:
    table = stacked(profiles, "power")
    blocks = [page.facts({each.name: each.ready.facts["Size"] for each in profiles})]
    base = alt.Chart(charts.inline(table, "run", "shell", values=("mean",)))
    base = base.encode(style.shell_axis(), style.run_colour(colours))
    y = alt.Y("mean:Q", title="mean squared coefficient", scale=alt.Scale(type="log"))
    chart = base.mark_line().encode(y).properties(width=840, height=220)
    cut = [f"{each.name}: nothing from about shell {each.ready.cutoff} on" for each in profiles if each.ready.cutoff]
    caption = (
        "Power of the images that the network was shown, by shell. A fall within a few shells is the mark of "
        "enlarging, smoothing or compression before the network saw them. "
        + ("; ".join(cut) if cut else "None was found.")
    )
    return [*blocks, page.chart(style.styled(chart, caption))]


def public(profiles: Sequence[Profile]) -> list[page.Markup]:
    """Accuracy lost without each band, beside public networks of CIFAR-10."""
    alike = [
        each for each in profiles
        if each.ready.pixels.shape[1:] == (3, 32, 32) and each.ready.logits.shape[1] == 10 and each.ready.labelled
    ]  # fmt: skip
    if not alike:
        return [page.prose("There is no comparison for these images: public networks were measured on CIFAR-10 alone.")]
    rows = []
    for each in alike:
        lost = each.tables.get("whole_bands")
        assert each.accuracy is not None
        own = {"network": f"{each.name} (this one)", "training": "-", "accuracy": _share(each.accuracy)}
        if lost is not None:
            found = lost[lost["statistic"] == "accuracy"].set_index("band")
            own |= {band: _share(found.loc[band, ["mean", "low", "high"]]) for band in measure.BANDS}
        rows.append(own)
    known = public_networks()
    for row in known.itertuples():
        bands = {band: f"{getattr(row, band):.1%}".replace("%", " %") for band in measure.BANDS}
        rows.append(
            {"network": row.network, "training": row.training, "accuracy": f"{row.accuracy * 100:.1f} %", **bands}
        )
    caption = (
        "Accuracy, and accuracy lost without all low, middle or high shells. Public networks on 1,000 (accuracy) and "
        "300 (lost) test images of CIFAR-10; if yours are other images, compare orders, not amounts."
    )
    return [page.table(pd.DataFrame(rows).fillna("-"), caption)]


def _share(found: Any) -> str:
    mean, low, high = found
    return words.number(mean, low, high, True)


def public_networks() -> pd.DataFrame:
    """Accuracies of public networks, and what they lose without a band."""
    with files("spectroscope.profile").joinpath("public_networks.csv").open() as file:
        return pd.read_csv(file)


def left_out(profiles: Sequence[Profile]) -> list[str]:
    """What the time did not allow, and what could not be measured."""
    lines = []
    for each in profiles:
        if short := cut_short(each):
            lines.append(f"{each.name}, for lack of time: {'; '.join(short)}. More: --minutes.")
        lines += each.missing
    return lines

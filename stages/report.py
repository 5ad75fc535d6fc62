"""One page to look at: what ran, what the networks rely on, what attacks strike, and how sure that is."""

from typing import Any

import pandas as pd
from torch import Tensor

from spectroscope import figures, io, page, params
from spectroscope.page import Section, chart
from stages import In, Out, start

CURVES = ("occluded_frequency", "class_occluded_frequency")
TABLES = ("accuracy", "transfer", *CURVES, "reliance", "perturbation", "contrasts", "training")
CANDIDATES = 64  # images among which one is chosen to show what attacks do to it


def main(metrics: In, tables: In, maps: In, images: In, bands: In, attacks: In, out: Out) -> None:
    settings, about = params.read(), io.read_json(metrics)["about"]
    table = {name: io.read_table(tables / f"{name}.csv") for name in TABLES}
    triples, test = figures.maps(io.read_table(maps)), io.read_images(images)
    filtered = {band: io.read_images(bands / band / "test.parquet") for band in settings["bands"]}
    keys = [(run, attack) for run in settings["runs"] for attack in settings["attacks"]]
    cells = {
        (run, attack): _first_seed(*io.read_arrays(attacks / run / f"{attack}.parquet")[:2]) for run, attack in keys
    }

    hues = figures.colours(list(settings["runs"]))
    reliance = figures.occluded_frequency(*(table[name] for name in CURVES), hues)
    transfer, power = figures.transfer(table["transfer"], hues), figures.power(table["perturbation"], hues)
    attacked, contrasts = figures.accuracy(table["accuracy"], hues), figures.contrasts(table["contrasts"], hues)
    results = page.results(table["accuracy"], table["reliance"], RESULTS + figures.made(table["accuracy"]), hues)
    looks = page.samples(test, filtered, 6, BANDS), page.adversaries(test, cells, 10, ADVERSARIES, hues)
    sections = [
        Section("What ran", "What ran", _setting(settings, about, hues)),
        Section("Results", "How often is each run right, and what does it rely on?", (results,)),
        Section("Images", "What do the bands and the attacks look like?", looks),
        Section("Reliance", "Which frequencies does each run rely on?", (chart(reliance),)),
        Section("Bands", "What can each run still do with one band?", (chart(transfer),)),
        Section("RCT maps", "Which coefficients does an attack change?", _maps(triples, settings, hues)),
        Section("Power", "Where does the power of an attack lie?", (chart(power),)),
        Section("Attacks", "What does each run withstand?", (chart(attacked),)),
        Section("Contrasts", "Which differences do the data show?", (chart(contrasts),)),
        Section("Training", "How did training go?", (chart(figures.training(table["training"], hues)),)),
        Section("Limits", "How to read this page, and what it cannot say", (page.items(*LIMITS),)),
    ]

    io.write_text(out, page.render("Which frequencies does a vision model rely on?", (LEAD,), sections))


LEAD = page.prose(
    "spectroscope takes vision models apart by spatial frequency: it measures which frequencies a network relies on, "
    "which ones an attack strikes, and whether the one explains the other. This page shows one pass of the whole "
    "pipeline, and everything on it is drawn from written tables.",
    kind="lead",
)
RESULTS = (
    "Accuracy on test images, clean and under each attack; then two summaries of Occluded Frequency (OF) above DC: the "
    "share of its positive part at high shells, and its centroid. In brackets the interval. "
)
BANDS = (
    "Test images and what each band keeps of them. A band without DC has values around zero and is shown around mid "
    "grey; a band that keeps everything is left out. Pictures are enlarged without smoothing: one square is one pixel."
)
ADVERSARIES = (
    "One image under every attack on every run, and below it the prediction before and after. The perturbation is ten "
    f"times enlarged, around mid grey. Not a typical image: among the first {CANDIDATES} it is, of those that the most "
    "networks got right, the one that the most attacks fooled. An attack that fails changes nothing. Lowest seed."
)
RCT = (
    "The paper's relative change of DCT coefficients (RCT) divides the change of each coefficient by it and "
    "averages over images. That mean of ratios is ill-posed: where clean coefficients come near zero the ratio has no "
    "finite mean, and white noise alone already gives a map that is hot at high frequencies. A map therefore means "
    "something only against its control, white noise of the same norm pushed through the same clip. The median of "
    "ratios and the ratio of means are stable."
)
MAPS = (
    "DC is at the top left; frequency grows to the right (horizontal) and down (vertical), one square for each "
    "coefficient. Attack and control share one log scale, whose range (first to last percentile) stands below. In the "
    "ratio, blue and orange: the attack changes a coefficient less or more than noise does. "
)
LIMITS = (
    "Occluded Frequency of a shell sums over all its coefficients, and higher shells hold more of them: a hump at high "
    "shells is in part their size. Compare runs at one shell rather than shells within one run.",
    "Logits have no common unit: a network with larger logits has larger curves. Centroid and high-frequency share "
    "depend on the shape of a curve alone and can be compared; they leave out DC and all negative values.",
    "An image without one of its shells is unlike anything a network was trained on, most of all without DC; and "
    "shells removed one at a time say nothing about how they act together.",
    "Intervals resample seeds and images. With few seeds they are rough and probably too narrow; none is corrected for "
    "the number of comparisons, so that at 95 % about one filled dot in twenty is expected by chance.",
    "The spectrum of a perturbation carries its algorithm too: the sign in FGSM and PGD whitens it, and SimBA proposes "
    "in a basis of its own. A spectrum alone is no evidence about the network.",
)


def _setting(settings: dict[str, Any], about: dict[str, Any], hues: dict[str, str]) -> page.Blocks:
    """Data set and machine, runs, attacks."""
    runs = [(run, given["band"], _words(given["regime"]), given["model"]) for run, given in settings["runs"].items()]
    attacks = [(attack, _words(given)) for attack, given in settings["attacks"].items()]
    level = f"{settings['statistics']['confidence']:.0%} bootstrap over seeds and images"
    facts = {key.replace("_", " "): _words(value) for key, value in about.items()}
    return (
        page.facts(facts | {"intervals": level}),
        page.table(pd.DataFrame(runs, columns=["run", "trained on", "regime", "model"]), RUNS, hues),
        page.table(pd.DataFrame(attacks, columns=["attack", "settings"]), "The attacks, all untargeted.", {}),
    )


RUNS = "A run is the band it is trained on, a regime and a model. Sizes are in pixel units of [0, 1]; `_255` in 1/255."


def _maps(triples: dict, settings: dict[str, Any], hues: dict[str, str]) -> page.Blocks:
    """One grid of maps for each estimator, of which one is shown at a time."""
    height = 96 if len(hues) <= 3 else 64

    def cell(*key: str) -> str:
        if key not in triples:
            return "<small>no image fooled</small>"
        pixels, span = triples[key]
        return page.picture(pixels, ", ".join(key), span, height)

    panels = {}
    for name in dict.fromkeys(estimator for _, _, estimator in triples):
        rows = [[attack, *(cell(run, attack, name) for run in hues)] for attack in settings["attacks"]]
        panels[name.replace("_", " ")] = page.grid(["", *hues], rows, MAPS, hues, "attack · control · attack ÷ control")
    scales = page.ramp(figures.SEQUENTIAL, "attack, control: low", "high")
    scales += page.ramp(figures.DIVERGING, "attack ÷ control: 1/4 or less", "4 or more")
    return page.prose(RCT), scales, page.tabs("estimator", panels)


def _first_seed(perturbations: Tensor, rows: pd.DataFrame) -> tuple[Tensor, pd.DataFrame]:
    """Perturbations and rows of the lowest seed, as many as there are candidates."""
    rows = rows[rows["seed"] == rows["seed"].min()].head(CANDIDATES)
    return perturbations[rows.index.to_list()], rows


def _words(value: Any) -> str:
    """A setting as words: a mapping as `key value` after its name or method."""
    if isinstance(value, dict):
        return ", ".join(_words(v) if k in ("name", "method") else f"{k} {_words(v)}" for k, v in value.items())
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return ", ".join(map(_words, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    start(main)

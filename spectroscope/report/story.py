"""What the report says: the sections of its page, from the tables of a study and a look at its images.

The words stand here, beside the charts and pictures they explain; how those are drawn is not known here.
"""

from typing import Any

import pandas as pd
from torch import Tensor

from spectroscope.pipeline import io
from spectroscope.report import attack_story, bandfigures, figures, page, pictures, style
from spectroscope.report.page import Section, chart
from spectroscope.report.pictures import picture, ramp

Cells = dict[tuple[str, str], tuple[Tensor, pd.DataFrame]]

CURVES = ("occluded_frequency", "class_occluded_frequency")
TABLES = (
    "accuracy",
    "band_accuracy",
    *CURVES,
    "reliance",
    "perturbation",
    "calibrated",
    "split_half",
    "probes",
    "class_spectra",
    "margins",
    "masks",
    "counterparts",
    "contrasts",
    "training",
    *attack_story.TABLES,
)
CANDIDATES = 64  # images among which one is chosen to show what attacks do to it


def candidates(perturbations: Tensor, rows: pd.DataFrame) -> tuple[Tensor, pd.DataFrame]:
    """Perturbations and rows of the lowest seed, as many as there are candidates."""
    rows = rows[rows["seed"] == rows["seed"].min()].head(CANDIDATES)
    return perturbations[rows.index.to_list()], rows


def sections(
    settings: dict[str, Any],
    about: dict[str, Any],
    warnings: dict[str, dict[str, str]],
    table: dict[str, pd.DataFrame],
    maps: pd.DataFrame,
    test: io.Images,
    bands: dict[str, io.Images],
    cells: Cells,
) -> list[Section]:
    """The page of a study, from its first question to its limits.

    `settings`: params.yaml; `about`: what made the numbers; `warnings`: what speaks against the attacks;
    `table`: one for each name in TABLES; `maps`: RCT maps;
    `bands`: the test images in each band; `cells`: `candidates` by (run, attack).
    """
    hues, attacks = style.colours(list(settings["runs"])), list(dict.fromkeys(attack for _, attack in cells))
    reliance = figures.occluded_frequency(*(table[name] for name in CURVES), hues)
    transfer = figures.transfer(table["band_accuracy"], hues)
    held = bandfigures.information(table["probes"], table["class_spectra"])
    shown = (
        chart(bandfigures.margins(table["margins"], hues)),
        chart(bandfigures.masks(table["masks"], hues)),
        chart(bandfigures.counterparts(table["counterparts"], hues)),
    )
    attacked, differ = figures.accuracy(table["accuracy"], hues), table["contrasts"]
    contrasts = [figures.contrasts(differ, hues)] if len(differ) else []  # one run differs from nothing
    looks = samples(test, bands, 6, BANDS), adversaries(test, cells, 10, ADVERSARIES, hues)
    measured = page.table(*results(table["accuracy"], table["reliance"], hues), hues)
    limits = (*LIMITS, *([OVERLAP] if about.get("source") == "photos" else []))
    return [
        Section("What ran", "What ran", _setting(settings, about, hues)),
        Section("Results", "How often is each run right, and what does it rely on?", (measured,)),
        Section("Images", "What do the bands and the attacks look like?", looks),
        Section("Information", "What information is in each band?", (chart(held),)),
        Section("Reliance", "Which frequencies does each run rely on?", (chart(reliance),)),
        Section("Bands", "What can each run still do with one band?", (chart(transfer),)),
        *_struck(maps, table, attacks, hues),
        Section("Examination", "Which bands does each run need, remember, and give way in?", shown),
        Section("Attacks", "What does each run withstand?", (chart(attacked),)),
        attack_story.section(table, warnings, hues),
        *(Section("Contrasts", "Which differences do the data show?", (chart(each),)) for each in contrasts),
        Section("Training", "How did training go?", (chart(figures.training(table["training"], hues)),)),
        Section("Limits", "How to read this page, and what it cannot say", (page.items(*limits),)),
    ]


TITLE = "Which frequencies does a vision model rely on?"
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
RUNS = "A run is the band it is trained on, a regime and a model. Sizes are in pixel units of [0, 1]; `_255` in 1/255."
RCT = (
    "The paper's relative change of DCT coefficients (RCT) divides the change of each coefficient by it and "
    "averages over images. That mean of ratios is ill-posed: where clean coefficients come near zero the ratio has no "
    "finite mean, and white noise alone already gives a map that is hot at high frequencies. A map therefore means "
    "something only against its control, white noise of the same norm pushed through the same clip. The median of "
    "ratios and the ratio of means are stable."
)
UNSTRUCK = (
    "No attack fooled any network on one of the images looked at, so there is nothing to measure: see how often "
    "the runs are right on clean images, and under attack."
)
MAPS = (
    "DC is at the top left; frequency grows to the right (horizontal) and down (vertical), one square for each "
    "coefficient. Attack and control share one log scale, whose range (first to last percentile) stands below. In the "
    "ratio, blue and orange: the attack changes a coefficient less or more than noise does. "
)
SCORE = (
    "Left the map as in the paper: mean of ratios, each scaled to its own maximum. Right the null-calibrated score: "
    "the logarithm of how much more an attack changes a coefficient than noise of its norm through the same clip does. "
    "The clean image cancels in it, and noise scores 0 everywhere. Blue: less than noise; orange: more. "
)
LIMITS = (
    "Occluded Frequency of a shell sums over all its coefficients, and higher shells hold more of them: a hump at high "
    "shells is in part their size. Compare runs at one shell rather than shells within one run.",
    "Logits have no common unit: a network with larger logits has larger curves. Centroid and high-frequency share "
    "depend on the shape of a curve alone and can be compared; they leave out DC and all negative values.",
    "An image without one of its shells is unlike anything a network was trained on, most of all without DC; and "
    "shells removed one at a time say nothing about how they act together.",
    "Share and centroid use the positive part of a curve, which noise can only enlarge: in a resample with more noise "
    "than the data the high shells gain, so their intervals reach further up than down, and a value can stand near the "
    "lower end of its own.",
    "Intervals resample seeds and images. With few seeds they are rough and probably too narrow; none is corrected for "
    "the number of comparisons, so that at 95 % about one filled dot in twenty is expected by chance.",
    "The spectrum of a perturbation carries its algorithm too: the sign in FGSM and PGD whitens it, and SimBA proposes "
    "in a basis of its own. A spectrum alone is no evidence about the network.",
)
OVERLAP = (
    "Test images here are patches of photographs: those of one split overlap, and those of one class come from one "
    "photograph. n patches are therefore fewer than n independent images, and intervals over images are too narrow."
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
        page.table(
            pd.DataFrame(attacks, columns=["attack", "settings"]),
            "The attacks; untargeted unless a `target` is set.",
            {},
        ),
    )


def results(accuracy: pd.DataFrame, reliance: pd.DataFrame, hues: dict[str, str]) -> tuple[pd.DataFrame, str]:
    """Measures in rows, runs in columns, and a caption: accuracy clean and attacked, then what each run relies on."""
    names = {"clean": "clean accuracy", "hf_share": "OF high-frequency share", "centroid": "OF centroid (shell)"}
    reliance = reliance[reliance["statistic"].isin(names)]
    both = pd.concat([accuracy.rename(columns={"attack": "statistic"}), reliance], ignore_index=True)
    rows = []
    for measure, part in both.groupby("statistic", sort=False):
        cells = part.set_index("run")[["mean", "low", "high"]].reindex(list(hues))
        numbers = [page.number(*cell, share=measure != "centroid") for cell in cells.itertuples(index=False)]
        rows.append((names.get(measure, f"under {measure}"), *numbers))
    lost = reliance[reliance["n_missing"] > 0]
    notes = [f" {row.run}, {row.statistic}: left out {row.n_missing:g} without a value." for row in lost.itertuples()]
    return pd.DataFrame(rows, columns=["", *hues]), RESULTS + style.made(both) + "".join(notes)


def samples(test: io.Images, bands: dict[str, io.Images], count: int, caption: str) -> str:
    """The first image of each of `count` classes and what the bands keep of it, unless it is everything."""
    chosen = [int((test.labels == label).nonzero()[0]) for label in test.labels.unique()[:count]]
    shown = {"original": test} | {name: kept for name, kept in bands.items() if not kept.pixels.equal(test.pixels)}
    rows = [
        [test.classes[test.labels[i]], *(picture(_visible(images.pixels[i]), name) for name, images in shown.items())]
        for i in chosen
    ]
    return page.grid(["", *shown], rows, caption, {}, "")


def adversaries(test: io.Images, cells: Cells, enlarged: int, caption: str, hues: dict[str, str]) -> str:
    """One image under every attack on every run, and its perturbation.

    Of the images that the most networks got right before, it is the one that the most attacks fooled.

    `cells`: perturbations (n, C, H, W) of one seed and their rows (image, label, before, after, success), by
    (run, attack).
    """
    rows = pd.concat([rows for _, rows in cells.values()])
    tried = rows.assign(right=rows["before"] == rows["label"], n=1).groupby("image")[["n", "right", "success"]].sum()
    image = int(tried[tried["n"] == len(cells)].sort_values(["right", "success"], kind="stable").index[-1])

    def cell(run: str, attack: str) -> str:
        perturbations, rows = cells[run, attack]
        at = int((rows["image"] == image).argmax())
        note = f"{test.classes[rows['before'].iloc[at]]} → {test.classes[rows['after'].iloc[at]]}"
        adversary = picture(test.pixels[image] + perturbations[at], f"{attack} on {run}")
        return adversary + picture(0.5 + enlarged * perturbations[at], "perturbation", note)

    attacks = dict.fromkeys(attack for _, attack in cells)
    rows = [["original", picture(test.pixels[image], "original", test.classes[test.labels[image]])]]
    rows += [[attack, *(cell(run, attack) for run in hues)] for attack in attacks]
    return page.grid(["", *hues], rows, caption, hues, f"adversary · perturbation x {enlarged}")


def _struck(
    maps: pd.DataFrame, table: dict[str, pd.DataFrame], attacks: list[str], hues: dict[str, str]
) -> list[Section]:
    """What attacks change; a sentence where none of them fooled any network, so that there is nothing to measure."""
    question = "Which coefficients does an attack change?"
    if maps.empty:
        return [Section("RCT maps", question, (page.prose(UNSTRUCK),))]
    calibrated = bandfigures.calibrated(table["calibrated"], hues)
    power = figures.power(table["perturbation"], hues)
    return [
        Section("RCT maps", question, _maps(maps, table["split_half"], attacks, hues)),
        Section("Against noise", "Which shells does an attack change more than noise does?", (chart(calibrated),)),
        Section("Power", "Where does the power of an attack lie?", (chart(power),)),
    ]


def _maps(maps: pd.DataFrame, halves: pd.DataFrame, attacks: list[str], hues: dict[str, str]) -> page.Blocks:
    """The calibrated score beside the paper's map, then one grid for each estimator; one is shown at a time."""
    triples, pairs = pictures.maps(maps), pictures.calibrated(maps)
    height = 96 if len(hues) <= 3 else 64

    def cell(*key: str) -> str:
        if key not in triples:
            return "<small>no image fooled</small>"
        pixels, span = triples[key]
        return picture(pixels, ", ".join(key), span, height)

    def beside(*key: str) -> str:
        return picture(pairs[key], ", ".join(key), height=height) if key in pairs else "<small>no image fooled</small>"

    rows = [[attack, *(beside(run, attack) for run in hues)] for attack in attacks]
    panels = {"against noise": page.grid(["", *hues], rows, SCORE, hues, "the paper's RCT · calibrated score")}
    for name in dict.fromkeys(estimator for _, _, estimator in triples):
        rows = [[attack, *(cell(run, attack, name) for run in hues)] for attack in attacks]
        panels[name.replace("_", " ")] = page.grid(["", *hues], rows, MAPS, hues, "attack · control · attack ÷ control")
    scales = ramp(style.SEQUENTIAL, "attack, control: low", "high")
    scales += ramp(style.DIVERGING, "attack ÷ control, score: 1/4 or less", "4 or more")
    return page.prose(RCT, _stability(halves)), scales, page.tabs("estimator", panels)


def _stability(halves: pd.DataFrame) -> str:
    """How far two halves of the images disagree, by estimator: the median over attacks and runs, in words."""
    gaps = halves.groupby("estimator", sort=False)["mean"].median().dropna()
    told = ", ".join(f"{name.replace('_', ' ')} {gap:.0%}" for name, gap in gaps.items())
    return f"Maps of two random halves of the images differ, at the median coefficient, attack and run, by: {told}."


def _visible(pixels: Tensor) -> Tensor:
    """A band without DC, known by its mean of zero, is moved to mid grey."""
    return pixels + 0.5 * (pixels.mean().abs() < 1e-4)


def _words(value: Any) -> str:
    """A setting as words: a mapping as `key value` after its name or method."""
    if isinstance(value, dict):
        return ", ".join(_words(v) if k in ("name", "method") else f"{k} {_words(v)}" for k, v in value.items())
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return ", ".join(map(_words, value)) if isinstance(value, list) else str(value)

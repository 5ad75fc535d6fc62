"""What was measured of one network, and the five sentences to know about it, made from the numbers."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from spectroscope.profile import labels
from spectroscope.profile.plan import MOST_ATTACKED, Plan, most_bands
from spectroscope.profile.preflight import Ready
from spectroscope.report import words
from spectroscope.statistics.intervals import mean_interval

LEVELS = ("warning", "changed")
MAKE_OTHERS_WRONG = (
    "weights",
    "normalisation",
    "colours",
    "order",
    "accuracy",
)  # checks whose warning is about all that follows


@dataclass
class Profile:
    """What was measured of one network: tables by name, maps, what is missing and why."""

    ready: Ready
    plan: Plan
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    heat_map: np.ndarray | None = None
    missing: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.ready.network.name

    @property
    def accuracy(self) -> tuple[float, float, float] | None:
        """Share of images that are right, among all outputs; None without labels."""
        if not self.ready.labelled:
            return None
        return mean_interval((self.ready.logits.argmax(1) == self.ready.labels).double().numpy())

    @property
    def accuracy_among(self) -> tuple[float, float, float] | None:
        """The same among the outputs that are classes of the images, where there are fewer."""
        present = self.ready.present
        if not self.ready.labelled or not present or len(present) == self.ready.logits.shape[1]:
            return None
        return mean_interval(labels.among(self.ready.logits, self.ready.labels, present).double().numpy())


def sentences(profile: Profile) -> list[str]:
    """What to know about this network, made from its numbers."""
    ready, n = profile.ready, words.count(len(profile.ready.pixels), "image")
    accuracy, among = profile.accuracy, profile.accuracy_among
    if accuracy is None:
        sure = mean_interval(ready.logits.softmax(1).amax(1).double().numpy())
        first = (
            f"{profile.name}: no labels are used; on {n} its own prediction has a probability of "
            f"{words.number(*sure, True)}, and everything below is about that prediction."
        )
    else:
        rest = f", {words.number(*among, True)} among the {len(ready.present)} classes they have." if among else "."
        chance = f"(chance is {1 / ready.logits.shape[1]:.1%})"
        first = f"{profile.name} has {words.number(*accuracy, True)} of {n} right {chance}{rest}"
    return [first, _about_setup(ready), _about_reliance(profile), _about_attacks(profile), _about_waves(profile)]


def _about_setup(ready: Ready) -> str:
    """Checks by name; the whole text of one that makes every other number one of a network held wrongly."""
    names = {level: ", ".join(dict.fromkeys(f.check for f in ready.findings if f.level == level)) for level in LEVELS}
    wrong = next((f.text for f in ready.findings if f.level == "warning" and f.check in MAKE_OTHERS_WRONG), None)
    if names["warning"]:
        first = f"Look first at how it is set up: {names['warning']} (next section)."
        return f"{first} {wrong}" if wrong else first
    if names["changed"]:
        return f"Put right before measuring: {names['changed']} (next section)."
    return "Nothing was found wrong in how it is set up."


def _about_reliance(profile: Profile) -> str:
    table = profile.tables.get("whole_bands")
    if table is None:
        return "Its reliance was not measured."
    rows = table[(table["statistic"] == "accuracy") & (table["band"] != "DC")]
    lost = ", ".join(f"{row.band} {_points(row.mean, row.low, row.high)}" for row in rows.itertuples())
    return f"Without all shells of a band it loses, in points of {_what(profile)}: {lost}."


def _what(profile: Profile) -> str:
    return "accuracy" if profile.ready.labelled else "agreement with its own prediction"


def _points(mean: float, low: float, high: float) -> str:
    ends = f" [{low * 100:+.0f}, {high * 100:+.0f}]" if np.isfinite(low) else ""
    return f"{mean * 100:.0f}{ends}"


def _about_attacks(profile: Profile) -> str:
    table = profile.tables.get("attacks")
    if table is None:
        return "Attacks were not run."
    equal = table[table["dimension"] == "equal dimension"]
    shares = ", ".join(f"{row.band} {row.mean:.0%}" for row in equal.itertuples())
    whole = table[(table["dimension"] == "whole band") & (table["band"] == "all")].iloc[0]
    return (
        f"A perturbation of l2 norm {whole['eps']:.2g} fools {whole['mean']:.0%} of the {whole['n_images']} images "
        f"attacked; confined to {equal['coefficients'].iloc[0]} coefficients of one band, {shares}."
    )


def _about_waves(profile: Profile) -> str:
    table = profile.tables.get("heat_map")
    if table is None or not len(table):
        return "Single waves were not tried."
    above = table[table["ring"] > 0]
    worst = above.loc[above["mean"].idxmax()]
    if worst["mean"] <= 0:
        return f"Single waves of the usual size cost it no {_what(profile)}."
    cycles, lost = words.count(round(worst["cycles"]), "cycle"), _points(*worst[["mean", "low", "high"]])
    return f"Of single waves, those of about {cycles} per image cost most, in points of {_what(profile)}: {lost}."


def cut_short(profile: Profile) -> list[str]:
    """What was measured in part, as the tables say: the clock may have stopped a measurement before its plan."""
    ready, tables = profile.ready, profile.tables
    n, _, height, width = ready.pixels.shape
    found = []
    if "reliance" in tables:
        bands = most_bands(height, width)
        found.append(("bands of reliance", profile.plan.bands, bands, ""))
        found.append(("images of reliance", int(tables["reliance"]["n_images"].iloc[0]), n, ""))
    if "attacks" in tables:
        right = int((ready.logits.argmax(1) == ready.labels).sum())
        done = int(tables["attacks"]["n_images"].iloc[0])
        found.append(("images of the confined attacks", done, min(right, MOST_ATTACKED), ""))
    if "heat_map" in tables:
        waves, of = (int(tables["heat_map"][column].sum()) for column in ("waves", "of"))
        found.append(("waves of the heat map", waves, of, ", drawn evenly over ring and angle"))
    return [f"{what} ({done} of {most}{how})" for what, done, most, how in found if done < most]

"""The study itself: its runs and its attacks."""

import pandas as pd

from spectroscope.questions import QUESTIONS
from spectroscope.report import page, words
from spectroscope.report.results import Results

QUESTION = QUESTIONS["study"]
VALID = "Every setting of params.yaml was checked before anything was computed. These are the runs and the attacks."
RUNS = (
    "A run is the band it is trained on, a regime and a model. Sizes are in pixel units of [0, 1]; names that end in "
    "`_255` are in units of 1/255."
)
ATTACKS = "The attacks; untargeted unless a `target` is set. An entry with several sizes or bands is several attacks."
OWN = {"start": "starts from", "training": "own settings of training"}  # what a run may have: its column


def blocks(results: Results) -> page.Blocks:
    settings = results.settings
    level = f"{settings['statistics']['confidence']:.0%}, over networks and images"
    facts = {key.replace("_", " "): words.setting(value) for key, value in results.provenance.items()}
    runs = pd.DataFrame(
        [(name, run["band"], words.setting(run["regime"]), run["model"]) for name, run in settings["runs"].items()],
        columns=["run", "trained on", "regime", "model"],
    )
    for key, column in OWN.items():
        if any(run.get(key) for run in settings["runs"].values()):
            runs[column] = [words.setting(run[key]) if run.get(key) else "" for run in settings["runs"].values()]
    attacks = [(name, words.setting(attack)) for name, attack in settings["attacks"].items()]
    return (
        page.prose(VALID),
        page.facts(facts | {"intervals": level}),
        page.table(runs, RUNS, results.run_colours),
        page.table(pd.DataFrame(attacks, columns=["attack", "settings"]), ATTACKS),
    )

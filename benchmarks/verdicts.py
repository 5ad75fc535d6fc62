"""How often a study of several claims has a false verdict, where the truth of each is known.

    python -m benchmarks.verdicts

Six claims share networks' common factors and images: two effects lie exactly at the margin (where `supported` is
false), two just below it, two far from it on either side. A single network stands for itself alone.
"""

import numpy as np

from spectroscope.claims import verdicts
from spectroscope.claims.effects import Cells
from spectroscope.claims.settings import Claim
from spectroscope.pipeline import params
from spectroscope.statistics.cells import KEYS
from spectroscope.statistics.estimates import StatisticsSettings, means

STUDIES = 200
MARGIN = 0.1
EFFECTS = {"at": 0.1, "at-too": 0.1, "below": 0.08, "below-too": 0.08, "far-below": -0.4, "far-above": 0.6}
SETTINGS = StatisticsSettings(confidence=0.95, groups=20)


def claims() -> dict[str, Claim]:
    """That each run lies above the reference by more than the margin."""
    found = {}
    for run in EFFECTS:
        effect = {"table": "accuracy", "where": {"run": run, "attack": "pgd"}, "less": {"run": "reference"}}
        rest = {"why": "", "control": "none", "manipulation": [], "expect": "above", "margin": MARGIN, "unit": ""}
        found[run] = params.validate({"says": run, "effect": effect, **rest}, Claim, run)
    return found


def study(rng: np.random.Generator, networks: int, images: int) -> Cells:
    """Cells of a study whose runs share images, and whose reference is the same in all claims."""
    found: Cells = {name: {} for name in KEYS}
    of_images, between = rng.normal(0, 0.3, (1, images)), 0.1 if networks > 1 else 0.0
    for run, effect in {"reference": 0.0, **EFFECTS}.items():
        own = rng.normal(0, between, (networks, 1)) + rng.normal(0, 0.15, (1, images))
        values = effect + own + of_images + rng.normal(0, 0.2, (networks, images))
        found["accuracy"][run, "pgd"] = (means(values[:, :, None], np.arange(images)), "")
    return found


def false_verdicts(networks: int, images: int) -> tuple[int, float]:
    """Studies with a false verdict, and the share of claims on the two far effects that are decided."""
    rng, asked, wrong, decided = np.random.default_rng(0), claims(), 0, 0
    for _ in range(STUDIES):
        table = verdicts.table(asked, study(rng, networks, images), SETTINGS).set_index("claim")["verdict"]
        right = {
            run: {"undetermined", "supported" if effect > MARGIN else "refuted"} for run, effect in EFFECTS.items()
        }
        wrong += any(table[run] not in right[run] for run in EFFECTS)
        decided += sum(table[run] != "undetermined" for run in ("far-below", "far-above"))
    return wrong, decided / (2 * STUDIES)


if __name__ == "__main__":
    for networks, images in ((1, 100), (3, 100), (5, 200)):
        wrong, decided = false_verdicts(networks, images)
        print(f"{networks} networks, {images} images: {wrong} of {STUDIES} studies have a false verdict; ", end="")
        print(f"{decided:.0%} of the far effects are decided")

"""Are the attacks strong enough to be believed, and do adversaries transfer between networks?"""

import pandas as pd
from torch import Tensor

from spectroscope.attack_checks import describe as attack_descriptions
from spectroscope.attack_checks import sanity, strength
from spectroscope.attack_checks.settings import AttackChecksSettings
from spectroscope.attacks.settings import AttackSettings
from spectroscope.bootstrap import StatisticsSettings
from spectroscope.models import inference
from spectroscope.pipeline import io, params
from spectroscope.pipeline.progress import track
from spectroscope.pipeline.supervision import start
from stages import In, Out


def main(weights: In, images: In, attacks: In, tables: Out, warnings: Out) -> None:
    entries = params.load("attacks", dict[str, AttackSettings])
    transferred = params.load("attack_checks", AttackChecksSettings).transfer
    statistics = params.load("statistics", StatisticsSettings)
    study, test = params.read(), io.read_images(images)
    runs, about, bands = list(study["runs"]), attack_descriptions.describe(entries), attack_descriptions.bands(entries)
    few = test.head(min(entry.n_images for entry in entries.values()))
    cells: dict[tuple[str, str], tuple[Tensor, pd.DataFrame]] = {}
    for run in runs:
        for entry in entries:
            found = io.read_attack(attacks / run / f"{entry}.parquet")
            cells |= {(run, attack): cell for attack, cell in found.items()}

    moved = set(about.loc[about["entry"].isin(transferred), "attack"])
    checks, relied, carried = [], [], []
    for run in track(runs, "attack checks, runs"):
        made = {key: cell for key, cell in cells.items() if key[0] != run and key[1] in moved}
        networks = inference.restore_all(
            weights / run, study["runs"][run]["model"], test.pixels.shape[1:], len(test.classes)
        )
        for place, (seed, model) in enumerate(networks):
            checks.append(sanity.checks(model, few.pixels, few.labels).assign(run=run))
            relied.append(sanity.relied_on(model, few.pixels, few.labels, bands).assign(run=run))
            carried.append(sanity.carried_over(model, test.pixels, made, place).assign(run=run, seed=seed))
    checks, relied, carried = pd.concat(checks), pd.concat(relied), pd.concat(carried)
    rows = pd.concat(rows.assign(run=run, attack=attack) for (run, attack), (_, rows) in cells.items())

    results = {
        "attacks": strength.successes(rows, about, runs, statistics),
        "queries": strength.query_curves(rows, about, runs, statistics),
        "confined": strength.confined(rows, about, runs, relied, statistics),
        "attack_transfer": strength.transfers(carried, runs, statistics),
    }
    for name, table in results.items():
        io.write_table(tables / f"{name}.csv", table)
    io.write_json(warnings, strength.warnings(rows, about, checks, carried, runs, statistics))


if __name__ == "__main__":
    start(main)

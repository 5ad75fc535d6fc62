"""Are the attacks strong enough to be believed, and do adversaries transfer between networks?"""

import pandas as pd

from spectroscope.attack_checks import describe, sanity, strength, transfer
from spectroscope.attack_checks.transfer import AttackChecksSettings
from spectroscope.attacks.registry import AttackSettings
from spectroscope.models import inference
from spectroscope.pipeline import io, params
from spectroscope.pipeline.progress import track
from spectroscope.pipeline.supervision import start
from spectroscope.statistics import cells
from spectroscope.statistics.estimates import StatisticsSettings
from stages import In, Out


def main(weights: In, images: In, attacks: In, tables: Out, estimates: Out, warnings: Out) -> None:
    entries = params.load("attacks", dict[str, AttackSettings])
    settings = params.load("attack_checks", AttackChecksSettings)
    statistics = params.load("statistics", StatisticsSettings)
    study, test = params.read(), io.read_images(images)
    runs, described, subspaces = list(study["runs"]), describe.describe(entries), describe.subspaces(entries)
    attacked, clusters = test.head(max(entry.n_images for entry in entries.values())), test.clusters.numpy()
    files = [(run, attacks / run / f"{entry}.parquet") for run in runs for entry in entries]
    found = {(run, attack): cell for run, file in files for attack, cell in io.read_attack(file).items()}

    flags, relied, transferred = [], [], []
    moved = set(described.loc[described["entry"].isin(settings.transfer), "attack"])
    for run in track(runs, "attack_checks"):
        elsewhere = {key: cell for key, cell in found.items() if key[0] != run and key[1] in moved}
        model = study["runs"][run]["model"]
        networks = inference.restore_all(weights / run, model, test.pixels.shape[1:], len(test.classes))
        for position, (seed, network) in enumerate(networks):
            flags.append(sanity.checks(network, attacked.pixels, attacked.labels).assign(run=run))
            relied.append(sanity.relied_on(network, attacked.pixels, attacked.labels, subspaces).assign(run=run))
            rows = transfer.transferred(network, test.pixels, elsewhere, position)
            transferred.append(rows.assign(run=run, seed=seed))
    found_cells = strength.cells({key: outcomes for key, (_, outcomes) in found.items()}, described, runs, clusters)
    results = {
        "attacks": strength.success_table(found_cells, statistics),
        "queries": strength.query_table(found_cells, statistics),
        "confined": strength.confined_table(found_cells, pd.concat(relied), statistics),
        "attack_transfer": transfer.transfer_table(pd.concat(transferred), clusters, statistics),
    }
    signs = sanity.warnings(found_cells, pd.concat(flags), pd.concat(transferred), statistics)

    cells.write(results, tables, estimates)
    io.write_json(warnings, signs)


if __name__ == "__main__":
    start(main)

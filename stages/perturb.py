"""Which frequencies does an attack change, and which would plain noise of the same size change?"""

import pandas as pd

from spectroscope import io, params, runtime
from spectroscope.perturbation import PerturbationSettings, matched_noise, profile, relative_changes
from spectroscope.progress import track
from spectroscope.spectrum import shells
from spectroscope.stats import StatisticsSettings
from stages import In, Out, start


def main(images: In, attacks: In, maps: Out, profiles: Out) -> None:
    settings = params.load("perturbation", PerturbationSettings)
    statistics = params.load("statistics", StatisticsSettings)
    study, test = params.read(), io.read_images(images)
    index = shells(*test.pixels.shape[-2:])

    map_tables, profile_tables = [], []
    cells = [(run, attack) for run in study["runs"] for attack in study["attacks"]]
    for run, entry in track(cells, "perturb"):
        for attack, (change, table) in io.read_attack(attacks / run / f"{entry}.parquet").items():
            fooled = table.index[table["success"]].to_numpy()
            if not len(fooled):
                continue
            change, units = change[fooled], table.loc[fooled, ["seed", "image"]].to_numpy(copy=True)
            clean = test.pixels[units[:, 1]]
            control = matched_noise(clean, change, runtime.generator(settings.noise_seed))
            for source, delta in (("attack", change), ("control", control)):
                cell = {"run": run, "attack": attack, "source": source}
                map_tables.append(relative_changes(clean, clean + delta, settings).assign(**cell))
                profile_tables.append(profile(clean, clean + delta, units, index, settings, statistics).assign(**cell))

    io.write_table(maps, pd.concat(map_tables))
    io.write_table(profiles, pd.concat(profile_tables))


if __name__ == "__main__":
    start(main)

"""Is every setting of the study valid?

All of params.yaml, and the files it names, are checked before any work. Cells of another study, which its stages would
take for theirs, are removed: DVC has them in its cache.
"""

from spectroscope import sources
from spectroscope.pipeline import io, params
from spectroscope.pipeline.supervision import start
from spectroscope.study import Study, check_files
from stages import Cells, Out


def main(bands: Cells, models: Cells, attacks: Cells, attribution: Cells, out: Out) -> None:
    study = params.validate(params.read(), Study, "")
    check_files(study)

    digests = sources.of_study(study)

    for folder, names in ((bands, study.bands), (models, study.runs), (attacks, study.runs), (attribution, study.runs)):
        io.keep_only(folder, names)
    for run in study.runs:
        io.keep_only(attacks / run, [f"{attack}.parquet" for attack in study.attacks])
    io.keep_only(out, [])
    for name, files in digests.items():
        io.write_json(out / f"{name}.json", files)


if __name__ == "__main__":
    start(main)

"""What each cell of a study reads that no stage writes: data and networks of the user, and the code of its attack.

DVC takes no dependencies from params.yaml. So the stage `study`, which depends on the whole folders, writes a file of
digests for each cell, and the cell depends on that file: a change reruns the cells that read what changed, no others.
"""

import os
import shlex
from pathlib import Path

import spectroscope
from spectroscope.attacks import registry
from spectroscope.dataset.files import find_files, nothing_found
from spectroscope.dataset.folder import FolderSettings
from spectroscope.dataset.parquet import ParquetSettings
from spectroscope.dataset.splits import SPLITS
from spectroscope.models import own_networks
from spectroscope.models.loading import WeightsFiles
from spectroscope.pipeline import params
from spectroscope.pipeline.checkpoint import digest
from spectroscope.pipeline.imports import imported_files
from spectroscope.study import Study
from spectroscope.training.run import Run

FOLDER = Path("data/sources")  # of images and weights; DVC watches it as a whole
Digests = dict[str, str] | dict[str, list[str]]


def of_study(study: Study) -> dict[str, Digests]:
    """Digests of the files that each cell reads: `dataset`, `runs/<run>` and `attacks/<attack>`.

    ValueError with a line for each path that is not below `FOLDER`, and for code that is not in the folder of networks.
    """
    check(study)
    found: dict[str, Digests] = {"dataset": _of_dataset(study)}
    for name, run in study.runs.items():
        try:
            files = [file for files in weights(run).values() for file in files]
            found[f"runs/{name}"] = own_networks.digests(run.model) | {file: digest(Path(file)) for file in files}
        except ValueError as error:
            raise ValueError(f"{params.FILE}: runs.{name}.model: {error}") from None
    for name, attack in study.attacks.items():
        found[f"attacks/{name}"] = attack_code(attack.method)
    return found


def check(study: Study) -> None:
    """ValueError with a line for each path of the study that lies elsewhere than `FOLDER`, and for links to folders."""
    paths = {f"runs.{name}.{key}": files for name, run in study.runs.items() for key, files in weights(run).items()}
    if isinstance(study.dataset, ParquetSettings | FolderSettings):
        for split in SPLITS:
            path = getattr(study.dataset, split)
            paths[f"dataset.{split}"] = [] if "://" in path else [path]
    faults = [f"{params.FILE}: {key}: {fault}" for key, files in paths.items() for fault in map(_fault, files) if fault]
    if faults:
        raise ValueError("\n".join(faults))


def weights(run: Run) -> dict[str, list[str]]:
    """The weights files that a run reads, by the key that names them."""
    places = {"regime.weights": run.regime, "start.weights": run.start}
    return {key: place.weights or [] for key, place in places.items() if isinstance(place, WeightsFiles)}


def attack_code(method: str) -> dict[str, str]:
    """Digests of the files of an attack: its own and what that imports from the folder of attacks."""
    module, root = registry.lookup(method).function.__module__, Path(spectroscope.__file__).parents[1]
    files = imported_files(module, "spectroscope.attacks", root)
    return {file.relative_to(root).as_posix(): digest(file) for file in files}


def _of_dataset(study: Study) -> Digests:
    """Digests of the image files by split; none where the data set is made here, or torchvision compares checksums."""
    settings = study.dataset
    if isinstance(settings, ParquetSettings):
        places = {split: getattr(settings, split) for split in SPLITS}
        # A file at a URL has no digest before it is downloaded.
        files = {split: [] if "://" in place else find_files(place, split) for split, place in places.items()}
        return {split: [digest(Path(file)) for file in files[split]] for split in SPLITS}
    if isinstance(settings, FolderSettings):
        return {split: digest(Path(getattr(settings, split))) for split in SPLITS}
    return {}


def _fault(path: str) -> str:
    """What is wrong with the place of a file or folder of the study, or nothing."""
    place = Path(os.path.normpath(path))
    inside = place.absolute().is_relative_to(FOLDER.absolute())
    if not inside:
        source = place.parent if "*" in place.name else place  # dvc takes no pattern
        advice = (
            f"`{shlex.join(['dvc', 'import-url', str(source), str(FOLDER / (source.name or 'NAME'))])}` brings it there"
        )
        return f"expected a path below {FOLDER}/, which DVC watches, got {path!r}: {advice}"
    if place.is_dir():
        links = [found for found in (place, *place.rglob("*")) if found.is_symlink() and found.is_dir()]
        if links:
            return f"expected no link to a folder, into which DVC does not look, got {links[0]}"
    elif not place.exists() and "*" not in place.name:
        return f"expected a file or folder {path}, {nothing_found(path)}"
    return ""

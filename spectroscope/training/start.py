"""Trained weights that a training starts from."""

import hashlib
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from spectroscope.models import architectures, loading
from spectroscope.models.held_out import require_accuracy
from spectroscope.pipeline import io, machine
from spectroscope.pipeline.params import Distinct
from spectroscope.training.pretrained import on_held_out
from spectroscope.training.settings import TrainingSettings


class Start(loading.WeightsFiles):
    """`weights`: one file that the networks of all seeds start from, or one for each of `training.seeds`, in order."""

    weights: Annotated[list[str], Field(min_length=1), Distinct]


def files_by_seed(start: Start, seeds: list[int]) -> dict[int, str]:
    """The file that the network of each seed starts from. ValueError unless there is one file, or one for each seed."""
    files = start.weights * len(seeds) if len(start.weights) == 1 else start.weights
    if len(files) != len(seeds):
        raise ValueError(f"start.weights: expected 1 file, or {len(seeds)}, one for each seed, got {len(files)}")
    return dict(zip(seeds, files, strict=True))


def provenance(start: Start, seeds: list[int]) -> dict[str, Any]:
    """The settings of a start with the SHA-256 of its files: by seed where each has its own, else of the one file."""
    named: dict[str, Any] = {str(seed): file for seed, file in files_by_seed(start, seeds).items()}
    if len(start.weights) == 1:
        named = {"all": start.weights[0]}
    digests = {seed: hashlib.sha256(_content(Path(file))).hexdigest() for seed, file in named.items()}
    return {**start.model_dump(), "sha256": digests}


def require_accurate(start: Start, architecture: str, train: io.Images, settings: TrainingSettings) -> None:
    """ValueError naming the file that does not fit, or whose network is less accurate than `start.least_accuracy`.

    The accuracy is that on the held-out images of the training images, before any training.
    """
    for file in dict.fromkeys(start.weights):
        model = architectures.build(architecture, tuple(train.pixels.shape[1:]), len(train.classes))
        loading.restore(model, start, file)
        _, labels, logits = on_held_out(model.to(machine.device()).eval(), train, settings)
        try:
            require_accuracy(float((logits.argmax(1) == labels).double().mean()), start)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{file}: expected weights, found no file") from None

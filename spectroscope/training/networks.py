"""The networks of a run: one for each seed, from random or given weights to those of the selected epoch."""

from typing import Any

from torch import nn

from spectroscope.models import loading
from spectroscope.models.architectures import Network, build
from spectroscope.pipeline import io, machine
from spectroscope.pipeline.checkpoint import Store
from spectroscope.pipeline.progress import track
from spectroscope.training import trial
from spectroscope.training.held_out import select_epoch
from spectroscope.training.loop import fit
from spectroscope.training.regimes.adversarial import build_adversary
from spectroscope.training.regimes.registry import TrainedRegime, build_hooks
from spectroscope.training.settings import TrainingSettings
from spectroscope.training.start import Start, files_by_seed, require_accurate


def train_networks(
    run: str,
    regime: TrainedRegime,
    architecture: str,
    start: Start | None,
    train: io.Images,
    settings: TrainingSettings,
    store: Store,
) -> tuple[list[nn.Module], list[dict[str, Any]]]:
    """A network for each seed, and the rows of epochs.csv; continues from the checkpoints in `store`.

    `settings`: those of this run. With a `start` each network has its weights and its normalisation before the first
    step; ValueError as for `require_accurate`, before any network is trained.
    """
    hooks = build_hooks(regime, settings.validation_attack, *train.pixels.shape[-2:])
    attack = build_adversary(settings.validation_attack)
    if start is not None:
        require_accurate(start, architecture, train, settings)
    files = {} if start is None else files_by_seed(start, settings.seeds)
    networks: list[nn.Module] = []
    table: list[dict[str, Any]] = []
    for seed in settings.seeds:
        model = initial_network(architecture, train, seed)
        if start is not None:
            loading.restore(model, start, files[seed])
        model = model.to(machine.device())
        trial.require_sound(model, train)
        trial.require_trainable(model, train, settings)
        slot = store.checkpoint_file(f"seed{seed}")
        epochs = fit(model, train, settings, hooks, attack, machine.generator(seed), slot)
        rows = list(track(epochs, f"train {run}, seed {seed}, epochs", total=settings.epochs))
        selected = select_epoch(rows, settings.keep)
        table += [{"seed": seed, **row, "kept": number == selected} for number, row in enumerate(rows)]
        networks.append(model)
    return networks, table


def initial_network(architecture: str, train: io.Images, seed: int) -> Network:
    """A network with random weights that normalises pixels by mean and standard deviation of the training images."""
    machine.seed(seed)
    model = build(architecture, tuple(train.pixels.shape[1:]), len(train.classes))
    model.normalise.fit(train.pixels)
    return model

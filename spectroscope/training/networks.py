"""The networks of a run: one for each seed, from random weights to those of the selected epoch."""

from typing import Any

from torch import nn

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


def train_networks(
    run: str, regime: TrainedRegime, architecture: str, train: io.Images, settings: TrainingSettings, store: Store
) -> tuple[list[nn.Module], list[dict[str, Any]]]:
    """A network for each seed, and the rows of epochs.csv; continues from the checkpoints in `store`."""
    hooks = build_hooks(regime, settings.validation_attack, *train.pixels.shape[-2:])
    attack = build_adversary(settings.validation_attack)
    networks: list[nn.Module] = []
    table: list[dict[str, Any]] = []
    for seed in settings.seeds:
        model = initial_network(architecture, train, seed).to(machine.device())
        trial.require_sound(model, train)
        trial.require_trainable(model, train, settings)
        epochs = fit(
            model, train, settings, hooks, attack, machine.generator(seed), store.checkpoint_file(f"seed{seed}")
        )
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

"""Settings of the training loop: the section `training` of params.yaml."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from spectroscope.pipeline.params import Seed, Settings
from spectroscope.training.augmentation import Augmentation
from spectroscope.training.regimes.adversarial import Adversarial

Epochs = Annotated[int, Field(ge=1)]
BatchSize = Annotated[int, Field(ge=1)]
LearningRate = Annotated[float, Field(gt=0)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
WeightDecay = Annotated[float, Field(ge=0)]
Schedule = Literal["cyclic", "cosine"]
Warmup = Annotated[float, Field(ge=0, lt=1)]
Average = Annotated[float, Field(gt=0, lt=1)] | None
Keep = Literal["last", "best"]
LEFT_OUT: Any = (
    None  # stands for a key that the parameter file does not have; null in the file is checked like any value
)


class TrainingSettings(Settings):
    """SGD, with Nesterov momentum if `momentum` is above 0; one network for each of `seeds`.

    `schedule`: the learning rate rises linearly for the fraction `warmup` of all steps, then falls to zero, linearly
    (`cyclic`) or along a cosine (`cosine`).
    `average`: decay of a moving average of the weights, which is then evaluated and kept; null for no average.
    `keep`: the weights of the last epoch, or of the best one (early stopping, Rice et al. 2020).
    `batch_norm`: with several processes, statistics over the whole batch or over the share of each process.
    `threads`: of each process while it trains, on whatever machine, since sums over other numbers of threads round
    differently; null for as many as the machine gives.
    `held_out`: least fraction of the training images that is only evaluated, in whole clusters.
    `validation_attack`: measures robust accuracy on the held-out images after each epoch; no effect on the training.
    With the same steps, at least 2, and its step relative to the radius, each regime's own ball is searched.
    """

    seeds: Annotated[list[Seed], Field(min_length=1)]
    epochs: Epochs
    batch_size: BatchSize
    learning_rate: LearningRate
    momentum: Momentum
    weight_decay: WeightDecay
    schedule: Schedule
    warmup: Warmup
    average: Average
    keep: Keep
    batch_norm: Literal["synchronised", "per_process"]
    threads: Annotated[int, Field(ge=1)] | None
    held_out: Annotated[float, Field(gt=0, lt=0.5)]
    augmentation: Augmentation
    validation_attack: Adversarial

    @field_validator("seeds")
    @classmethod
    def _differ(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"expected seeds that differ, got {seeds}")
        return seeds

    @field_validator("validation_attack")
    @classmethod
    def _has_steps(cls, attack: Adversarial) -> Adversarial:
        if attack.steps < 2:  # catastrophic overfitting is robustness against one step alone (Wong et al. 2020)
            raise ValueError(f"expected at least 2 steps, got {attack.steps}")
        return attack


class OwnTraining(Settings):
    """What one run changes in `TrainingSettings`; a key left out is as there.

    Seeds, held-out images and validation attack are not among the keys: runs are compared with these the same.
    """

    epochs: Epochs = LEFT_OUT
    batch_size: BatchSize = LEFT_OUT
    learning_rate: LearningRate = LEFT_OUT
    momentum: Momentum = LEFT_OUT
    weight_decay: WeightDecay = LEFT_OUT
    schedule: Schedule = LEFT_OUT
    warmup: Warmup = LEFT_OUT
    average: Average = LEFT_OUT
    keep: Keep = LEFT_OUT
    augmentation: Augmentation = LEFT_OUT


def settings_of_run(settings: TrainingSettings, own: OwnTraining | None) -> TrainingSettings:
    """The section `training` with what a run changes in it."""
    changed = {} if own is None else {name: getattr(own, name) for name in own.model_fields_set}
    return settings.model_copy(update=changed)

"""What a GPU gives: two ResNet-18 trained on CIFAR-10, their robustness and reliance, and speeds beside bare forwards.

`benchmarks/gpu.sh FOLDER OUT.json` runs it, FOLDER with Parquet files of CIFAR-10 as the Hugging Face hub has them. It
takes `--seconds` at most, of which the adversarial training has what the rest leaves: its epochs are set from a
measured one. `--toy` takes minutes on a CPU and says nothing about a GPU: it shows that the script runs.

The networks: standard training from random weights, then PGD-10 adversarial training in l-inf 8/255 that starts from
the standard network's weights. Both in bfloat16 (autocast); every accuracy and reliance in the JSON is computed in
float32, and again in bfloat16, to see what the shorter numbers change. One network each: intervals are over images.
"""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch
import typer
from torch import Tensor, nn

from spectroscope.attacks.registry import AttackSettings
from spectroscope.attacks.runner import run
from spectroscope.attribution.by_shell import table
from spectroscope.attribution.occlusion import drops_by_score, occluded_frequency
from spectroscope.attribution.shell_bands import column_names
from spectroscope.dataset import parquet
from spectroscope.findings.reliance import class_curves, reliance
from spectroscope.frequency.partitions import equal_width
from spectroscope.frequency.spectrum import shells
from spectroscope.models import inference
from spectroscope.models.architectures import build
from spectroscope.pipeline import machine, params
from spectroscope.pipeline.io import Images
from spectroscope.statistics.estimates import StatisticsSettings
from spectroscope.statistics.intervals import mean_interval
from spectroscope.training.hooks import TrainingHooks
from spectroscope.training.loop import fit
from spectroscope.training.networks import initial_network
from spectroscope.training.regimes.adversarial import Adversarial, build_adversary
from spectroscope.training.settings import TrainingSettings

EPS_255 = 8
PGD_10 = {"name": "adversarial", "norm": "linf", "eps_255": EPS_255, "step_255": 2, "steps": 10, "random_start": True}
PGD_20 = {"method": "pgd", "norm": "linf", "n_images": 1, "target": None, "eps_255": EPS_255, "step_255": 2}
PGD_20 |= {"steps": 20, "random_start": True, "direction": "sign", "momentum": 0, "stop_early": False}
TRAINING = {
    "seeds": [0],
    "threads": None,
    "momentum": 0.9,
    "weight_decay": 0.0005,
    "schedule": "cyclic",
    "average": None,
}
TRAINING |= {"keep": "last", "batch_norm": "synchronised", "held_out": 0.02, "validation_attack": PGD_10}
TRAINING |= {"augmentation": {"flip": True, "crop": 4, "padding": "zero"}}  # as usual on CIFAR-10
SCORES = ("margin", "probability", "logit")
STATISTICS = StatisticsSettings(confidence=0.95, groups=20)


class Size:
    """Images, epochs and networks of the real run, or of the toy that shows that the script runs."""

    def __init__(self, toy: bool) -> None:
        self.model, self.large = ("resnet8", "resnet18") if toy else ("resnet18", "resnet50")
        self.train, self.test = (200, 40) if toy else (None, None)
        self.epochs = 2 if toy else 24
        self.most_epochs, self.fewest_epochs = (2, 2) if toy else (30, 5)
        self.batch = 20 if toy else 256
        self.attributed = 20 if toy else 2000
        self.side, self.of_large = (64, 4) if toy else (224, 256)
        self.timed_batches = 2 if toy else 21
        self.chunk = 16 if toy else 256
        self.reserve = 20.0 if toy else 100.0  # seconds for what follows the trainings


def main(
    folder: Annotated[Path, typer.Argument(help="Parquet files of CIFAR-10, train and test")],
    out: Annotated[Path, typer.Argument(help="the JSON with every result")],
    seconds: Annotated[float, typer.Option(help="for the whole")] = 600,
    toy: Annotated[bool, typer.Option(help="small enough for a CPU")] = False,
) -> None:
    began, size = time.perf_counter(), Size(toy)
    train, test = read(folder, size)
    found: dict[str, Any] = {"machine": machine.describe(), "toy": toy, "n_train": len(train), "n_test": len(test)}

    def note(**facts: Any) -> None:
        found.update(facts)
        found["seconds"] = time.perf_counter() - began
        out.write_text(json.dumps(found, indent=1) + "\n")  # after every step: a run that is cut off keeps what it has
        print(f"{found['seconds']:6.1f} s  {json.dumps(facts)[:400]}", flush=True)

    note(read=True)
    note(images_per_second=training_steps(train, size))
    standard, facts = trained(train, size, None, size.epochs, 0.2)
    note(standard_training=facts)
    note(standard=measured(standard, test, size))

    epoch = len(train) / list(found["images_per_second"].values())[-1] * 1.15  # with what is held out
    left = seconds - size.reserve - found["seconds"]
    epochs = max(size.fewest_epochs, min(size.most_epochs, int(left / epoch)))
    robust, facts = trained(train, size, standard, epochs, 0.1)
    note(adversarial_training=facts)
    note(adversarial=measured(robust, test, size))

    note(speed_32=speeds(inference.freeze(robust), test.pixels[: size.attributed], 32, shells(32, 32), size))
    note(speed_large=large(size))
    note(agreement=agreement(standard, test))
    note(done=True)


def read(folder: Path, size: Size) -> tuple[Images, Images]:
    """Training and test images, pixels as float32 in [0, 1]."""
    settings: dict[str, Any] = {"name": "parquet", "train": str(folder), "test": str(folder), "image": None}
    settings |= {
        "label": None,
        "channels": 3,
        "size": None,
        "limit": {"train": size.train, "test": size.test},
        "seed": 0,
    }
    loaded = parquet.load(params.validate(settings, parquet.ParquetSettings, "dataset"))
    train, test = (
        Images(split.pixels.float() / 255, split.labels, split.classes, split.clusters)
        for split in (loaded.train, loaded.test)
    )
    return train, test


def bfloat16() -> torch.autocast:
    """Convolutions and products in bfloat16. Without the cache of cast weights, which an optimiser would make stale."""
    return torch.autocast(machine.device().type, torch.bfloat16, cache_enabled=False)


def numbers() -> dict[str, Callable[[], Any]]:
    """The contexts of both kinds of numbers by name; on a CPU float32 alone, since most emulate bfloat16 slowly."""
    both = {"float32": contextlib.nullcontext, "bfloat16": bfloat16}
    return both if machine.device().type == "cuda" else {"float32": contextlib.nullcontext}


def settings_of(size: Size, epochs: int, rate: float) -> TrainingSettings:
    own = {"epochs": epochs, "batch_size": size.batch, "learning_rate": rate, "warmup": 0.2}
    return params.validate({**TRAINING, **own}, TrainingSettings, "training")


def hooks() -> TrainingHooks:
    return TrainingHooks(adversary=build_adversary(params.validate(PGD_10, Adversarial, "regime")))


def trained(
    train: Images, size: Size, start: nn.Module | None, epochs: int, rate: float
) -> tuple[nn.Module, dict[str, Any]]:
    """A network after its training: standard, or adversarial from the weights of `start`; and how it went."""
    settings = settings_of(size, epochs, rate)
    model = initial_network(size.model, train, 0)
    if start is not None:
        model.load_state_dict(start.state_dict())
    model = model.to(machine.device())
    validation = build_adversary(settings.validation_attack)
    own = TrainingHooks() if start is None else hooks()
    began, rows = time.perf_counter(), []
    with list(numbers().values())[-1]():
        for row in fit(model, train, settings, own, validation, machine.generator(0)):
            rows.append(row)
            print(f"epoch {row['epoch']} of {epochs}: {row}", flush=True)
    facts = {"epochs": epochs, "batch_size": size.batch, "learning_rate": rate, "held_out": rows[-1]["clean"]}
    facts |= {"minutes": (time.perf_counter() - began) / 60, "losses": [row["loss"] for row in rows]}
    speed = sorted(row["images_per_second"] for row in rows)[len(rows) // 2]
    return model, {**facts, "images_per_second": speed, "held_out_pgd10": rows[-1]["robust"]}


def measured(model: nn.Module, test: Images, size: Size) -> dict[str, Any]:
    """Accuracies on all test images and reliance on some, each in float32 and in bfloat16."""
    frozen, found = inference.freeze(model), {}
    for name, context in numbers().items():
        with context():
            network: Callable[[Tensor], Tensor] = lambda x: frozen(x).float()  # noqa: E731
            right = (inference.predict(network, test.pixels) == test.labels).double()
            began = time.perf_counter()
            robust = right * ~pgd_20(network, test)
            spent = time.perf_counter() - began
            some = test.head(size.attributed)
            found[name] = {
                "clean": mean_interval(right)._asdict(),
                "pgd20": mean_interval(robust.double())._asdict(),
                "pgd20_images_per_second": int(right.sum()) / spent,
                **reliances(network, some),
            }
    return found


def pgd_20(model: Callable[[Tensor], Tensor], test: Images) -> Tensor:
    """Whether PGD-20 fools the network, image by image."""
    settings = params.validate(PGD_20, AttackSettings, "attacks.pgd")
    x, y = test.pixels.to(machine.device()), test.labels.to(machine.device())
    return run(settings, model, x, y, 0, batch_size=1000).success.cpu()


def reliances(model: Callable[[Tensor], Tensor], test: Images) -> dict[str, Any]:
    """Margin and logit centroid and high-frequency share, with intervals over images for this one network."""
    index, device = shells(32, 32), machine.device()
    x, y = test.pixels.to(device), test.labels.to(device)
    drops = drops_by_score(model, x, y, index, SCORES, "dct", None, False, 1000).cpu()  # type: ignore[arg-type]
    right = inference.predict(model, test.pixels) == test.labels
    rows = table(drops.float(), column_names(index, index), test.labels, right, 0)
    classes, clusters = len(test.classes), test.clusters.numpy()
    curves = [
        class_curves("network", str(score), part, classes, clusters, "all", STATISTICS)
        for score, part in rows.groupby("score", sort=False)
    ]
    relied: pd.DataFrame = reliance(curves, 0.5, STATISTICS)[0]
    wanted = relied[relied["statistic"].isin(["centroid", "hf_share"])]
    columns = ["mean", "low", "high", "marked"]
    return {f"{row['score']} {row['statistic']}": {k: row[k] for k in columns} for _, row in wanted.iterrows()}


def per_second(work: Callable[[], object], images: int, repeats: int = 3) -> float:
    """Images per second: the fastest of the repeats, after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return images / min(times[1:])


def training_steps(train: Images, size: Size) -> dict[str, float]:
    """Images per second of the training loop, standard and PGD-10, in float32 and bfloat16: a short epoch."""
    few, found = train.head(min(len(train), size.batch * size.timed_batches)), {}
    cases = {"standard": TrainingHooks(), "PGD-10": hooks()}
    for number, context in numbers().items():
        for name, own in cases.items():
            model = initial_network(size.model, train, 0).to(machine.device())
            settings, validation = settings_of(size, 2, 0.1), build_adversary(params.validate(PGD_10, Adversarial, "x"))
            with context():
                rows = list(fit(model, few, settings, own, validation, machine.generator(0)))
            found[f"{name}, {number}"] = rows[-1]["images_per_second"]
    return found


def speeds(model: nn.Module, pixels: Tensor, side: int, index: Tensor, size: Size) -> dict[str, Any]:
    """Images per second of Occluded Frequency and of as many bare forward passes, in turns; and their ratio."""
    x, passes = pixels.to(machine.device()), int(index.max()) + 2  # all bands, and the image as it is
    y = torch.zeros(len(x), dtype=torch.int64, device=x.device)

    @torch.no_grad()
    def bare() -> None:
        for part in x.split(size.chunk):
            for _ in range(passes):
                model(part)

    found: dict[str, Any] = {"side": side, "n_images": len(x), "forward_passes": passes}
    for number, context in numbers().items():
        with context():
            forwards = per_second(bare, len(x))
            ours = per_second(lambda: occluded_frequency(model, x, y, index, chunk=size.chunk), len(x))
            gradients = per_second(lambda: gradient(model, x, y, size.chunk), len(x))
        found[number] = {"bare": forwards, "occluded_frequency": ours, "ratio": ours / forwards, "gradients": gradients}
    return found


def gradient(model: nn.Module, x: Tensor, y: Tensor, chunk: int) -> None:
    """The gradient of the loss by the pixels, once: a step of an attack."""
    for part, labels in zip(x.split(chunk), y.split(chunk), strict=True):
        shown = part.clone().requires_grad_()
        torch.autograd.grad(nn.functional.cross_entropy(model(shown), labels), shown)


def large(size: Size) -> dict[str, Any]:
    """The same at the size of ordinary images: a network with random weights, 16 bands of equal width."""
    machine.seed(0)
    model = inference.freeze(build(size.large, (3, size.side, size.side), 1000)).to(machine.device())
    pixels = torch.rand(size.of_large, 3, size.side, size.side, generator=machine.generator(0))
    return {"model": size.large, **speeds(model, pixels, size.side, equal_width(size.side, size.side, 16, "dct"), size)}


def agreement(model: nn.Module, test: Images) -> dict[str, float]:
    """Largest difference of Occluded Frequency by the label's probability, and of predictions, between GPU and CPU."""
    few, index = test.head(min(100, len(test))), shells(32, 32)

    def on(device: torch.device) -> tuple[Tensor, Tensor]:
        frozen = inference.freeze(model).to(device)
        x, y = few.pixels.to(device), few.labels.to(device)
        with torch.no_grad():
            logits = frozen(x).cpu()
        return occluded_frequency(frozen, x, y, index, score="probability").cpu(), logits.argmax(1)

    (here, guesses), (there, others) = (on(device) for device in (machine.device(), torch.device("cpu")))
    return {
        "n_images": len(few),
        "largest_difference": float((here - there).abs().max()),
        "different_predictions": float((guesses != others).sum()),
    }


if __name__ == "__main__":
    typer.run(main)

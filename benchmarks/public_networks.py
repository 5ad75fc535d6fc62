"""Accuracy of public networks as loaded here, beside the published one, as a Markdown table.

`python -m benchmarks.public_networks folder`: it holds `networks`, the files as their authors published them, and
`cifar10-exact`, Parquet files of CIFAR-10. PGD: 20 steps of 0.5/255 from a random
start. The last column is measured minus published, in standard errors of an accuracy on n images.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
import typer
from torch import Tensor, nn

from spectroscope.attacks.pgd import pgd
from spectroscope.dataset import parquet
from spectroscope.models import inference
from spectroscope.pipeline import machine, params
from spectroscope.training.pretrained import networks
from spectroscope.training.regimes.pretrained import Pretrained

Normalisation = tuple[list[float], list[float]] | tuple[None, None]  # mean and std of each channel
IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
IMAGENET_CENTRED = [0.485, 0.456, 0.406], [0.225, 0.225, 0.225]
CIFAR = [0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616]
CIFAR_BY_IMAGE = [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]  # std: mean over images of that within an image
NONE = None, None


class PublicNetwork(NamedTuple):
    """A file, how it is read, and its published accuracies on the test images: clean and under PGD in l-inf 2/255."""

    file: str
    model: str
    entry: str | None
    normalisation: Normalisation
    clean: float | None = None
    robust: float | None = None


CIFAR_NETWORKS = [
    PublicNetwork("resnet20-12fca82f.th", "resnet20", "state_dict", IMAGENET, 0.9173),
    PublicNetwork("resnet32-d509ac18.th", "resnet32", "state_dict", IMAGENET, 0.9263),
    PublicNetwork("resnet44-014dd654.th", "resnet44", "state_dict", IMAGENET, 0.9310),
    PublicNetwork("resnet56-4bfd9763.th", "resnet56", "state_dict", IMAGENET, 0.9339),
    PublicNetwork("resnet2b.pth", "resnet2b", "state_dict", CIFAR, 0.6925, 0.5482),
    PublicNetwork("resnet4b.pth", "resnet4b", "state_dict", CIFAR, 0.7720, 0.6141),
    PublicNetwork("cifar_cnn_a_adv.model", "cnn-a", None, CIFAR_BY_IMAGE),
    PublicNetwork("cifar_cnn_a_adv4.model", "cnn-a", None, CIFAR_BY_IMAGE),
    PublicNetwork("cifar_cnn_a_adv_alt.model", "cnn-a", None, CIFAR_BY_IMAGE),
    PublicNetwork("cifar_cnn_a_mix.model", "cnn-a", None, CIFAR_BY_IMAGE),
    PublicNetwork("cifar_cnn_a_mix4.model", "cnn-a", None, CIFAR_BY_IMAGE),
    PublicNetwork("cifar_wide.pth", "cnn-a", "state_dict", IMAGENET_CENTRED),
    PublicNetwork("cifar_base.pth", "cnn-base", "state_dict", IMAGENET_CENTRED),
    PublicNetwork("cifar_deep.pth", "cnn-deep", "state_dict", IMAGENET_CENTRED),
    PublicNetwork("cifar_conv_small_pgd.pth", "conv-small", "state_dict", CIFAR_BY_IMAGE),
    PublicNetwork("cifar_marabou_large.pth", "marabou-large", None, NONE),
]


def load(folder: Path, network: PublicNetwork, shape: tuple[int, int, int]) -> nn.Module:
    """The network as the pipeline uses it: through the regime `pretrained`, frozen."""
    mean, std = network.normalisation
    settings: dict[str, Any] = {"name": "pretrained", "weights": [str(folder / "networks" / network.file)]}
    settings |= {"entry": network.entry, "keys": "plain", "mean": mean, "std": std, "least_accuracy": 0.5}
    (model,) = networks(params.validate(settings, Pretrained, "regime"), network.model, shape, 10)
    return inference.freeze(model).to(machine.device())


def read_images(folder: Path, channels: int) -> tuple[Tensor, Tensor]:
    """All test images of a folder of Parquet files, and their labels: (N, C, H, W) in [0, 1] and (N,)."""
    settings: dict[str, Any] = {"name": "parquet", "train": str(folder), "test": str(folder), "image": None}
    settings |= {"label": None, "channels": channels, "size": None, "limit": {"train": 10, "test": None}, "seed": 0}
    test = parquet.load(params.validate(settings, parquet.ParquetSettings, "dataset")).test
    return test.pixels.float() / 255, test.labels


def accuracies(network: PublicNetwork, model: nn.Module, x: Tensor, labels: Tensor) -> dict[str, float]:
    """Clean accuracy and, where one is published, accuracy under PGD."""
    result = {"clean": float((inference.predict(model, x) == labels).float().mean())}
    if network.robust is not None:
        x, where = x.to(machine.device()), machine.device()
        adversaries = pgd(
            model,
            x,
            labels.to(where),
            eps=2 / 255,
            step_size=0.5 / 255,
            steps=20,
            generator=machine.generator(0),
        )
        result["robust"] = float((inference.predict(model, adversaries) == labels).float().mean())
    return result


def standard_errors(measured: float, published: float, n: int) -> float:
    """The difference of an accuracy on n images from a published one, in standard errors of the former."""
    return (measured - published) / (published * (1 - published) / n) ** 0.5


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    x, labels = read_images(folder / "cifar10-exact", 3)
    print("| file | `model` | accuracy | published | measured | n | standard errors |\n|---|---|---|---|---|---|---|")
    for network in CIFAR_NETWORKS:
        for kind, measured in accuracies(network, load(folder, network, (3, 32, 32)), x, labels).items():
            published = getattr(network, kind)
            cells = "- |" if published is None else f"{published:.4f} |"
            last = "-" if published is None else f"{standard_errors(measured, published, len(x)):+.1f}"
            name = {"clean": "clean", "robust": "PGD 2/255"}[kind]
            print(f"| `{network.file}` | `{network.model}` | {name} | {cells} {measured:.4f} | {len(x):,} | {last} |")


if __name__ == "__main__":
    typer.run(main)

"""Accuracy of public networks as loaded here, beside the published one, as a Markdown table.

`python -m benchmarks.public_networks folder`: it holds `networks`, the files as their authors published them, and
`cifar10-exact`, Parquet files of CIFAR-10. The last column is measured minus published, in standard errors of an
accuracy on n of the test images. About ten minutes on one core.

PGD accuracies are published in README.md of the benchmark `cifar10_resnet` (VNN-COMP 2021), without the settings of the
attack; its authors choose their images by 100 steps and 5 starts, aimed at each of the nine other classes at once.
"""

from collections.abc import Iterator
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

N_TEST = 10_000  # test images of CIFAR-10
Normalisation = tuple[list[float], list[float]] | tuple[None, None]  # mean and std of each channel
IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
IMAGENET_CENTRED = [0.485, 0.456, 0.406], [0.225, 0.225, 0.225]
CIFAR = [0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616]
CIFAR_BY_IMAGE = [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]  # std: mean over images of that within an image
CIFAR_SDP = [0.4914, 0.4824, 0.4467], [0.2471, 0.2435, 0.2616]  # as alpha-beta-CROWN reads the networks of its `sdp`
NONE = None, None


class PublicNetwork(NamedTuple):
    """A file, how it is read, and its published accuracies on the test images: clean and, by 255 eps, under PGD."""

    file: str
    model: str
    entry: str | None
    normalisation: Normalisation
    clean: float | None = None
    pgd: tuple[tuple[int, float], ...] = ()


class Strength(NamedTuple):
    """PGD of `steps` steps of eps/4 from each of `starts` random starts; `targeted`: at each other class in turn.

    An image resists where all of these fail.
    """

    steps: int
    starts: int
    targeted: bool


STRENGTHS = {
    "10 steps": Strength(10, 1, targeted=False),
    "20 steps": Strength(20, 1, targeted=False),  # as in studies/public-cifar10.yaml
    "100 steps, 5 starts": Strength(100, 5, targeted=False),
    "40 steps at each class": Strength(40, 1, targeted=True),
}
CIFAR_NETWORKS = [
    PublicNetwork("resnet20-12fca82f.th", "resnet20", "state_dict", IMAGENET, 0.9173),
    PublicNetwork("resnet32-d509ac18.th", "resnet32", "state_dict", IMAGENET, 0.9263),
    PublicNetwork("resnet44-014dd654.th", "resnet44", "state_dict", IMAGENET, 0.9310),
    PublicNetwork("resnet56-4bfd9763.th", "resnet56", "state_dict", IMAGENET, 0.9339),
    PublicNetwork("resnet2b.pth", "resnet2b", "state_dict", CIFAR, 0.6925, ((1, 0.6224), (2, 0.5482))),
    PublicNetwork("resnet4b.pth", "resnet4b", "state_dict", CIFAR, 0.7720, ((1, 0.6975), (2, 0.6141))),
    PublicNetwork("cifar_cnn_a_adv.model", "cnn-a", None, CIFAR_SDP),
    PublicNetwork("cifar_cnn_a_adv4.model", "cnn-a", None, CIFAR_SDP),
    PublicNetwork("cifar_cnn_a_adv_alt.model", "cnn-a", None, CIFAR_SDP),
    PublicNetwork("cifar_cnn_a_mix.model", "cnn-a", None, CIFAR_SDP),
    PublicNetwork("cifar_cnn_a_mix4.model", "cnn-a", None, CIFAR_SDP),
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


def resisting(model: nn.Module, x: Tensor, labels: Tensor, eps: float, strength: Strength) -> Tensor:
    """Which images are classified right, and under every start of PGD in l-inf: (N,) booleans."""
    labels, result = labels.to(x.device), (inference.predict(model, x) == labels.cpu()).to(x.device)
    n_classes = model(x[:1]).shape[1]
    for start in range(strength.starts):
        for shift in range(1, n_classes) if strength.targeted else [0]:
            rows = result.nonzero()[:, 0]  # an image that one start has fooled needs no other
            targets = (labels[rows] + shift) % n_classes if strength.targeted else None
            adversaries = pgd(
                model,
                x[rows],
                labels[rows],
                eps=eps,
                step_size=eps / 4,
                steps=strength.steps,
                generator=machine.generator(start, shift),
                targets=targets,
            )
            result[rows] = (inference.predict(model, adversaries) == labels[rows].cpu()).to(x.device)
    return result


def accuracies(
    network: PublicNetwork, model: nn.Module, x: Tensor, labels: Tensor, strengths: dict[str, Strength]
) -> Iterator[tuple[str, float | None, float]]:
    """Name, published and measured accuracy: clean and, where one is published, under PGD of each strength."""
    yield "clean", network.clean, float((inference.predict(model, x) == labels).float().mean())
    for eps_255, published in network.pgd:
        for name, strength in strengths.items():
            resists = resisting(model, x.to(machine.device()), labels, eps_255 / 255, strength)
            yield f"PGD {eps_255}/255, {name}", published, float(resists.float().mean())


def standard_errors(measured: float, published: float, n: int) -> float:
    """The difference of an accuracy on n of the test images from the published one on all of them, in standard errors.

    Chance has only the drawing of n out of N_TEST: the variance is that of n images less that of all N_TEST.
    """
    return (measured - published) / (published * (1 - published) * (1 / n - 1 / N_TEST)) ** 0.5


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    x, labels = read_images(folder / "cifar10-exact", 3)
    print("| file | `model` | accuracy | published | measured | n | standard errors |\n|---|---|---|---|---|---|---|")
    for network in CIFAR_NETWORKS:
        model = load(folder, network, (3, 32, 32))
        for name, published, measured in accuracies(network, model, x, labels, STRENGTHS):
            cells = "- |" if published is None else f"{published:.4f} |"
            last = "-" if published is None else f"{standard_errors(measured, published, len(x)):+.1f}"
            print(f"| `{network.file}` | `{network.model}` | {name} | {cells} {measured:.4f} | {len(x):,} | {last} |")


if __name__ == "__main__":
    typer.run(main)

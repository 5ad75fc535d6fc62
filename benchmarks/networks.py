"""Networks and test images of a reproduced study, from its folder `data`."""

from pathlib import Path

from torch import Tensor, nn

from spectroscope.models import architectures
from spectroscope.pipeline import io

RUNS = ("standard", "adversarial")


def restore(data: Path, model: str, n: int) -> tuple[Tensor, Tensor, dict[str, nn.Module]]:
    """The first n test images (n, C, H, W) and labels (n,), and the first seed's network of each of `RUNS`.

    Networks as a user has them: in evaluation mode, BatchNorm not folded, weights that require gradients.
    """
    test = io.read_images(data / "images" / "test.parquet").head(n)
    networks = {}
    for run in RUNS:
        network = architectures.build(model, tuple(test.pixels.shape[1:]), len(test.classes))
        networks[run] = io.read_weights(min((data / "models" / run).glob("seed*.safetensors")), network).eval()
    return test.pixels, test.labels, networks

"""Which training images are held out, and how accurate a given network has to be on them."""

import torch
from torch import Tensor

from spectroscope.models.loading import WeightsFiles
from spectroscope.pipeline import io


def split(images: io.Images, held_out: float) -> tuple[Tensor, Tensor]:
    """Indices (training, held out). No cluster is on both sides, and each class is on both.

    Of each class whole clusters are held out, from that of its last image back, until they have the fraction `held_out`
    of its images; one cluster stays in any case. ValueError for a class with a single cluster.
    """
    labels, clusters = images.labels, images.clusters
    out = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(int(labels.max()) + 1):
        members = (labels == label).nonzero().flatten()
        n_clusters = len(clusters[members].unique())
        if n_clusters < 2:
            raise ValueError(f"expected training images of class {label} from at least 2 clusters, got {n_clusters}")
        # Clusters of another class may hold images of this one: labels can be permuted.
        missing = max(1, round(held_out * len(members))) - int(out[members].sum())
        out |= torch.isin(clusters, _last_clusters(clusters[members[~out[members]]], missing))
    for label in range(int(labels.max()) + 1):
        if out[labels == label].all():
            raise ValueError(f"expected training images of class {label} in clusters of their own, got none")
    return (~out).nonzero().flatten(), out.nonzero().flatten()


def _last_clusters(clusters: Tensor, n: int) -> Tensor:
    """Of the clusters of N images, those that end last, n images or more together; never the one that ends first."""
    names, place, sizes = clusters.unique(return_inverse=True, return_counts=True)
    last = torch.zeros(len(names), dtype=torch.int64).scatter_reduce(0, place, torch.arange(len(clusters)), "amax")
    backwards = last.argsort(descending=True)
    before = sizes[backwards].cumsum(0) - sizes[backwards]  # images in the clusters that come later
    return names[backwards][:-1][before[:-1] < n]


def require_accuracy(accuracy: float, files: WeightsFiles) -> None:
    """ValueError for a held-out accuracy below `files.least_accuracy`."""
    if accuracy < files.least_accuracy:
        reason = "normalisation (mean, std), order of the classes or names (keys) may be wrong"
        wanted = f"{files.least_accuracy:g}"
        raise ValueError(f"expected a held-out accuracy of at least {wanted}, got {accuracy:.3g}: {reason}")

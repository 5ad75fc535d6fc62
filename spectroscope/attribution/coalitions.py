"""Logits of images that keep some of their frequency bands while the others are replaced by a baseline.

A coalition is the set of bands that an image keeps (the term is that of Shapley values): a row of booleans (bands,).
Occluded and kept frequency, Shapley values and deletion curves all follow from the logits of coalitions.
"""

import torch
from torch import Tensor

from spectroscope.attribution.baselines import baseline_rows, minus_baseline
from spectroscope.attribution.inputs import Model, check_bands, check_images, checked_logits
from spectroscope.frequency.channels import Channels, seen
from spectroscope.frequency.spectrum import Basis, analyse, synthesise
from spectroscope.pipeline.progress import track

EXACT_BANDS = 10  # 2^10 coalitions are the most that are computed for every image
COALITION_BATCH_SIZE = 16  # coalitions mixed in one matrix product: all of them at once would not fit in memory


@torch.no_grad()
def coalition_logits(  # nine arguments: the options of `occluded_frequency`, and channels
    model: Model,
    images: Tensor,
    index: Tensor,
    present: Tensor,
    *,
    basis: Basis,
    baseline: Tensor | None,
    clip: bool,
    chunk: int,
    channels: Channels = "each",
) -> Tensor:
    """Logits of each image with each coalition of its bands: (N, M, K).

    present (M, bands) booleans: the bands that are the image's own; the others are the baseline's. All images see the
    same M coalitions. channels `luminance`: a band's luminance is replaced, by the same change in every channel;
    chrominance stays. The other arguments and the errors are those of `occluded_frequency`.
    """
    check_images(images)
    check_bands(index, baseline, images, basis)
    bands, device = int(index.max()) + 1, images.device
    if present.ndim != 2 or present.shape[1] != bands:
        raise ValueError(f"expected coalitions (M, {bands}), got {tuple(present.shape)}")
    coalitions = present.to(device, images.dtype)
    masks = torch.stack([index == band for band in range(bands)])[:, None, None].to(device)  # (B, 1, 1, H, W)
    logits = []
    for start in track(range(0, len(images), max(1, chunk)), "coalitions of bands"):
        rows = slice(start, start + max(1, chunk))
        x = images[rows]
        change = seen(minus_baseline(x, baseline_rows(baseline, rows)), channels).expand_as(x)
        by_band = synthesise(analyse(change, basis) * masks, basis).flatten(1)  # (B, n * C * H * W)
        of_rows = []
        for batch in coalitions.split(COALITION_BATCH_SIZE):
            mixed = (batch @ by_band).view(len(batch), *x.shape) + (x - change)
            of_rows += [checked_logits(model, mixture) for mixture in (mixed.clamp(0, 1) if clip else mixed)]
        logits.append(torch.stack(of_rows, 1))  # (n, M, K)
    return torch.cat(logits)


def every_coalition(bands: int) -> Tensor:
    """All subsets of the bands: (2^bands, bands) booleans; band k is in row r where bit k of r is set.

    ValueError for more than EXACT_BANDS bands, whose 2^bands forward passes for each image take too long.
    """
    if bands > EXACT_BANDS:
        raise ValueError(
            f"expected at most {EXACT_BANDS} bands for exact Shapley values (2^B coalitions), got {bands}: "
            "use sampled_shapley"
        )
    return (torch.arange(2**bands)[:, None] >> torch.arange(bands)) & 1 == 1


def all_but_one(bands: int) -> Tensor:
    """All bands, then all but each band in turn: (1 + bands, bands) booleans."""
    return torch.cat([torch.ones(1, bands, dtype=torch.bool), ~torch.eye(bands, dtype=torch.bool)])


def one_alone(bands: int) -> Tensor:
    """No band, then each band alone: (1 + bands, bands) booleans."""
    return ~all_but_one(bands)

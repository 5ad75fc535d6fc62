"""Runs an attack on a labelled set of images, in batches.

Every attack keeps these rules: an image that is misclassified already is not attacked; an attack that fails returns the
image itself; the perturbation of an image depends on the seed and the image's index, not on its batch mates; the
model's modes, weights, gradients and buffers stay as they were; success is decided by a forward pass on image +
perturbation, in the float32 numbers that are stored.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import pandas as pd
import torch
from torch import Tensor

from spectroscope.attacks.batch import Batch, Outcome, attack_batch, concatenate
from spectroscope.attacks.counting_model import Model, check_images
from spectroscope.attacks.registry import AttackSettings, expand_variants, lookup, variant_label
from spectroscope.pipeline import memory, processes
from spectroscope.pipeline.checkpoint import Store
from spectroscope.pipeline.progress import track


def run(
    settings: AttackSettings,
    model: Model,
    images: Tensor,
    labels: Tensor,
    seed: int,
    batch_size: int = 64,
    targets: Tensor | None = None,
) -> Outcome:
    """Attacks `model`, any callable (N, C, H, W) -> logits (N, K), on images (N, C, H, W) in [0, 1], labels (N,).

    One variant and one radius; `run_entry` takes several. Untargeted, or towards the class that the setting `target`
    chooses, or towards `targets` (N,). Batches go to the device of a module's weights, else stay where the images are.
    ValueError: images that are not float32 in [0, 1]; labels or targets out of range; targets equal to labels, or for
    an attack that has none; logits of the wrong shape or not finite. RuntimeError: an attack that leaves its ball or
    [0, 1].
    """
    ((_, radii), *others) = expand_variants(settings)
    if others or len(radii) > 1:
        raise ValueError("expected one variant and one radius, got several")
    if targets is not None and "target" not in type(settings).model_fields:
        raise ValueError(f"expected no targets for {settings.method}, which is untargeted")
    check_images(images, labels, targets)
    outcomes = []
    for rows in track(torch.arange(len(images)).split(batch_size), settings.method):
        outcomes += _attacked(
            settings.method, radii, model, rows, partial(_batch, images, labels, seed, targets=targets)
        )
    return concatenate(outcomes)


def run_entry(
    settings: AttackSettings,
    model: Model,
    images: Tensor,
    labels: Tensor,
    seed: int,
    batch_size: int = 64,
    store: Store | None = None,
    at_once: int | None = None,
) -> Iterator[tuple[Tensor, pd.DataFrame]]:
    """Every variant and radius of an entry, batch by batch: perturbations and their rows.

    Rows have variant, eps, image, label, then the fields of Outcome; all of one variant and radius come together.
    `variant` names the radius too where there are several; `eps` is in pixel units of [0, 1], NaN without a ball.

    at_once: images in one pass to begin with, at most a batch; None: a batch.

    Each finished batch is saved in `store`, and a batch that is there already is not computed again. Several processes
    share the batches, and each of them yields all. With a store, memory does not grow with the number of images: all
    batches are computed before the first is read back and yielded.
    """
    check_images(images, labels, None)
    variants = expand_variants(settings)
    batches = torch.arange(len(images)).split(batch_size)
    work = list(product(range(len(variants)), batches))

    def name(number: int, rows: Tensor) -> str:
        return f"seed{seed}-variant{number}-images{rows[0]}-{rows[-1]}"

    in_memory: dict[str, dict[str, Tensor]] = {}
    for number, rows in track(processes.my_items(work) if store else work, settings.method):
        if store and store.path(name(number, rows)).exists():
            continue
        radii, batch_of = variants[number][1], partial(_batch, images, labels, seed)
        outcomes = _attacked(settings.method, radii, model, rows, batch_of, at_once)
        if store:
            store.save(name(number, rows), _tensors(outcomes), {})
        else:
            in_memory[name(number, rows)] = _tensors(outcomes)
    processes.barrier()

    def load(number: int, rows: Tensor) -> dict[str, Tensor]:
        saved = store.load(name(number, rows)) if store else (in_memory[name(number, rows)], {})
        if saved is None:
            raise RuntimeError(f"expected the batch {name(number, rows)} in the store, found none")
        return saved[0]

    for number, (variant, radii) in enumerate(variants):
        for place, single in enumerate(radii):
            label = variant_label(variant, single, len(radii) > 1)
            eps = single.ball.eps if single.ball else float("nan")
            for rows in batches:
                outcome = _outcome(load(number, rows), place)
                facts = {"variant": label, "eps": eps, "image": rows.numpy(), "label": labels[rows].cpu().numpy()}
                yield outcome.perturbation, pd.concat([pd.DataFrame(facts), outcome.table()], axis=1)


def _attacked(
    method: str,
    radii: list[AttackSettings],
    model: Model,
    rows: Tensor,
    batch_of: Callable[[Tensor], Batch],
    at_once: int | None = None,
) -> list[Outcome]:
    """Outcomes of one batch of images, one for each radius; in parts of `at_once`, smaller where memory runs out.

    No image's outcome depends on those that are attacked with it.
    """

    def in_parts(size: int) -> list[Outcome]:
        parts = [attack_batch(lookup(method), radii, model, batch_of(part)) for part in rows.split(size)]
        return [concatenate(list(of_radius)) for of_radius in zip(*parts, strict=True)]

    return memory.halving(in_parts, min(len(rows), at_once or len(rows)))


def _tensors(outcomes: list[Outcome]) -> dict[str, Tensor]:
    """Outcomes, one for each radius, as named tensors."""
    return {f"{name}.{place}": value for place, outcome in enumerate(outcomes) for name, value in vars(outcome).items()}


def _outcome(tensors: dict[str, Tensor], place: int) -> Outcome:
    """The outcome of the radius at this place."""
    return Outcome(**{name: tensors[f"{name}.{place}"] for name in Outcome.__annotations__})


def _batch(images: Tensor, labels: Tensor, seed: int, rows: Tensor, targets: Tensor | None = None) -> Batch:
    """The images `rows` of the set. The partner of each is the image before it, of the first the second."""
    keys = [(seed, row) for row in rows.tolist()]
    partners = images[torch.where(rows > 0, rows - 1, min(1, len(images) - 1))]
    return Batch(images[rows], labels[rows], keys, partners, None if targets is None else targets[rows])

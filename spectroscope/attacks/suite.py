"""Attacks by name, run on a labelled set of images and verified.

What holds for every attack: an image that is misclassified already is not attacked; an attack that fails returns the
image itself; the perturbation of one image depends on the seed and the image's index, not on its batch mates; the
model's modes, weights, gradients and buffers stay as they were; success is what a forward pass of our own says about
image + perturbation, in the float32 numbers that are stored.
"""

from collections.abc import Iterator
from itertools import product

import pandas as pd
import torch
from torch import Tensor

from spectroscope.attacks import confined, estimated, gradient
from spectroscope.attacks import noise as control
from spectroscope.attacks.apgd import apgd
from spectroscope.attacks.autoattack import autoattack
from spectroscope.attacks.batch import Method, Outcome, attack_batch, joined
from spectroscope.attacks.counting_model import Model
from spectroscope.attacks.ddn import ddn
from spectroscope.attacks.deepfool import deepfool
from spectroscope.attacks.fab import fab
from spectroscope.attacks.hop_skip_jump import hop_skip_jump
from spectroscope.attacks.pgd import pgd
from spectroscope.attacks.settings import AttackSettings, label, parts
from spectroscope.attacks.simba import simba
from spectroscope.attacks.square import square
from spectroscope.pipeline import processes
from spectroscope.pipeline.checkpoint import Store
from spectroscope.pipeline.progress import track

BATCH_SIZE = 64

ATTACKS: dict[str, Method] = {
    "fgsm": gradient.fgsm,
    "pgd": pgd,
    "cw": gradient.cw,
    "ddn": ddn,
    "fab": fab,
    "deepfool": deepfool,
    "apgd": apgd,
    "autoattack": autoattack,
    "square": square,
    "simba": simba,
    "nes": estimated.nes,
    "spsa": estimated.spsa,
    "hop_skip_jump": hop_skip_jump,
    "confined": confined.confined,
    "fourier": confined.fourier,
    "noise": control.noise,
}
# Methods that search without regard to the radius: an entry with several radii searches once, and this function
# (settings, x, adversaries) -> adversaries then keeps to each.
SHARED: dict[str, Method] = {"cw": gradient.drawn_back}


def lookup(method: str) -> Method:
    """The attack of this name; ValueError with the known names."""
    if method not in ATTACKS:
        raise ValueError(f"expected an attack among {', '.join(ATTACKS)}, got {method!r}")
    return ATTACKS[method]


def run(
    settings: AttackSettings,
    model: Model,
    images: Tensor,
    labels: Tensor,
    seed: int,
    batch_size: int = BATCH_SIZE,
    targets: Tensor | None = None,
) -> Outcome:
    """Attack `model`, any callable (N, C, H, W) -> logits (N, K), on images (N, C, H, W) in [0, 1], labels (N,).

    One variant and one radius; `run_entry` takes several. Untargeted, or towards the class the setting `target`
    chooses, in whose place `targets` (N,) may be given. Batches go to the device of a module's weights, else stay where
    the images are. ValueError: images that are not float32 in [0, 1]; labels or targets out of range; targets equal to
    labels, or for a method that has none; logits of the wrong shape or not finite. RuntimeError: an attack that leaves
    its ball or [0, 1].
    """
    (each, *others), *more = [radii for _, radii in parts(settings)]
    if others or more:
        raise ValueError("expected one variant and one radius, got several")
    if targets is not None and "target" not in type(settings).model_fields:
        raise ValueError(f"expected no targets for {settings.method}, which is untargeted")
    _check(images, labels, targets)
    found = []
    for rows in track(torch.arange(len(images)).split(batch_size), settings.method):
        aims = None if targets is None else targets[rows]
        found += _batch([each], model, images, labels, seed, rows, aims)
    return joined(found)


def run_entry(
    settings: AttackSettings,
    model: Model,
    images: Tensor,
    labels: Tensor,
    seed: int,
    batch_size: int = BATCH_SIZE,
    store: Store | None = None,
) -> Iterator[tuple[Tensor, pd.DataFrame]]:
    """Every variant and radius of an entry, chunk by chunk: perturbations and their rows.

    Rows have variant, eps, image, label, then as in Outcome, and stand variant by variant, radius by radius. `variant`
    has the radius in it where there are several; `eps` is in pixel units of [0, 1], missing without a ball. Each
    finished chunk is saved in `store`, and what is found there is not computed again; several processes share the
    chunks out, and each of them then is given all. With a store the memory does not grow with the images: all are
    attacked before the first chunk is given, which is read back.
    """
    _check(images, labels, None)
    batches = torch.arange(len(images)).split(batch_size)
    work = list(product(enumerate(parts(settings)), batches))

    def name(number: int, rows: Tensor) -> str:
        return f"seed{seed}-variant{number}-images{rows[0]}-{rows[-1]}"

    made = {}
    for (number, (_, radii)), rows in track(processes.my_items(work) if store else work, settings.method):
        if not (store and store.path(name(number, rows)).exists()):
            found = _tensors(_batch(radii, model, images, labels, seed, rows, None))
            if store:
                store.save(name(number, rows), found, {})
            else:
                made[name(number, rows)] = found
    processes.barrier()

    for number, (variant, radii) in enumerate(parts(settings)):
        for place, each in enumerate(radii):
            of, eps = label(variant, each, len(radii) > 1), each.ball.eps if each.ball else float("nan")
            for rows in batches:
                piece = name(number, rows)
                outcome = _outcomes(store.load(piece)[0] if store else made[piece], len(radii))[place]
                about = {"variant": of, "eps": eps, "image": rows.numpy(), "label": labels[rows].cpu().numpy()}
                yield outcome.perturbation, pd.concat([pd.DataFrame(about), outcome.table()], axis=1)


def _tensors(outcomes: list[Outcome]) -> dict[str, Tensor]:
    return {f"{name}.{place}": value for place, each in enumerate(outcomes) for name, value in vars(each).items()}


def _outcomes(tensors: dict[str, Tensor], count: int) -> list[Outcome]:
    return [Outcome(**{name: tensors[f"{name}.{place}"] for name in Outcome.__annotations__}) for place in range(count)]


def _batch(
    radii: list[AttackSettings],
    model: Model,
    images: Tensor,
    labels: Tensor,
    seed: int,
    rows: Tensor,
    targets: Tensor | None,
) -> list[Outcome]:
    """One batch, `rows` of the set. The other image of each is the one before it, of the first the second."""
    attack, keep = lookup(radii[0].method), SHARED.get(radii[0].method)
    keys = [(seed, row) for row in rows.tolist()]
    others = images[torch.where(rows > 0, rows - 1, min(1, len(images) - 1))]
    return attack_batch(attack, keep, radii, model, images[rows], labels[rows], keys, targets, others)


def _check(images: Tensor, labels: Tensor, targets: Tensor | None) -> None:
    if images.ndim != 4 or not len(images) or images.dtype != torch.float32:
        raise ValueError(f"expected float32 images (N >= 1, C, H, W), got {images.dtype} {tuple(images.shape)}")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"expected images in [0, 1], got values {low:g}..{high:g}")
    for what, values in (("labels", labels), ("targets", targets)):
        if values is not None and (values.shape != (len(images),) or values.is_floating_point()):
            raise ValueError(f"expected {len(images)} integer {what}, got {values.dtype} {tuple(values.shape)}")

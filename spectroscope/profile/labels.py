"""Which output of a network is which class of the images: by names, by WordNet ids, by a list, or by their order."""

import re
from collections.abc import Sequence
from importlib.resources import files

import torch
from torch import Tensor

IMAGENET_CLASSES = 1000


def columns(network: Sequence[str] | None, images: Sequence[str], n_outputs: int) -> tuple[list[int] | None, str]:
    """The output of each class of the images, or None, and in words how it was found.

    Names count as equal whatever their case, `_` or `-`; of synonyms, separated by commas, one will do. An output of a
    network of 1000 classes without names, or with those of ImageNet, also has the WordNet id of its place in the sorted
    list of ILSVRC 2012 (Russakovsky et al. 2015). Without any names, and with as many classes as outputs, their order
    is taken to be the same.
    """
    places: dict[str, int] = {}
    for place, name in reversed(list(enumerate(network or ()))):
        places.update(dict.fromkeys(_forms(name), place))
    if n_outputs == IMAGENET_CLASSES:
        places |= {name: place for place, name in enumerate(wordnet_ids())}
    found = [next((places[form] for form in _forms(name) if form in places), None) for name in images]
    if all(place is not None for place in found) and len(set(found)) == len(found):
        return [place for place in found if place is not None], "by the names of the classes"
    if not network and len(images) == n_outputs:
        return list(range(n_outputs)), "by order: output 0 is taken to be the first class, as the network has no names"
    missing = [name for name, place in zip(images, found, strict=True) if place is None]
    return None, (
        f"not at all: {len(missing)} of {len(images)} classes ({', '.join(missing[:3])}, ...) are none of the "
        f"network's {n_outputs}"
    )


def _forms(name: str) -> list[str]:
    """What a class may be called: the whole name, each synonym, and a WordNet id that it begins with."""
    whole = re.sub(r"[\s_-]+", " ", name).strip().casefold()
    wordnet = re.match(r"n\d{8}", whole)
    return list(
        dict.fromkeys([whole, *(each.strip() for each in whole.split(",")), *([wordnet.group()] if wordnet else [])])
    )


def wordnet_ids() -> list[str]:
    """The WordNet ids of the 1000 classes of ILSVRC 2012, sorted: the order of outputs that networks share."""
    return files("spectroscope.profile").joinpath("imagenet_wordnet_ids.txt").read_text().split()


def among(logits: Tensor, labels: Tensor, present: list[int]) -> Tensor:
    """Whether the label has the largest logit among the classes `present`: (N, K), (N,) -> (N,) booleans."""
    return torch.tensor(present)[logits[:, present].argmax(1)] == labels

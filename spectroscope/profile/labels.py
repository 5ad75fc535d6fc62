"""Which output of a network is which class of the images: by names, by WordNet ids, by a list, or by their order."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from spectroscope.profile.checks import Finding

IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Matched:
    """labels (N,): outputs, or None; present: outputs that are classes of the images; names of the outputs, or None."""

    labels: Tensor | None
    present: list[int]
    names: tuple[str, ...] | None
    findings: list[Finding] = field(default_factory=list)


def match(
    names: tuple[str, ...] | None, classes: tuple[str, ...] | None, labels: Tensor | None, rows: Tensor, n_outputs: int
) -> Matched:
    """The outputs that are the labels of the images in `rows` (N,), by the names of a network's outputs and of classes.

    Where the numbers of both agree all classes are matched, so that an order stays one when a class has no image.
    """
    if labels is None or classes is None:
        return Matched(None, [], names)
    own = labels[rows]
    used = own.unique().tolist()
    shown = list(range(len(classes))) if len(classes) == n_outputs else used
    places, how = columns(names, [classes[k] for k in shown], n_outputs)
    if places is None:
        text = f"{how}. The labels are left out; to use them, list the names of the outputs in a file: --classes FILE"
        return Matched(None, [], names, [Finding("labels", "warning", text)])
    output_of = dict(zip(shown, places, strict=True))
    if names is None and len(shown) == n_outputs:
        names = classes
    found = Finding("labels", "note", f"Labels and outputs were matched {how}.")
    return Matched(torch.tensor([output_of[int(k)] for k in own]), sorted(output_of[k] for k in used), names, [found])


def columns(network: Sequence[str] | None, images: Sequence[str], n_outputs: int) -> tuple[list[int] | None, str]:
    """The output of each class of the images and how it was found, or None and why it was not, in words.

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
    if not missing:
        return None, "Several classes of the images have the name of one output"
    shown = ", ".join([*missing[:3], *(["..."] if len(missing) > 3 else [])])
    return None, f"{len(missing)} of {len(images)} classes of the images ({shown}) are none of the {n_outputs} outputs"


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


def class_list(path: Path) -> tuple[str, ...]:
    """Names of a network's classes, in the order of its outputs: a CSV with a column `class`, or a name a line."""
    if not path.is_file():
        raise ValueError(f"{path}: expected a file with a class on each line, found none")
    if path.suffix == ".csv":
        table = pd.read_csv(path, dtype=str)
        if "class" not in table:
            raise ValueError(f"{path}: expected a column class, got {', '.join(table.columns)}")
        if "index" in table:
            table = table.sort_values("index", key=lambda column: column.astype(int))
        return tuple(table["class"])
    return tuple(line.strip() for line in path.read_text().splitlines() if line.strip())

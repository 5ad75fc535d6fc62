"""From a profile to the pipeline: a parameter file in which the profiled networks are pretrained runs."""

from pathlib import Path
from typing import Any

import yaml

from spectroscope.pipeline import io, params
from spectroscope.study import MOST_RUNS, Study

MARGIN = 0.1  # a held-out accuracy may lie this much below that of the profile


class _AsDvc(yaml.SafeDumper):
    """Writes YAML as DVC does, so that `dvc exp run -S` changes only the lines of the values that it sets."""


_AsDvc.add_representer(type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", ""))


def write(source: Path, template: Path, out: Path) -> list[str]:
    """Write `out`, `template` with the networks of `source` as its runs; returns what is left to do by hand.

    ValueError for a profile without a network that a study can load, and where the result is no valid study.
    """
    found, settings = io.read_json(source), params.read(template)
    if not isinstance(found, dict) or "networks" not in found:
        raise ValueError(f"{source}: expected the profile.json of a profile, got another file")
    runs = {_key(network["name"]): _run(network, settings) for network in found["networks"] if network["run"]}
    if not runs:
        kinds = ", ".join(network["kind"] for network in found["networks"])
        raise ValueError(
            f"{source}: expected a network that a study can load (a file of weights with --architecture, or "
            f"module:function of (channels, n_classes, small)), got {kinds}"
        )
    settings["runs"] = dict(list(runs.items())[:MOST_RUNS])
    settings["findings"]["reference"] = next(iter(runs))
    settings["findings"]["usual"] = settings["findings"]["floor"] = None  # of the images of the template
    settings["claims"] = {}  # those of the template name its own networks
    first, todo, images = found["networks"][0], [], found.get("dataset")
    classes = f"{first['outputs']} classes in the order of the network's outputs"
    if images is None:
        todo.append(f"Set dataset to your images, with {classes}: the section is that of the template.")
    else:
        settings["dataset"] = _dataset(images, first["size"])
        if "train" in settings["dataset"] and "train" not in images:
            todo.append(f"Set dataset.train, {classes}: the profile saw test images alone ({images['test']}).")
    todo.append("Write claims that name your networks: those of the template were left out.")
    settings = _relative(settings, out.absolute().parent)
    settings["dataset"] = params.validate(settings, Study, "", out).dataset.model_dump()  # keys in their usual order
    io.write_text(out, yaml.dump(settings, Dumper=_AsDvc, sort_keys=False, width=80))
    return todo


def _relative(settings: Any, root: Path) -> Any:
    """The same settings; paths within the folder of the parameter file are told from there, as another clone needs."""
    if isinstance(settings, dict):
        return {key: _relative(value, root) for key, value in settings.items()}
    if isinstance(settings, list):
        return [_relative(value, root) for value in settings]
    if isinstance(settings, str) and settings.startswith(f"{root}/"):
        return str(Path(settings).relative_to(root))
    return settings


def _run(network: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """An entry of `runs`; its band is the first that keeps everything."""
    own, accuracy = network["run"], network["accuracy"]
    whole = next((name for name, band in settings["bands"].items() if band.get("keep") == "all"), None)
    if whole is None:
        raise ValueError("bands: expected one that keeps all, for networks that see whole images, got none")
    inside = own.get("keys", "own") != "plain" and network["normalisation"]["name"] == "none"
    normalisation = {"mean": None, "std": None} if inside else {"mean": own["mean"], "std": own["std"]}
    least = max(0.01, (accuracy["mean"] if accuracy else 0.0) - MARGIN)
    regime = {
        "name": "pretrained",
        "weights": own["weights"],
        "entry": own.get("entry"),
        "keys": own.get("keys", "own"),
    }
    return {
        "band": whole,
        "regime": {**regime, **normalisation, "least_accuracy": round(least, 2)},
        "model": own["model"],
    }


def _dataset(images: dict[str, Any], shape: list[int]) -> dict[str, Any]:
    """The section `dataset`: that of a data set as it is; of files, with the shape that the network saw."""
    if "test" not in images:
        return images
    parquet = images["name"] == "parquet"
    columns = {"image": None, "label": None} if parquet else {}
    rest = {
        "channels": shape[0],
        "size": None if parquet else shape[1],
        "limit": {"train": None, "test": None},
        "seed": 0,
    }
    return (
        {"name": images["name"], "train": images.get("train", images["test"]), "test": images["test"]} | columns | rest
    )


def _key(name: str) -> str:
    """A name as a key of params.yaml: letters, digits, `_` and `-`."""
    return "".join(letter if letter.isalnum() or letter in "_-" else "-" for letter in name)

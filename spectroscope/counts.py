"""What a study asks of its images and given networks, compared with those it has: every fault at once, before training.

The settings are those of params.yaml as they stand, which the stage `study` has checked by themselves.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from pydantic import TypeAdapter

from spectroscope.frequency.partitions import partition
from spectroscope.frequency.passbands import Band, band_filter, band_mask
from spectroscope.frequency.shell_ranges import low_middle_high
from spectroscope.frequency.spectrum import shells
from spectroscope.models.architectures import ARCHITECTURES, build
from spectroscope.models.held_out import require_accuracy, split
from spectroscope.models.inference import predict
from spectroscope.models.loading import WeightsFiles, restore
from spectroscope.models.preflight import preflight
from spectroscope.pipeline import machine
from spectroscope.pipeline.io import Images
from spectroscope.pipeline.weights import digest_of

MOST_EXACT = 10  # bands with exact Shapley values: EXACT_BANDS of attribution, a package that this does not need
LEAST_CLASSES = {"dlr": 3, "targeted_dlr": 4}  # that a loss compares
ENSEMBLES = ("autoattack", "autoattack-reduced")  # their second member has the loss targeted_dlr
WAVES = ("heat_map", "fourier_attack")  # methods of attribution whose bands are the DFT's
PREFLIGHT_IMAGES = 8
COUNTS = {"n_images": "test", "n_test": "test", "n_train": "train"}  # settings, and the split they count
Fault = tuple[str, str]  # the key path of a setting, and what is wrong with it


def faults(study: dict[str, Any], train: Images, test: Images) -> list[str]:
    """A line for each setting of a study that asks for more than its images have, with key and split."""
    checks = (_counts, _sizes, _attacks, _partitions, _networks, _weights)
    found = itertools.chain.from_iterable(check(study, train, test) for check in checks)
    return [f"{key}: {fault}" for key, fault in found]


def _counts(study: dict[str, Any], train: Images, test: Images) -> Iterator[Fault]:
    """Numbers of images, of classes other than the label, and of clusters to hold out."""
    splits = {"train": len(train), "test": len(test)}
    for path, settings in _mappings({key: value for key, value in study.items() if key != "dataset"}):
        for name, kind in COUNTS.items():
            if (n := settings.get(name)) is not None and n > splits[kind]:
                yield f"{path}.{name}", f"expected at most {splits[kind]}, the images of {kind}, got {n}"
        if (n := settings.get("n_targets")) is not None and n >= len(test.classes):
            yield f"{path}.n_targets", f"expected fewer than the {len(test.classes)} classes, got {n}"
    yield from _faulty("training.held_out", split, train, study["training"]["held_out"])


def _sizes(study: dict[str, Any], train: Images, test: Images) -> Iterator[Fault]:
    """Bands beyond the last shell, crops as large as an image, one mean for each channel."""
    channels, height, width = test.pixels.shape[1:]
    crops = {"training": study["training"]}
    for name, band in study["bands"].items():
        if band["keep"] != "permuted":
            yield from _faulty(f"bands.{name}", _mask, band, height, width)
    for name, run in study["runs"].items():
        crops[f"runs.{name}.training"] = run.get("training") or {}
        for place in ("regime", "start"):
            settings, key = run.get(place) or {}, f"runs.{name}.{place}"
            if frequencies := settings.get("frequencies"):
                band = {**frequencies, "keep": "inside", "unit": "fraction", "clip": False}
                yield from _faulty(f"{key}.frequencies", _mask, band, height, width)
            for moment in ("mean", "std"):
                if (numbers := settings.get(moment)) is not None and len(numbers) != channels:
                    yield f"{key}.{moment}", f"expected {channels} numbers, one for each channel, got {numbers}"
    for key, settings in crops.items():
        crop = (settings.get("augmentation") or {}).get("crop", 0)
        if crop >= min(height, width):
            yield f"{key}.augmentation.crop", f"expected less than {min(height, width)} pixels, got {crop}"


def _attacks(study: dict[str, Any], train: Images, test: Images) -> Iterator[Fault]:
    """Frequencies and bands beyond the spectrum, losses that compare more classes than there are."""
    _, height, width = test.pixels.shape[1:]
    for name, attack in study["attacks"].items():
        key = f"attacks.{name}"
        if (most := attack.get("freq_dims")) is not None and most > min(height, width):
            yield f"{key}.freq_dims", f"expected at most {min(height, width)} for {height} x {width} images, got {most}"
        for axis, size in (("row", height), ("column", width)):
            if attack["method"] == "fourier" and attack[axis] >= size:
                yield f"{key}.{axis}", f"expected a frequency below {size}, got {attack[axis]}"
        for band_name, band in (attack.get("bands") or {}).items():
            found = list(_faulty(f"{key}.bands.{band_name}", _coefficients, band, height, width))
            yield from found
            wanted, held = attack.get("coefficients"), 0 if found else _coefficients(band, height, width)
            if wanted is not None and not found and wanted > held:
                yield f"{key}.coefficients", f"expected at most {held}, those of the band {band_name}, got {wanted}"
        loss = "targeted_dlr" if attack["method"] in ENSEMBLES else attack.get("loss")
        if len(test.classes) < (least := LEAST_CLASSES.get(str(loss), 2)):
            yield f"{key}.method", f"expected a data set of {least} classes or more, got {len(test.classes)}"


def _partitions(study: dict[str, Any], train: Images, test: Images) -> Iterator[Fault]:
    """Partitions into more bands than the spectrum has shells, and too many bands for exact Shapley values."""
    _, height, width = test.pixels.shape[1:]
    attribution, multiverse = study["attribution"], study["validation"]["multiverse"]
    compared, methods = attribution["compared"], [method["method"] for method in attribution["methods"].values()]
    probing = {name: probe for name, probe in study["probing"].items() if probe is not None and "partition" in probe}
    bases = [attribution["basis"], *(["dft"] if any(method in WAVES for method in methods) else [])]
    asked = [
        ("information", study["information"]["partition"], study["information"]["bands"], "dct"),
        *((f"probing.{name}", probe["partition"], probe["bands"], "dct") for name, probe in probing.items()),
        ("attribution.bands", attribution["shape"], attribution["bands"], attribution["basis"]),
        *(("attribution.compared", compared["shape"], compared["bands"], basis) for basis in dict.fromkeys(bases)),
    ]
    if multiverse:
        pairs = itertools.product(multiverse["shapes"], multiverse["bases"])
        asked += [("validation.multiverse.shapes", shape, compared["bands"], basis) for shape, basis in pairs]
    for key, kind, bands, basis in asked:
        yield from _faulty(key, _n_bands, height, width, kind, bands, basis)
    curve = (height, width, attribution["shape"], attribution["bands"], attribution["basis"])
    fits = attribution["bands"] is not None and not list(_faulty("", _n_bands, *curve))
    if fits and (empty := _without_band(*curve, attribution["hf_from"])):
        wanted = "expected a band in each of low, middle and high"
        yield "attribution.bands", f"{wanted}, got {attribution['bands']}: none in {', '.join(empty)}"
    own = (height, width, compared["shape"], compared["bands"], attribution["basis"])
    if "shapley" in methods and not list(_faulty("", _n_bands, *own)) and (n := _n_bands(*own)) > MOST_EXACT:
        wanted = f"expected at most {MOST_EXACT} for the method shapley, or sampled_shapley"
        yield "attribution.compared.bands", f"{wanted}, got {n}"


def _networks(study: dict[str, Any], train: Images, test: Images) -> Iterator[Fault]:
    """Networks for images of another size, and faults that a preflight finds, the user's own and known ones alike."""
    shape, n_classes = tuple(test.pixels.shape[1:]), len(test.classes)
    runs: dict[str, str] = {run["model"]: name for name, run in reversed(study["runs"].items())}
    for model, name in runs.items():
        key = f"runs.{name}.model"
        found = list(_faulty(key, build, model, shape, n_classes))
        yield from found
        if not found:
            machine.seed(0)
            images = train.pixels[:PREFLIGHT_IMAGES].to(machine.device())
            network = build(model, shape, n_classes).to(machine.device())
            yield from ((key, fault) for fault in preflight(network, images, n_classes))


def _weights(study: dict[str, Any], train: Images, test: Images) -> Iterator[Fault]:
    """Faults of given weights, see `_given`: here, before any run trains, and not in the turn of each."""
    shape, n_classes = tuple(test.pixels.shape[1:]), len(test.classes)
    for name, run in study["runs"].items():
        for place in ("regime", "start"):
            settings = run.get(place) or {}
            # Where the network or the means have a fault of their own, `_networks` or `_sizes` names it.
            means = [moment for moment in (settings.get("mean"), settings.get("std")) if moment is not None]
            sound = not list(_faulty("", build, run["model"], shape, n_classes))
            if "least_accuracy" in settings and sound and all(len(moment) == shape[0] for moment in means):
                yield from _given(study, run, settings, f"runs.{name}.{place}", train, n_classes)


def _given(
    study: dict[str, Any], run: dict[str, Any], settings: dict[str, Any], key: str, train: Images, n_classes: int
) -> Iterator[Fault]:
    """Weights that do not fit their network, are those of another file, make a faulty one, or one too inaccurate."""
    files = WeightsFiles(**{field: settings[field] for field in WeightsFiles.model_fields})
    if files.weights is None and run["model"] in ARCHITECTURES:
        yield f"{key}.weights", f"expected a file, since {run['model']} has no weights of its own, got null"
        return
    own: list[str | None] = [None]  # what the user's own function returns
    images, first = train.pixels[:PREFLIGHT_IMAGES].to(machine.device()), dict[str, str | None]()
    for file in files.weights or own:
        network = build(run["model"], tuple(train.pixels.shape[1:]), n_classes)
        found = list(_faulty(f"{key}.weights", restore, network, files, file))
        if not found:
            # One network saved twice may have other bytes: a file of torch holds its own name.
            other = first.setdefault(digest_of(network.state_dict()), file)
            if other != file:
                same = f"expected files of different networks, got the same weights in {other} and {file}"
                found.append((f"{key}.weights", same))
            faults = preflight(network.to(machine.device()), images, n_classes)
            found += [(f"{key}.weights", f"{file or run['model']}: {fault}") for fault in faults]
        if not found and (held_out := _held_out(study, run["band"], train)):
            accuracy = float((predict(network.eval(), held_out[0]) == held_out[1]).double().mean())
            below = _faulty(f"{key}.least_accuracy", require_accuracy, accuracy, files)
            found = [(key, f"{file or run['model']}: {fault}") for key, fault in below]
        yield from found


def _held_out(study: dict[str, Any], band: str, train: Images) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Held-out images of a band and their labels; None where the band or the split is at fault.

    None of permuted labels too, which the stage `bands` makes: the training checks the accuracy there, as everywhere.
    """
    settings, fraction = study["bands"][band], study["training"]["held_out"]
    if settings["keep"] == "permuted" or list(_faulty("", split, train, fraction)):
        return None
    if list(_faulty("", _mask, settings, *train.pixels.shape[2:])):
        return None
    _, rows = split(train, fraction)
    return band_filter(train.pixels[rows], TypeAdapter(Band).validate_python(settings)), train.labels[rows]


def _without_band(height: int, width: int, shape: Any, bands: int, basis: Any, hf_from: float) -> list[str]:
    """Which of low, middle and high hold the mean shell of no band: a sum over them would be 0 for every network."""
    shell, index = shells(height, width, shape, basis), partition(height, width, shape, bands, basis)
    ends = [torch.aminmax(shell[index == band]) for band in range(1, int(index.max()) + 1)]
    places = [float(first + last) / 2 for first, last in ends]
    ranges = low_middle_high(int(shell.max()) + 1, hf_from)
    return [name for name, (first, end) in ranges.items() if not any(first <= place < end for place in places)]


def _n_bands(height: int, width: int, kind: Any, bands: int | None, basis: Any) -> int:
    """Bands of a partition; octaves have their own number. Of images of any power: how many does not depend on it."""
    power = torch.ones(height, width)
    return int(partition(height, width, kind, None if kind == "octave" else bands, basis, power).max()) + 1


def _coefficients(band: dict[str, Any], height: int, width: int) -> int:
    """How many coefficients the band of an attack has: of the lowest `ratio` of rows and columns, or of a filter."""
    if band["keep"] != "lowest":
        return int(_mask(band, height, width).sum())
    if count := round(band["ratio"] * height) * round(band["ratio"] * width):
        return count
    raise ValueError(f"expected a ratio that keeps a coefficient of {height} x {width} images, got {band['ratio']:g}")


def _mask(band: dict[str, Any], height: int, width: int) -> torch.Tensor:
    return band_mask(TypeAdapter(Band).validate_python(band), height, width)


def _faulty(key: str, check: Callable[..., Any], *arguments: Any) -> Iterator[Fault]:
    """The ValueError of a check, if it raises one."""
    try:
        check(*arguments)
    except ValueError as error:
        yield key, str(error)


def _mappings(settings: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping within settings, with its key path."""
    if isinstance(settings, dict):
        yield path, settings
        for key, value in settings.items():
            yield from _mappings(value, f"{path}.{key}".lstrip("."))

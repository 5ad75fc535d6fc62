"""The command from end to end: one page, whole tables, one sentence for bad input, and nothing half-written."""

import json
import os
import sys
import time
from io import BytesIO
from pathlib import Path

import held_wrong as wrong
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from scripts.format_params import formatted
from spectroscope import cli
from spectroscope.cli import app
from spectroscope.models.architectures import build
from spectroscope.pipeline import io, params
from spectroscope.profile import images, measure, networks, plan, run
from spectroscope.profile.network import Options
from stages import counts, dataset, training

STUDIES = Path(__file__).parents[2] / "studies"

MODEL = """
import torch
from torch import nn
def net():
    class Net(nn.Module):
        def forward(self, x):
            return 40 * nn.functional.adaptive_avg_pool2d(x[:, 0], 2).flatten(1)
    return Net()
other = net
def image():
    return nn.Conv2d(3, 3, 3)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder with a network in a file, and pixels with labels."""
    x, y = wrong.images(32)
    torch.save({"x": (x * 255).byte(), "y": y}, tmp_path / "x.pt")
    (tmp_path / "mine.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*arguments):
    cli.BEGAN = time.monotonic()  # a process of its own begins here
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_a_module_of_the_current_folder_is_found_by_an_installed_command(place, monkeypatch):
    here = [folder for folder in sys.path if folder not in ("", str(place))]
    monkeypatch.setattr(sys, "path", here)  # as it is for a script in `bin`
    assert networks.read("mine:net", Options(None, None, None, None, None)).name == "net"


def test_a_network_and_its_images_become_a_page_that_says_what_was_found(place):
    done = command("profile", "mine.py:net", "x.pt", "--out", "out", "--minutes", "0.05", "--images", "32")
    assert done.exit_code == 0, done.output
    found = json.loads((place / "out" / "profile.json").read_text())["networks"][0]
    assert found["accuracy"]["mean"] == 1.0 and found["labelled"] and found["n_images"] == 32
    assert len(found["sentences"]) == 5 and all(sentence in done.output for sentence in found["sentences"])
    whole = pd.read_csv(place / "out" / "whole_bands.csv")
    lost = whole[whole["statistic"] == "margin"].set_index("band")["mean"]
    assert lost["low"] > 5 * abs(lost["high"])  # the class is which quadrant is bright
    text = (place / "out" / "index.html").read_text()
    for name in ("setup", "reliance", "attacks", "heat_map", "layers", "example", "images", "others", "limits"):
        assert f'<section id="{name}">' in text
    assert "http" not in text.split("<main>")[1].replace("https://vega.github.io/schema", "")
    assert {path.name for path in place.iterdir()} - {"__pycache__"} == {"mine.py", "x.pt", "out"}


def test_a_network_that_is_held_wrongly_is_told_at_once_and_in_the_second_sentence(place):
    (place / "held.py").write_text("import held_wrong\ndef net():\n    return held_wrong.Window(0.5, 0.5)\n")
    done = command("profile", "held.py:net", "x.pt", "--minutes", "0.05", "--images", "32")
    assert done.exit_code == 0, done.output
    found = json.loads((place / "profile" / "profile.json").read_text())["networks"][0]
    told = "Accuracy is 25% on 32 images, but with the normalisation to [-1, 1]"
    assert f"net, normalisation: {told}" in done.stderr and told in found["sentences"][1]
    assert found["normalisation"] == {"name": "none", "mean": [0.0] * 3, "std": [1.0] * 3}
    assert found["accuracy"]["mean"] == 0.25


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch.export, about itself
def test_an_exported_program_is_profiled_from_its_file(place):
    module = build("cnn-a", (3, 32, 32), 4).eval()
    torch.export.save(torch.export.export(module, (torch.rand(2, 3, 32, 32),)), place / "net.pt2")
    done = command("profile", "net.pt2", "photos", "--minutes", "0.3", "--images", "16")
    assert done.exit_code == 0, done.output
    found = json.loads((place / "profile" / "profile.json").read_text())["networks"][0]
    assert found["size"] == [3, 32, 32] and not found["labelled"]
    assert (place / "profile" / "attacks.csv").exists()


def test_several_networks_give_one_page_with_a_colour_each(place):
    done = command("profile", "mine.py:net", "mine.py:other", "x.pt", "--minutes", "0.05", "--images", "32")
    assert done.exit_code == 0, done.output
    table = pd.read_csv(place / "profile" / "reliance.csv")
    assert list(table["run"].unique()) == ["net", "other"]
    assert "Networks side by side" in (place / "profile" / "index.html").read_text()


def test_files_of_weights_have_an_architecture_each(place):
    for name in ("cnn-a", "cnn-base"):
        torch.save(build(name, (3, 32, 32), 8)[1].state_dict(), place / f"{name}.pth")
    files = ("cnn-a.pth", "cnn-base.pth", "photos", "--minutes", "0.05", "--images", "16", "--architecture")
    assert "expected one name, or 2" in command("profile", *files, "cnn-a,cnn-a,cnn-a").output
    done = command("profile", *files, "cnn-a,cnn-base")
    assert done.exit_code == 0, done.output
    found = json.loads((place / "profile" / "profile.json").read_text())["networks"]
    assert [network["run"]["model"] for network in found] == ["cnn-a", "cnn-base"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mine.py:net"], "expected MODEL and IMAGES"),
        (["mine.py:net", "nothing"], "found nothing of that name"),
        (["what:ever", "x.pt"], "expected timm:NAME"),
        (["mine.py:absent", "x.pt"], "no attribute 'absent'"),
        (["mine.py:image", "x.pt"], "expected a network that returns a vector"),
        (["mine.py:net", "x.pt", "--minutes", "0"], "expected more than 0, got 0"),
        (["mine.py:net", "x.pt", "--images", "3"], "expected at least 16, got 3"),
        (["mine.py:net", "few.pt"], "expected at least 16 images, as many as bands, got 4"),
        (["mine.py:net", "x.pt", "--mean", "a,b"], "expected numbers separated by commas, got 'a,b'"),
        (["mine.py:net", "x.pt", "--mean", "0.5", "--std", "0.5"], "expected 3 numbers, one for each channel, got 1"),
        (["mine.py:net", "x.pt", "--out", "busy"], "expected a new or empty folder"),
        (["mine.py:net", "x.pt", "--out", "x.pt"], "expected a folder, got a file"),
        (["mine.py:net", "x.pt", "--out", "."], "expected a folder other than the current one"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(place, arguments, words):
    (place / "busy").mkdir()
    (place / "busy" / "mine").write_text("")
    torch.save(torch.rand(4, 3, 16, 16), place / "few.pt")
    before = sorted(place.iterdir())
    done = command("profile", *arguments)
    assert done.exit_code == 2 and words in done.output, done.output
    assert len(done.output.strip().splitlines()) == 1 or "checking" in done.output
    assert [path for path in sorted(place.iterdir()) if path.name != "__pycache__"] == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_refused_before_the_work(place):
    (place / "shut").mkdir(mode=0o500)
    assert "got 'permission denied'" in command("profile", "mine.py:net", "x.pt", "--out", "shut/out").output


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that even root cannot write")
def test_a_file_system_that_takes_no_files_is_refused_before_the_work(place):
    done = command("profile", "mine.py:net", "x.pt", "--out", "/proc/profile")
    assert done.exit_code == 2 and "/proc/profile: expected a folder that can be written, got" in done.output
    assert "checking" not in done.output


def test_an_interrupt_keeps_what_is_finished(place, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, "attacks", interrupted)
    done = command("profile", "mine.py:net", "x.pt", "--minutes", "0.3", "--images", "32")
    assert done.exit_code == 0
    assert (place / "profile" / "reliance.csv").exists() and not (place / "profile" / "attacks.csv").exists()
    assert "stopped by the user" in (place / "profile" / "index.html").read_text()


def test_attacks_that_fail_leave_the_rest_of_the_profile(place, monkeypatch):
    def failing(*_):
        raise RuntimeError("out of range")

    monkeypatch.setattr(measure, "attacks", failing)
    done = command("profile", "mine.py:net", "x.pt", "--minutes", "0.3", "--images", "32")
    assert done.exit_code == 0 and (place / "profile" / "heat_map.csv").exists()
    found = json.loads((place / "profile" / "profile.json").read_text())["networks"][0]
    assert "net: confined attacks were left out (out of range)." in found["left_out"]


def test_a_failure_while_writing_leaves_the_earlier_profile(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / run.RESULT).write_text("{}")

    def fail():
        with run.whole_folder(tmp_path / "out") as folder:
            (folder / "new").write_text("")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / run.RESULT).read_text() == "{}"


@pytest.mark.parametrize("shape", [(300, 3, 32, 32), (100, 3, 224, 224)], ids=str)
@pytest.mark.parametrize("seconds", [60, 600])
def test_a_plan_takes_at_most_its_time_unless_the_fewest_images_take_longer(shape, seconds):
    forward, gradient = 1e-4 * (shape[-1] / 32) ** 2, 3e-4 * (shape[-1] / 32) ** 2
    chosen = plan.planned(shape, forward, gradient, seconds)
    passes = chosen.images * (chosen.bands + 5) + chosen.waves * chosen.waved
    total = passes * forward + chosen.attacked * 10 * plan.STEPS * gradient
    assert total * plan.SLACK <= 1.25 * seconds
    assert chosen.bands == (32 if shape[-1] == 32 else 16)


def test_images_of_the_heat_map_come_before_waves_beyond_six_a_ring():
    chosen = plan.planned((300, 3, 32, 32), 0.002, 0.006, 110)
    assert chosen.waved == 64 and 100 < chosen.waves <= 143  # every wave would leave 17 images
    chosen = plan.planned((300, 3, 32, 32), 0.002, 0.006, 600)
    assert chosen.waved == 64 and chosen.waves == 514


def test_what_the_clock_left_out_is_told_as_it_was_done_not_as_it_was_planned(place, monkeypatch):
    for name in ("reliance", "attacks", "heat_map"):
        own = getattr(measure, name)
        monkeypatch.setattr(measure, name, lambda ready, plan, _, done, own=own: own(ready, plan, 0.0, done))
    done = command("profile", "mine.py:net", "x.pt", "--minutes", "0.3", "--images", "32")
    assert done.exit_code == 0, done.output
    found = json.loads((place / "profile" / "profile.json").read_text())["networks"][0]
    assert found["left_out"][:2] == ["images of reliance (8 of 32)", "images of the confined attacks (8 of 32)"]
    assert found["left_out"][2].startswith("waves of the heat map (")
    assert "images of reliance (8 of 32); " in (place / "profile" / "index.html").read_text()


@pytest.mark.parametrize(
    ("seconds", "measured", "images"),
    [
        (1200, {"reliance", "heat map", "layers"}, 20),
        (280, {"reliance", "heat map"}, 11),
        (120, {"reliance"}, 7),
        (40, {"reliance"}, 4),
    ],
)
def test_of_a_slow_network_what_does_not_fit_is_left_out_and_the_rest_keeps_to_the_time(seconds, measured, images):
    chosen = plan.planned((20, 3, 224, 224), 1.0, 3.0, seconds)  # a large transformer on one busy core
    assert set(chosen.shares) == measured and sum(chosen.shares.values()) == pytest.approx(1)
    assert chosen.images == images and chosen.bands == (16 if seconds == 1200 else 8) and chosen.attacked == 0
    passes = chosen.images * (chosen.bands + 5) + chosen.waves * chosen.waved
    assert passes * plan.SLACK <= max(1.25 * seconds, 63)
    needed = {"attacks": 1440, "heat map": 43.2, "layers": 144}  # seconds of four images
    assert chosen.dropped == pytest.approx({name: each for name, each in needed.items() if name not in measured})


def test_what_was_dropped_is_measured_where_the_others_leave_its_time_over():
    shape = (20, 3, 224, 224)
    chosen = plan.planned(shape, 1.0, 3.0, 40)
    assert plan.with_more(shape, chosen, 40) is None
    name, more = plan.with_more(shape, chosen, 50)
    assert name == "heat map" and (more.rings, more.waved) == (4, 4) and more.waves >= 9
    name, more = plan.with_more(shape, more, 144.1)
    assert name == "layers" and list(more.dropped) == ["attacks"]
    name, more = plan.with_more(shape, more, 2000)
    assert name == "attacks" and more.attacked == 5 and more.dropped == {}


def test_a_profile_without_time_for_it_has_reliance_alone_and_says_so(place, monkeypatch):
    own = plan.planned
    monkeypatch.setattr(plan, "planned", lambda shape, *_: own(shape, 1.0, 3.0, 60))
    done = command("profile", "mine.py:net", "x.pt", "--minutes", "0.05", "--images", "32")
    assert done.exit_code == 0, done.output
    assert {file.stem for file in (place / "profile").glob("*.csv")} == {"power", "reliance", "whole_bands"}
    found = json.loads((place / "profile" / "profile.json").read_text())["networks"][0]
    texts = ("confined attacks", 1440), ("waves of the Fourier heat map", 43), ("spectra by layer", 86)
    lost = [f"net: {text} were left out for lack of time (4 images take about {n} s)." for text, n in texts]
    assert found["left_out"][-3:] == lost
    text = (place / "profile" / "index.html").read_text()
    assert lost[0] in text and lost[1] not in text.split('<section id="attacks">')[1].split("</section>")[0]


def test_whole_bands_partition_the_spectrum():
    counts = torch.bincount(measure.whole_bands(32, 32).flatten())
    assert counts.tolist() == [1, 63, 192, 768]


def test_a_profile_becomes_a_run_of_a_valid_study(place):
    torch.save(build("cnn-a", (3, 32, 32), 4)[1].state_dict(), place / "w.pth")
    x, y = torch.rand(32, 3, 32, 32), torch.arange(32) % 4
    torch.save({"x": x, "y": y}, place / "y.pt")
    arguments = ("--architecture", "cnn-a", "--minutes", "0.05", "--images", "32", "--mean", "0.5,0.5,0.5")
    assert command("profile", "w.pth", "y.pt", *arguments, "--std", "1,1,1").exit_code == 0
    done = command("study", "--from", "profile/profile.json", "--template", STUDIES / "public-cifar10.yaml")
    assert done.exit_code == 0, done.output
    study = params.read(place / "params.yaml")
    assert list(study["runs"]) == ["w"] and study["findings"]["reference"] == "w"
    assert study["claims"] == {} and "claims" in done.output  # those of the template name its networks
    assert (
        study["findings"]["usual"] is None and study["findings"]["floor"] is None
    )  # those of the template are CIFAR's
    assert "Set dataset to your images, with 4 classes in the order of the network's outputs" in done.output
    regime = study["runs"]["w"]["regime"]
    assert regime["weights"] == ["w.pth"]  # from the root of the clone, wherever that is
    assert regime["mean"] == [0.5, 0.5, 0.5] and regime["keys"] == "plain"
    text = (place / "params.yaml").read_text()
    assert formatted(text) == text


def test_the_study_of_a_profile_on_photographs_is_whole_and_its_network_is_loaded(place):
    torch.save(build("cnn-a", (3, 32, 32), 8)[1].state_dict(), place / "w.pth")
    arguments = ("photos", "--architecture", "cnn-a", "--minutes", "0.05", "--images", "160")
    assert command("profile", "w.pth", *arguments).exit_code == 0
    done = command("study", "--from", "profile/profile.json", "--template", STUDIES / "smoke.yaml")
    assert done.exit_code == 0 and "Set dataset" not in done.output, done.output
    study = params.read(place / "params.yaml")
    assert list(study["dataset"])[:2] == ["name", "photographs"] and study["dataset"]["per_class"]["test"] == 20
    dataset.main(place / "train.parquet", place / "test.parquet")
    counts.main(place / "train.parquet", place / "test.parquet", place / "counts.txt")
    training.main("w", place / "train.parquet", place / "out", place / "machine.csv")
    assert (place / "out" / "seed0.safetensors").exists()


def write_images(folder, split):
    for name in ("a", "b"):
        (folder / split / name).mkdir(parents=True)
        for place in range(8):
            Image.new("RGB", (8, 8), (place, 0, 0)).save(folder / split / name / f"{place}.png")


def test_the_study_of_a_profile_on_folders_has_the_training_folder_where_there_is_one(place):
    for split in ("train", "val"):
        write_images(place / "set", split)
    settings = images.choose("set", 16, 0).dataset
    assert settings == {"name": "imagefolder", "train": str(place / "set/train"), "test": str(place / "set/val")}
    assert "train" not in images.choose("set/val", 16, 0).dataset


def test_the_study_of_a_profile_on_parquet_has_the_training_files_where_there_are_any(place):
    x = io.Images(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]), ("a", "b"))
    encoded = [{"bytes": png(pixels)} for pixels in x.pixels]
    for name in ("train-0", "validation-0", "validation-1"):
        pd.DataFrame({"image": encoded, "label": x.labels.numpy()}).to_parquet(place / f"{name}.parquet")
    both = {"name": "parquet", "train": str(place / "train*.parquet")}
    assert images.choose(".", 4, 0).dataset == both | {"test": str(place / "val*.parquet")}
    one = images.choose("validation-0.parquet", 4, 0).dataset
    assert one == both | {"test": str(place / "validation-0.parquet")}
    (place / "train-0.parquet").unlink()
    assert images.choose("validation-0.parquet", 4, 0).dataset == {key: one[key] for key in ("name", "test")}


def png(pixels):
    file = BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(file, "PNG")
    return file.getvalue()


def test_a_profile_of_a_function_that_a_study_cannot_load_is_refused(place):
    assert command("profile", "mine.py:net", "x.pt", "--minutes", "0.05", "--images", "32").exit_code == 0
    done = command("study", "--from", "profile/profile.json")
    assert done.exit_code == 2 and not (place / "params.yaml").exists()

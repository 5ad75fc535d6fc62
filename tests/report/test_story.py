"""The sections say what the tables hold, and show the images they say they show."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from test_figures import ATTACKS, BANDS, CLASSES, runs, tables
from test_pictures import decoded

from spectroscope.pipeline import io
from spectroscope.report import attack_story, page, story, style

N, SIZE = 12, 8
SETTINGS = {
    "runs": {run: {"band": "full", "regime": {"name": "standard"}, "model": "resnet8"} for run in runs(2)},
    "attacks": {attack: {"method": "pgd", "random_start": True, "eps": None} for attack in ATTACKS},
    "bands": {band: {"keep": "all", "clip": False} for band in BANDS},
    "statistics": {"confidence": 0.95},
}


@pytest.fixture
def images() -> io.Images:
    pixels = torch.rand(N, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    return io.Images(pixels, torch.arange(N) % len(CLASSES), tuple(CLASSES))


def cell(images: io.Images, right: list[int], fooled: list[int]) -> tuple[torch.Tensor, pd.DataFrame]:
    """An attack that fools the images `fooled` of a network that had the images `right` right."""
    rows = pd.DataFrame({"seed": 0, "image": range(N), "label": images.labels})
    rows["before"] = np.where(rows["image"].isin(right), rows["label"], (rows["label"] + 1) % len(CLASSES))
    return torch.zeros_like(images.pixels), rows.assign(after=1, success=rows["image"].isin(fooled))


def sections(images: io.Images, **about: str) -> dict[str, str]:
    """HTML of each section of a study that never ran, by label."""
    table, maps = {name: tables(2)[name] for name in story.TABLES}, tables(2)["maps"]
    cells = {(run, attack): cell(images, [1], [1]) for run in runs(2) for attack in ATTACKS}
    told = story.sections(SETTINGS, about, {}, table, maps, images, dict.fromkeys(BANDS, images), cells)
    return {section.label: "".join(section.blocks) for section in told}


def test_a_study_of_photographs_says_that_its_images_overlap(images):
    assert "overlap" in sections(images, source="photos")["Limits"]
    assert "overlap" not in sections(images, source="cifar10")["Limits"]
    assert "overlap" not in sections(images)["Limits"]


def test_what_speaks_against_the_attacks_is_told_first():
    table, hues = tables(2), style.colours(runs(2))
    sound = "".join(attack_story.section(table, {}, hues).blocks)
    assert "Nothing speaks against the attacks" in sound and 'class="warning"' not in sound
    told = attack_story.section(table, {"standard": {"square": "fools 5.0% more"}}, hues).blocks
    assert told[0].startswith('<p class="warning">') and "standard, square: fools 5.0% more." in told[0]


def test_the_images_of_every_attack_and_what_it_needed_are_shown():
    table, hues = tables(2), style.colours(runs(2))
    table["attacks"]["n_images"] = [200, 190, 40, 200, 180, 40]
    table["attacks"].loc[5, ["l2", "queries"]] = float("nan")
    told = "".join(attack_story.section(table, {}, hues).blocks)
    for attack, images in (("fgsm", "200"), ("pgd", "180 to 190"), ("simba", "40")):
        assert re.search(rf">{attack}</span></th><td>white box</td><td>linf 0.03</td><td>{images}</td>", told)
    assert told.count("· l2 1 · 9 queries") == 5


def test_a_study_without_black_boxes_has_no_query_curve():
    table, hues = tables(2), style.colours(runs(2))
    whole = len(attack_story.section(table, {}, hues).blocks)
    assert len(attack_story.section({**table, "queries": table["queries"].head(0)}, {}, hues).blocks) == whole - 1


def test_a_setting_is_told_in_words(images):
    told = sections(images, device="a CPU", test_images="12")["What ran"]
    assert "pgd, random_start yes, eps none" in told
    assert "<dt>test images</dt><dd title='12'>12</dd>" in told
    assert "95% bootstrap over seeds and images" in told


def test_values_left_out_are_told():
    table, hues = tables(2), style.colours(runs(2))
    share = table["reliance"]["statistic"] == "hf_share"
    _, told = story.results(table["accuracy"], table["reliance"].assign(n_missing=2 * share), hues)
    assert "standard, hf_share: left out 2 without a value." in told
    assert "left out" not in story.results(table["accuracy"], table["reliance"], hues)[1]


def test_results_have_every_attack_and_run_and_are_the_same_as_text():
    table, hues = tables(2), style.colours(runs(2))
    frame, caption = story.results(table["accuracy"], table["reliance"], hues)
    under = [f"under {attack}" for attack in ATTACKS]
    assert frame[""].tolist() == ["clean accuracy", *under, "OF centroid (shell)", "OF high-frequency share"]
    text = page.markdown(frame, caption).splitlines()
    assert text[0] == "|  | standard | adversarial |"
    assert text[2] == "| " + " | ".join(frame.iloc[0]) + " |"
    assert text[-1] == caption


def test_a_band_without_dc_is_shown_around_mid_grey():
    wave = torch.tensor([[0.1, -0.1], [-0.1, 0.1]]).expand(1, 1, 2, 2)
    images = io.Images(torch.full((1, 1, 2, 2), 0.25), torch.tensor([0]), ("moon",))
    shown = story.samples(images, {"high": io.Images(wave, images.labels, images.classes)}, 1, "")
    original, high = (decoded(part) for part in re.findall(r"<img[^>]*>", shown))
    assert (original == 64).all()  # the image itself is not moved
    assert "full" not in story.samples(images, {"full": images}, 1, "")  # nor shown twice
    np.testing.assert_array_equal(high[0], [[153, 102], [102, 153]])


def test_the_adversary_shown_is_the_image_most_attacks_fooled(images):
    cells = {
        ("standard", "fgsm"): cell(images, [4, 7, 8], [7, 8, 9]),
        ("standard", "pgd"): cell(images, [4, 7], [7, 9]),
    }
    original = decoded(story.adversaries(images, cells, 10, "", style.colours(runs(1))))
    np.testing.assert_array_equal(original, (images.pixels[7] * 255).round())  # 9 was wrong before, 8 once


def test_candidates_are_the_first_images_of_the_lowest_seed():
    rows = pd.DataFrame({"seed": np.repeat([2, 1], 100), "image": [*range(100)] * 2})
    perturbations, kept = story.candidates(torch.arange(200.0), rows)
    assert kept["seed"].unique().tolist() == [1]
    assert kept["image"].tolist() == list(range(story.CANDIDATES))
    torch.testing.assert_close(perturbations, torch.arange(100.0, 100 + story.CANDIDATES))

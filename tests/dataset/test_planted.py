"""The planted label is in its shells, in nothing else, and as often as the settings say."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from spectroscope.dataset.planted import PlantedSettings, load, planted
from spectroscope.frequency.spectrum import dct2, shells
from spectroscope.pipeline import params

BASE = {
    "name": "planted",
    "size": 16,
    "exponent": 1,
    "std": 0.15,
    "rule": "each",
    "cues": [{"low": 5, "high": 8, "contrast": 1, "gain": 1, "agreement": 1}],
    "per_class": {"train": 30, "test": 10},
    "seed": 0,
}
LABELS = torch.arange(2).repeat_interleave(400)


def settings(**change) -> PlantedSettings:
    return params.validate(yaml.safe_load(yaml.safe_dump(BASE | change)), PlantedSettings, "dataset")


def cue(low: int, high: int, **change) -> dict:
    return {"low": low, "high": high, "contrast": 1, "gain": 1, "agreement": 1} | change


def power(chosen: PlantedSettings) -> torch.Tensor:
    return dct2(planted(LABELS, chosen, torch.Generator().manual_seed(1)))[:, 0].square()


def tilt(chosen: PlantedSettings, low: int, high: int) -> torch.Tensor:
    """How far the energy of these shells leans to vertical frequencies, image by image: -1..1."""
    energy, u = power(chosen), torch.arange(chosen.size)
    inside = (shells(chosen.size, chosen.size) >= low) & (shells(chosen.size, chosen.size) < high)
    down, across = ((energy * (inside & side)).sum((1, 2)) for side in (u[:, None] > u, u[:, None] < u))
    return (down - across) / (down + across)


def test_the_label_is_in_the_shells_of_the_cue_and_nowhere_else():
    inside, below, above = (tilt(settings(), *edges) for edges in ((5, 8), (1, 5), (8, 16)))
    assert (inside[LABELS == 1] > 0.99).all() and (inside[LABELS == 0] < -0.99).all()
    for other in (below, above):
        assert (other[LABELS == 1].mean() - other[LABELS == 0].mean()).abs() < 0.06


def test_the_energy_of_the_shells_is_the_natural_one_with_or_without_a_cue():
    index = shells(16, 16)
    expected = torch.hypot(torch.arange(16.0)[:, None], torch.arange(16.0)).clamp(min=1).pow(-2.0)
    expected[0, 0] = 0
    expected = expected * (0.15 * 16) ** 2 / expected.sum()
    mean = power(settings()).mean(0)
    mean[0, 0] = 0
    for low, high in ((1, 5), (5, 8), (8, 16)):
        inside = (index >= low) & (index < high)
        assert mean[inside].sum() == pytest.approx(expected[inside].sum().item(), rel=0.05)


def test_gain_and_contrast_scale_and_tilt():
    index = shells(16, 16)
    inside = (index >= 5) & (index < 8)
    small, natural = (power(settings(cues=[cue(5, 8, gain=gain)])).mean(0)[inside].sum() for gain in (0.5, 1.0))
    assert small / natural == pytest.approx(0.25, rel=1e-6)
    half = tilt(settings(cues=[cue(5, 8, contrast=0.5)]), 5, 8)[LABELS == 1].mean()
    assert half == pytest.approx(2 * 0.5 / 1.25, abs=0.05)


def separation(chosen: PlantedSettings, low: int, high: int) -> float:
    """Standard deviations between the classes along Fisher's discriminant of the energies in these shells.

    The discriminant is fitted on half of the images and measured on the others.
    """
    labels = torch.arange(2).repeat_interleave(4000)
    energy = dct2(planted(labels, chosen, torch.Generator().manual_seed(1)))[:, 0].square()
    index = shells(chosen.size, chosen.size)
    across, down = (energy[labels == label][:, (index >= low) & (index < high)].numpy() for label in (0, 1))
    spread = np.cov(across[:2000].T) + np.cov(down[:2000].T)
    axis = np.linalg.pinv(spread) @ (down[:2000].mean(0) - across[:2000].mean(0))
    a, d = across[2000:] @ axis, down[2000:] @ axis
    return float((d.mean() - a.mean()) / np.sqrt((d.var() + a.var()) / 2))


def test_the_classes_of_the_planted_study_overlap_in_the_cue_and_are_the_same_elsewhere():
    study = params.read(Path(__file__).parents[2] / "studies" / "planted.yaml")
    chosen = params.validate(study["dataset"], PlantedSettings, "dataset")
    (one,) = chosen.cues
    assert separation(chosen, one.low, one.high) == pytest.approx(3.0, abs=0.2)
    assert abs(separation(chosen, 1, one.low)) < 0.1 and abs(separation(chosen, one.high, chosen.size)) < 0.1


def test_an_unreliable_cue_agrees_as_often_as_it_should():
    chosen = settings(cues=[cue(1, 4, agreement=0.8), cue(9, 14)])
    low, high = (tilt(chosen, *edges) > 0 for edges in ((1, 4), (9, 14)))
    assert ((low == (LABELS == 1)).double().mean() - 0.8).abs() < 0.05  # n = 800
    assert (high == (LABELS == 1)).all()


def test_a_conjunction_is_down_where_both_cues_are_and_each_other_pattern_is_as_frequent():
    chosen = settings(rule="all", cues=[cue(1, 4), cue(9, 14)])
    both = torch.stack([tilt(chosen, *edges) > 0 for edges in ((1, 4), (9, 14))], 1)
    assert (both.all(1) == (LABELS == 1)).all()
    for pattern in ([False, False], [True, False], [False, True]):
        share = (both[LABELS == 0] == torch.tensor(pattern)).all(1).double().mean()
        assert (share - 1 / 3).abs() < 0.08  # n = 400


def test_splits_are_seeded_of_any_size_and_differ():
    one, again, other = load(settings()), load(settings()), load(settings(seed=1))
    assert one.train.pixels.shape == (60, 1, 16, 16) and one.train.pixels.dtype == torch.uint8
    assert len(one.test) == 20 and one.train.labels[:4].sort().values.tolist() == [0, 0, 1, 1]
    assert one.train.pixels.equal(again.train.pixels) and one.digest == again.digest
    assert not one.train.pixels.equal(other.train.pixels) and one.digest != other.digest
    assert not one.train.pixels[:20].equal(one.test.pixels)
    assert load(settings(size=9)).test.pixels.shape == (20, 1, 9, 9)
    values = one.train.pixels.double() / 255
    assert values.mean() == pytest.approx(0.5, abs=0.01) and values.std() == pytest.approx(0.15, abs=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cues": [cue(5, 17)]}, "expected cues with low < high <= 16 that share no shell, got 5 to 17"),
        ({"cues": [cue(5, 5)]}, "low < high <= 16 that share no shell, got 5 to 5"),
        ({"cues": [cue(3, 6), cue(5, 8)]}, "expected cues with low < high <= 16 that share no shell, got 5 to 8"),
        ({"rule": "any"}, r"dataset\.rule: expected 'each' or 'all', got 'any'"),
        ({"cues": []}, r"dataset\.cues: expected at least 1 entry"),
    ],
)
def test_cues_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        settings(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exponent": 300}, r"dataset\.exponent: expected a number less than or equal to 10, got 300"),
        ({"cues": [cue(1, 10**8)]}, r"expected cues with low < high <= 16 that share no shell, got 1 to 100000000"),
        ({"cues": [cue(1, 5), cue(4, 9)]}, "that share no shell, got 4 to 9"),
        ({"cues": [cue(5, 8, gain=1e300)]}, r"dataset\.cues\.0\.gain: expected a number less than or equal to 1000"),
        ({"size": 10**6}, r"dataset\.size: expected a number less than or equal to 1024, got 1000000"),
        ({"per_class": {"train": 10**9, "test": 1}}, "expected at most 2097152 train images of each class of 16 x 16"),
        ({"seed": 2**63}, r"dataset\.seed: expected a number less than 9223372036854775808, got 9223372036854775808"),
    ],
)
def test_numbers_that_no_image_can_hold_are_refused_at_once(change, message):
    with pytest.raises(ValueError, match=message):
        settings(**change)

"""DDN, FAB and the planes they step to, on problems whose nearest adversary is known."""

import copy
import itertools

import pytest
import torch
from attack_cases import linear, settings_of

from spectroscope.attacks import boundaries, suite
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.frequency.balls import norms
from spectroscope.frequency.spectrum import dct2, idct2

SHAPE = (3, 12, 12)
SLOPE = torch.linspace(-1, 1, 12).expand(SHAPE)
NORMS = pytest.mark.parametrize("norm", ["linf", "l2"])


def planes(n=20, seed=0):
    """Points of the cube, a fifth of the pixels at 0 and a fifth at 1, and planes at various distances from them."""
    generator = torch.Generator().manual_seed(seed)
    point = (1.4 * torch.rand(n, 2, 3, 4, generator=generator) - 0.2).clamp(0, 1)
    weight = torch.randn(n, 2, 3, 4, generator=generator)
    return point, weight, 10 * torch.randn(n, generator=generator)


def by_bisection(point, weight, f, norm):
    """The same projection by halving an interval of the length."""
    point, weight, f = point.double(), weight.double(), f.double()
    way = -f.sign()[:, None, None, None] * (weight if norm == "l2" else weight.sign())
    low, high = torch.zeros_like(f), torch.full_like(f, 1e4)
    for _ in range(80):
        middle = (low + high) / 2
        moved = (point + middle[:, None, None, None] * way).clamp(0, 1)
        value = f + (weight * (moved - point)).flatten(1).sum(1)
        short = value.sign() == f.sign()
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return (point + high[:, None, None, None] * way).clamp(0, 1)


@NORMS
def test_the_projection_onto_a_plane_in_the_cube_is_exact(norm):
    point, weight, f = planes()
    found = boundaries.onto(point, weight, f, norm)
    expected = by_bisection(point, weight, f, norm)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)
    left = f + (weight * (found - point)).flatten(1).sum(1)
    reachable = (f + (weight * (expected - point)).flatten(1).sum(1)).abs() < 1e-5
    assert 5 < reachable.sum() < 20
    assert left[reachable].abs().max() < 1e-4
    assert (found[~reachable].frac() == 0).all()  # a corner, as near to the plane as the cube goes


@NORMS
def test_no_point_of_plane_and_cube_is_nearer(norm):
    point, weight, f = planes(1, seed=4)
    f = f.sign()
    found = boundaries.onto(point, weight, f, norm)
    others = torch.rand(4000, 2, 3, 4, generator=torch.Generator().manual_seed(5))
    shift = (f + (weight * (others - point)).flatten(1).sum(1)) / weight.square().sum()
    others = others - shift[:, None, None, None] * weight
    others = others[((others >= 0) & (others <= 1)).flatten(1).all(1)]
    assert len(others) > 50
    assert norms(others - point, norm).min() >= norms(found - point, norm) - 1e-5


@pytest.mark.parametrize(
    ("case", "changes", "excess"),
    [
        ("ddn", {"initial_norm": 0.3, "steps": 300, "gamma": 0.02}, 1.03),
        ("fab-l2", {"n_targets": None, "steps": 10}, 1.01),
        ("fab-l2", {"n_targets": 1, "steps": 10}, 1.01),
        ("deepfool", {}, 1.021),
    ],
)
def test_the_nearest_point_across_a_plane_is_found_in_l2(case, changes, excess):
    x = torch.full((1, *SHAPE), 0.5)
    outcome = suite.run(settings_of(case, **changes), linear, x, torch.tensor([0]), seed=0)
    distance = 5 / SLOPE.norm()
    assert outcome.success.all()
    assert 0.9999 * distance <= outcome.l2[0] <= excess * distance
    torch.testing.assert_close(outcome.perturbation[0], -distance * SLOPE / SLOPE.norm(), rtol=0, atol=0.02)


@pytest.mark.parametrize("n_targets", [None, 1])
def test_the_nearest_point_across_a_plane_is_found_in_linf(n_targets):
    x = torch.full((1, *SHAPE), 0.5)
    settings = settings_of("fab-linf", n_targets=n_targets, steps=10)
    outcome = suite.run(settings, linear, x, torch.tensor([0]), seed=0)
    distance = 5 / SLOPE.abs().sum()
    assert outcome.success.all()
    assert 0.9999 * distance <= outcome.linf[0] <= 1.01 * distance


@NORMS
def test_the_projection_is_exact_where_many_pixels_stop_at_different_lengths(norm):
    """Images of usual size, half of the pixels near 0 or 1, weights over eight decades."""
    generator = torch.Generator().manual_seed(3)
    point = (2 * torch.rand(16, 3, 32, 32, generator=generator) - 0.5).clamp(0, 1)
    weight = torch.randn(point.shape, generator=generator) * 10 ** (-8 * torch.rand(point.shape, generator=generator))
    f = torch.logspace(-4, 1.5, 16)
    found = boundaries.onto(point, weight, f, norm)
    expected = by_bisection(point, weight, f, norm)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)
    assert 0.2 < ((found == 0) | (found == 1))[-1].float().mean() < 0.9


def test_the_nearest_of_all_boundaries_is_measured_in_the_dual_norm():
    """Class 1 is behind one pixel of weight 4, class 2 behind 432 of weight 1: l2 distances 2/4 and 2/sqrt(432)."""
    x = torch.full((1, *SHAPE), 0.5)

    def three(x):
        one, all_ = 4 * (x[:, 0, 0, 0] - 0.5) - 2, (x - 0.5).flatten(1).sum(1) - 2
        return torch.stack([torch.zeros_like(one), one, all_], 1)

    predict = CountingModel(three, x, torch.tensor([0]), 3)
    for norm in ("linf", "l2"):
        logits, f, weight = boundaries.nearest(predict, x, torch.tensor([0]), norm, None)
        assert f.tolist() == [-2] and weight.sum() == 432 and logits.shape == (1, 3)
    _, f, weight = boundaries.towards(predict, x, torch.tensor([0]), torch.tensor([1]))
    assert f.tolist() == [-2] and weight.sum() == 4


def test_fab_goes_through_its_targets_until_the_nearest_is_found(model, data):
    one, all_ = (suite.run(settings_of("fab-l2", n_targets=n, steps=10), model, *data, seed=0) for n in (1, 3))
    both = one.success & all_.success
    assert (all_.l2[both] <= one.l2[both] * 1.002).all() and (all_.l2[both] < 0.99 * one.l2[both]).any()


@pytest.mark.parametrize("case", ["fab-linf", "fab-l2"])
def test_rounding_does_not_undo_fab(case, model, data, outcomes):
    """Its last search leads to the boundary, where float32 ties are decided by the batch: in float64 all still fool."""
    x, labels = data
    outcome = outcomes[case]
    assert torch.equal(outcome.success, outcome.before == labels)
    logits = copy.deepcopy(model).double()((x + outcome.perturbation).double()[outcome.success])
    right = labels[outcome.success][:, None]
    margin = logits.scatter(1, right, -torch.inf).amax(1) - logits.gather(1, right)[:, 0]
    assert (margin > 5e-6 * (logits.amax(1) - logits.amin(1))).all()


def test_minimal_norms_agree(outcomes):
    """Three algorithms, one distance: medians within a tenth of the smallest."""
    l2 = {case: outcomes[case].l2[outcomes[case].success].median() for case in ("cw", "ddn", "fab-l2")}
    assert max(l2.values()) < 1.1 * min(l2.values()), l2


def test_ddn_shrinks_where_it_fools_and_grows_where_not():
    """On a plane at distance d the norms of the points asked about are 0, r, then r (1 -+ gamma) by the side of d."""
    x, seen = torch.full((1, *SHAPE), 0.5), []
    distance = float(5 / SLOPE.norm())

    def watched(z):
        seen.append(float((z.detach() - x).norm()))
        return linear(z)

    settings = settings_of("ddn", initial_norm=1.5 * distance, gamma=0.1, steps=12)
    suite.run(settings, watched, x, torch.tensor([0]), seed=0)
    asked = seen[1:14]
    assert asked[0] == 0 and asked[1] == pytest.approx(1.5 * distance, rel=1e-4)
    for before, after in itertools.pairwise(asked[1:]):
        assert after == pytest.approx(before * (0.9 if before > distance else 1.1), rel=1e-4)


def test_deepfool_in_a_band_stays_there_and_needs_more(model, data, outcomes):
    free, low = outcomes["deepfool"], outcomes["deepfool-low"]
    spectrum = dct2(low.perturbation[low.success].double())
    outside = spectrum.clone()
    outside[..., :6, :6] = 0
    assert outside.pow(2).sum((1, 2, 3)).max() <= 2e-4 * spectrum.pow(2).sum((1, 2, 3)).max()
    both = free.success & low.success
    assert both.sum() > 10 and low.l2[both].median() > 1.1 * free.l2[both].median()


def test_deepfool_in_a_band_finds_the_nearest_point_of_the_plane_in_that_band():
    """A plane whose normal has half of its energy in the band: sqrt(2) times as far."""
    x = torch.full((1, *SHAPE), 0.5)
    low, high = (
        idct2(torch.zeros(12, 12).index_put((torch.tensor(k), torch.tensor(k)), torch.tensor(1.0))) for k in (2, 9)
    )

    def plane(x):
        score = ((x - 0.5) * (low + high)).flatten(1).sum(1) - 0.5
        return torch.stack([-score, score], 1)

    for bands, far in ((None, 0.5 / 6**0.5), ({"low": {"keep": "lowest", "ratio": 0.5}}, 0.5 / 3**0.5)):
        outcome = suite.run(settings_of("deepfool", bands=bands), plane, x, torch.tensor([0]), seed=0)
        assert outcome.l2.item() == pytest.approx(1.02 * far, rel=1e-2)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="expected n_targets null where target is runner_up, got 2"):
        settings_of("fab-l2", target="runner_up")
    with pytest.raises(ValueError, match=r"attacks\.ddn\.gamma: .*less than 1, got 1"):
        settings_of("ddn", gamma=1.0)

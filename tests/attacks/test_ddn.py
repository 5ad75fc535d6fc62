"""DDN: norms that shrink and grow, and minimal norms that agree with those of other attacks."""

import itertools

import pytest
import torch
from attack_cases import SHAPE, linear, settings_of

from spectroscope.attacks import runner

SLOPE = torch.linspace(-1, 1, 12).expand(SHAPE)


def test_ddn_shrinks_where_it_fools_and_grows_where_not():
    """On a plane at distance d: norms 0, r (1 + gamma), since the image fools not, then r (1 -+ gamma) by its side."""
    x, lengths = torch.full((1, *SHAPE), 0.5), []
    distance = float(5 / SLOPE.norm())

    def watched(z):
        lengths.append(float((z.detach() - x).norm()))
        return linear(z)

    settings = settings_of("ddn", initial_norm=1.5 * distance, gamma=0.1, steps=12)
    runner.run(settings, watched, x, torch.tensor([0]), seed=0)
    lengths = lengths[1:14]
    assert lengths[0] == 0 and lengths[1] == pytest.approx(1.1 * 1.5 * distance, rel=1e-4)
    for before, after in itertools.pairwise(lengths[1:]):
        assert after == pytest.approx(before * (0.9 if before > distance else 1.1), rel=1e-4)


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
    outcome = runner.run(settings_of(case, **changes), linear, x, torch.tensor([0]), seed=0)
    distance = 5 / SLOPE.norm()
    assert outcome.success.all()
    assert 0.9999 * distance <= outcome.l2[0] <= excess * distance
    torch.testing.assert_close(outcome.perturbation[0], -distance * SLOPE / SLOPE.norm(), rtol=0, atol=0.02)


def test_minimal_norms_agree(outcomes):
    """Four algorithms, one distance: medians within a tenth of the smallest."""
    l2 = {case: outcomes[case].l2[outcomes[case].success].median() for case in ("cw", "ddn", "fmn-l2", "fab-l2")}
    assert max(l2.values()) < 1.1 * min(l2.values()), l2


def test_ddn_makes_a_query_for_each_step_and_one_for_the_last_iterate(outcomes, data):
    attacked = outcomes["ddn"].before == data[1]
    assert (outcomes["ddn"].queries[attacked] == 41).all() and not outcomes["ddn"].queries[~attacked].any()

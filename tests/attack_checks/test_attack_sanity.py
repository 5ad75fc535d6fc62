import pandas as pd
import pytest
import torch
from torch import nn

from spectroscope.attack_checks import sanity
from spectroscope.frequency.passbands import FullBand, PassBand

SHAPE = (3, 8, 8)


class Linear(nn.Module):
    """Two classes by a sum over pixels; `change` is applied to the logits."""

    def __init__(self, weight, change=lambda logits: logits):
        super().__init__()
        self.weight, self.change = nn.Parameter(weight), change

    def forward(self, x):
        score = (x * self.weight).sum((1, 2, 3))
        return self.change(torch.stack([score, -score], 1))


@pytest.fixture
def x():
    return torch.rand(70, *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda logits: logits, [0, 0, 0]),
        (lambda logits: logits * 0 + torch.tensor([1.0, -1.0]), [1, 0, 0]),
        (lambda logits: logits + torch.rand(()), [0, 1, 0]),
        (lambda logits: (0.01 * logits).softmax(1), [0, 0, 1]),
        (lambda logits: logits.round() + 0 * logits, [1, 0, 0]),
    ],
    ids=["sound", "constant", "random", "probabilities", "rounded"],
)
def test_each_check_fires_for_its_fault_alone(change, expected, x):
    model = Linear(torch.full(SHAPE, 0.1), change)
    found = sanity.checks(model, x, torch.zeros(70, dtype=torch.int64))
    assert list(found) == ["zero_gradients", "varies", "probabilities"]
    assert found.iloc[0].tolist() == expected
    assert model.weight.grad is None


def test_what_a_linear_network_relies_on_is_the_part_of_its_score_in_the_band(x):
    model = Linear(torch.ones(SHAPE))  # reads DC alone
    dc = PassBand(keep="inside", basis="dct", shape="linf", unit="shells", low=0, high=1, clip=False)
    rest = dc.model_copy(update={"keep": "outside"})
    bands = {("c", "dc"): dc, ("c", "rest"): rest, ("c", "all"): FullBand(keep="all", clip=False)}
    found = sanity.relied_on(model, x, torch.zeros(70, dtype=torch.int64), bands).set_index("variant")["relied"]
    score = float(x.sum((1, 2, 3)).mean())
    assert found["dc"] == pytest.approx(score, rel=1e-4)
    assert found["rest"] == pytest.approx(0, abs=1e-3)
    assert found["all"] == pytest.approx(score, rel=1e-4)


def test_only_what_fooled_its_own_network_and_is_right_here_is_counted(x):
    """Class 0 for a positive score: the network here has all images right but the one with label 1."""
    model, images = Linear(torch.ones(SHAPE)), x[:4]
    change = torch.cat([torch.zeros(4, *SHAPE), -2 * images[:2], torch.zeros(2, *SHAPE)])
    rows = pd.DataFrame({"seed": [3] * 4 + [7] * 4, "image": [0, 1, 2, 3] * 2, "label": [0, 1, 0, 0] * 2})
    rows["success"] = [False] * 4 + [True, True, True, False]
    found = sanity.carried_over(model, x, {("other", "pgd"): (change, rows)}, 1)
    assert found["attack"].eq("pgd").all() and found["source"].eq("other").all()
    assert found["image"].tolist() == [0, 1, 2, 3]
    assert found["fooled"].tolist()[0] == 1 and found["fooled"].tolist()[2] == 0
    assert found["fooled"].isna().tolist() == [False, True, False, True]
    first = sanity.carried_over(model, x, {("other", "pgd"): (change, rows)}, 0)
    assert first["fooled"].isna().all()


def test_there_is_nothing_to_carry_over_in_a_study_of_one_run(x):
    found = sanity.carried_over(Linear(torch.ones(SHAPE)), x, {}, 0)
    assert len(found) == 0 and list(found) == ["image", "label", "attack", "source", "fooled"]

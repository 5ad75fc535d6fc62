"""The order of a split."""

import pytest
import torch
from dataset_cases import NAMES

from spectroscope.dataset.splits import class_balanced_order
from spectroscope.pipeline.machine import generator


def test_an_order_goes_round_the_classes_until_each_is_used_up():
    labels = torch.tensor([0] * 5 + [1] * 2 + [2] * 4)
    order = class_balanced_order(labels, NAMES, None, generator(0), "here")
    assert sorted(order.tolist()) == list(range(11))
    rounds = labels[order].split([3, 3, 2, 2, 1])
    assert [sorted(turn.tolist()) for turn in rounds] == [[0, 1, 2], [0, 1, 2], [0, 2], [0, 2], [0]]


def test_a_limit_is_the_beginning_of_the_whole_order():
    labels = torch.arange(60) % 3
    whole, limited = (class_balanced_order(labels, NAMES, limit, generator(4), "here") for limit in (None, 10))
    torch.testing.assert_close(limited, whole[:10])
    assert sorted(torch.bincount(labels[limited]).tolist()) == [3, 3, 4]


def test_an_order_depends_on_its_seed_alone():
    labels = torch.arange(60) % 3
    one, same, other = (class_balanced_order(labels, NAMES, None, generator(seed), "here") for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("labels", "limit", "message"),
    [
        ([0, 1, 3, 2], None, r"here: row 2: expected a label 0\.\.2, got 3"),
        ([0, -1, 1, 2], None, r"here: row 1: expected a label 0\.\.2, got -1"),
        ([0, 2, 2], None, r"here: expected images of each of 3 classes, got none of bee"),
        ([], None, r"here: expected images, got none"),
        ([0, 1, 2, 0], 5, r"here: expected a limit from 3 .* to 4 .*, got 5"),
        ([0, 1, 2, 0], 2, r"here: expected a limit from 3 .* to 4 .*, got 2"),
    ],
)
def test_a_split_without_an_order_is_refused(labels, limit, message):
    with pytest.raises(ValueError, match=message):
        class_balanced_order(torch.tensor(labels, dtype=torch.int64), NAMES, limit, generator(0), "here")

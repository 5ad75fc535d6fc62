"""Losses by hand, and what they must not depend on."""

import pytest
import torch

from spectroscope.attacks import losses
from spectroscope.attacks.counting_model import CountingModel

ROWS = torch.arange(2)
LOGITS = torch.tensor([[5.0, 3.0, 1.0, 0.0], [-5.0, -1.0, -3.0, -9.0]])


def counting(labels, targets=None, n_classes=4):
    x = torch.zeros(len(labels), 1, 2, 2)
    return CountingModel(lambda x: x.flatten(1), x, torch.tensor(labels), n_classes, targets)


def test_the_margin_is_the_best_other_minus_the_label_also_among_negative_logits():
    assert losses.margin(counting([0, 1]))(LOGITS, ROWS).tolist() == [-2.0, -2.0]
    assert losses.margin(counting([1, 2]))(LOGITS, ROWS).tolist() == [2.0, 2.0]


def test_the_margin_towards_a_target_is_the_target_minus_the_best_other():
    assert losses.margin(counting([0, 1], torch.tensor([1, 3])))(LOGITS, ROWS).tolist() == [-2.0, -8.0]


def test_the_margin_belongs_to_the_rows_given():
    assert losses.margin(counting([0, 1]))(LOGITS[1:], ROWS[1:]).tolist() == [-2.0]


def test_dlr_is_the_margin_over_the_gap_of_first_and_third():
    torch.testing.assert_close(losses.dlr(counting([0, 1]))(LOGITS, ROWS), torch.tensor([-2 / 4, -2 / 4]))
    torch.testing.assert_close(losses.dlr(counting([2, 0]))(LOGITS, ROWS), torch.tensor([4 / 4, 4 / 4]))


def test_targeted_dlr_is_target_minus_label_over_first_and_the_mean_of_third_and_fourth():
    expected = torch.tensor([(3 - 5) / (5 - 0.5), (-9 + 1) / (-1 - (-5 - 9) / 2)])
    for loss in (
        losses.targeted_dlr(counting([0, 1]), torch.tensor([1, 3])),
        losses.dlr(counting([0, 1], torch.tensor([1, 3]))),
    ):
        torch.testing.assert_close(loss(LOGITS, ROWS), expected)


@pytest.mark.parametrize("change", [lambda z: z + 7, lambda z: 30 * z], ids=["shifted", "scaled"])
def test_dlr_does_not_change_when_logits_are_shifted_or_scaled(change):
    for loss in (losses.dlr(counting([0, 2])), losses.targeted_dlr(counting([0, 2]), torch.tensor([1, 3]))):
        torch.testing.assert_close(loss(change(LOGITS), ROWS), loss(LOGITS, ROWS))


def test_too_few_classes_are_refused():
    with pytest.raises(ValueError, match="expected at least 3 classes for the loss dlr, got 2"):
        losses.dlr(counting([0, 1], n_classes=2))
    with pytest.raises(ValueError, match="expected at least 4 classes for the loss targeted_dlr, got 3"):
        losses.targeted_dlr(counting([0, 1], n_classes=3), torch.tensor([1, 0]))
    with pytest.raises(ValueError, match="expected n_targets <= 3 for 4 classes, got 4"):
        losses.runners_up(LOGITS, torch.tensor([0, 1]), 4)


def test_runners_up_are_the_best_other_classes_in_order():
    assert losses.runners_up(LOGITS, torch.tensor([0, 2]), 2).tolist() == [[1, 2], [1, 0]]


def test_the_gradient_is_that_of_each_image_s_own_loss():
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]], [[[4.0, 3.0], [2.0, 1.0]]]])
    model = CountingModel(lambda x: x.flatten(1) ** 2, x, torch.tensor([3, 0]), 4)
    logits, value, gradient = losses.value_and_gradient(model, x, ROWS, losses.margin(model))
    assert value.tolist() == [9 - 16, 9 - 16] and logits[0].tolist() == [1, 4, 9, 16]
    assert gradient[0].flatten().tolist() == [0, 0, 6, -8] and gradient[1].flatten().tolist() == [-8, 6, 0, 0]
    assert model.queries.tolist() == [1, 1]

"""What holds for every attack of the registry."""

import numpy as np
import pytest
import torch
from attack_cases import EVERY, SEEDLESS, exact, settings_of

from spectroscope.attacks import suite
from spectroscope.attacks.counting_model import evaluating
from spectroscope.frequency.balls import norms
from spectroscope.frequency.spectrum import dct2
from spectroscope.pipeline import io


def test_the_trained_network_is_worth_attacking(model, data):
    assert (model(data[0]).argmax(1) == data[1]).float().mean() > 0.9


@EVERY
def test_success_means_right_before_and_wrong_after(case, outcomes, model, data):
    x, labels = data
    outcome = outcomes[case]
    assert outcome.success.float().mean() > 0.2
    assert torch.equal(outcome.success, (outcome.before == labels) & (outcome.after != labels))
    assert torch.equal(model(x).argmax(1), outcome.before)
    assert torch.equal(model(x + outcome.perturbation).argmax(1), outcome.after)
    assert [outcome.success.dtype, outcome.queries.dtype, outcome.before.dtype] == [
        torch.bool,
        torch.int64,
        torch.int64,
    ]


@EVERY
def test_bounds_hold_after_save_and_load(case, outcomes, data, tmp_path):
    outcome, settings = outcomes[case], settings_of(case)
    io.write_arrays(tmp_path / "p.parquet", outcome.perturbation, outcome.table())
    change, table, _ = io.read_arrays(tmp_path / "p.parquet")
    torch.testing.assert_close(change, outcome.perturbation, rtol=0, atol=0)
    adversary = data[0] + change
    assert adversary.min() >= 0 and adversary.max() <= 1
    np.testing.assert_allclose(table["l2"], change.double().flatten(1).norm(dim=1), rtol=1e-5)
    np.testing.assert_allclose(table["linf"], change.abs().flatten(1).amax(1))
    if settings.ball:
        sizes = norms(change.double(), settings.ball.norm)
        assert sizes.max() <= settings.ball.eps + 1e-6
        assert sizes.max() > 0.5 * settings.ball.eps


@EVERY
def test_a_failed_attack_returns_the_image(case, outcomes):
    outcome = outcomes[case]
    failed = ~outcome.success
    assert failed.any()
    assert not outcome.perturbation[failed].any()
    assert torch.equal(outcome.after[failed], outcome.before[failed])
    assert (outcome.l2[~failed] > 0).all()


@EVERY
def test_a_misclassified_image_is_not_attacked(case, model, data):
    x = data[0][:8]
    right = model(x).argmax(1)
    outcome = suite.run(settings_of(case), model, x, (right + 1) % 4, seed=0)
    assert not outcome.perturbation.any() and not outcome.success.any() and not outcome.queries.any()
    assert torch.equal(outcome.after, right)


@EVERY
@pytest.mark.parametrize("hidden", [False, True], ids=["module", "function"])
def test_the_model_is_left_as_it_was(case, hidden, model, data):
    model.train()
    model[1].eval()
    model[4].weight.requires_grad_(False)
    model[8].bias.grad = torch.ones_like(model[8].bias)
    modes = [part.training for part in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        if hidden:
            with evaluating(model):
                suite.run(settings_of(case), lambda x: model(x), data[0][:6], data[1][:6], seed=0)
        else:
            suite.run(settings_of(case), model, data[0][:6], data[1][:6], seed=0)
        assert [part.training for part in model.modules()] == modes
        assert [weight.requires_grad for weight in model.parameters()].count(False) == 1
        assert [name for name, weight in model.named_parameters() if weight.grad is not None] == ["8.bias"]
        torch.testing.assert_close(model[8].bias.grad, torch.ones_like(model[8].bias))
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value, state[name], rtol=0, atol=0)
    finally:
        model[4].weight.requires_grad_(True)
        model[8].bias.grad = None
        model.eval()


@EVERY
def test_dropout_is_off_during_the_attack(case, model, data, outcomes):
    model.train()
    try:
        outcome = suite.run(settings_of(case), model, *data, seed=3)
    finally:
        model.eval()
    torch.testing.assert_close(outcome.perturbation, outcomes[case].perturbation, rtol=0, atol=0)


@EVERY
def test_the_caller_s_images_and_random_state_are_untouched(case, model, data):
    x, labels = data[0][:4].clone(), data[1][:4].clone()
    state = torch.get_rng_state()
    with torch.no_grad():
        suite.run(settings_of(case), model, x, labels, seed=0)
    assert torch.equal(x, data[0][:4]) and torch.equal(labels, data[1][:4]) and x.grad is None
    assert torch.equal(torch.get_rng_state(), state)


@EVERY
@pytest.mark.parametrize("batch_size", [1, 7])
def test_an_image_s_result_does_not_depend_on_its_batch(case, batch_size, data):
    x = data[0][:16]
    labels = exact(x).argmax(1)
    together = suite.run(settings_of(case), exact, x, labels, seed=3)
    apart = suite.run(settings_of(case), exact, x, labels, seed=3, batch_size=batch_size)
    assert together.success.any()
    torch.testing.assert_close(apart.perturbation, together.perturbation, rtol=0, atol=1e-6)
    assert torch.equal(apart.queries, together.queries) and torch.equal(apart.after, together.after)


@EVERY
def test_the_first_images_keep_their_result_among_others(case, data):
    labels = exact(data[0]).argmax(1)
    few = suite.run(settings_of(case), exact, data[0][:9], labels[:9], seed=3)
    many = suite.run(settings_of(case), exact, data[0], labels, seed=3)
    torch.testing.assert_close(many.perturbation[:9], few.perturbation, rtol=0, atol=1e-6)


@EVERY
def test_the_same_seed_gives_the_same_adversary(case, model, data, outcomes):
    again = suite.run(settings_of(case), model, *data, seed=3)
    assert torch.equal(again.perturbation, outcomes[case].perturbation)
    other = suite.run(settings_of(case), model, *data, seed=4)
    assert torch.equal(other.perturbation, again.perturbation) == (case in SEEDLESS)


@pytest.mark.parametrize(
    ("case", "queries"), [("fgsm", 1), ("pgd-linf", 10), ("pgd-l1", 10), ("cw", 120), ("ddn", 41)]
)  # one, `steps`, `steps`, `search_steps` x `steps`, `steps` and the last point
def test_a_gradient_method_counts_its_forward_passes(case, queries, data, outcomes):
    attacked = outcomes[case].before == data[1]
    assert (outcomes[case].queries[attacked] == queries).all()
    assert not outcomes[case].queries[~attacked].any()


@EVERY
def test_batches_of_32_and_256_give_the_same_on_a_convolutional_network(case, model, data, outcomes):
    """`outcomes` has all 60 images in one batch, as batches of 256 do."""
    apart = suite.run(settings_of(case), model, *data, seed=3, batch_size=32)
    assert torch.equal(apart.success, outcomes[case].success)
    torch.testing.assert_close(apart.perturbation, outcomes[case].perturbation, rtol=0, atol=1e-5)
    assert torch.equal(apart.queries, outcomes[case].queries)


@EVERY
def test_a_leak_is_told_of_every_success_in_a_band_and_of_nothing_else(case, outcomes):
    outcome, bands = outcomes[case], getattr(settings_of(case), "bands", None)
    told = outcome.success if bands else torch.zeros_like(outcome.success)
    assert torch.equal(~outcome.leak.isnan(), told)
    if bands:  # the lower half of rows and columns, in each of the cases
        spectrum = dct2(outcome.perturbation[told].double())
        whole = spectrum.square().flatten(1).sum(1)
        inside = spectrum[..., :6, :6].square().flatten(1).sum(1)
        torch.testing.assert_close(outcome.leak[told].double(), 1 - inside / whole, rtol=1e-2, atol=1e-6)
        assert outcome.leak[told].max() <= 1e-4 * 1.001

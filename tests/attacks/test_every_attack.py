"""What holds for every attack of the registry, as `runner` promises."""

import numpy as np
import pytest
import torch
from attack_cases import BOUNDED, EVERY, RADII, WHITE_BOX, WITHOUT_RANDOMNESS, exact, settings_of

from spectroscope.attacks import runner
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
def test_a_leak_is_recorded_for_every_success_in_a_band_and_for_nothing_else(case, outcomes):
    outcome, bands = outcomes[case], getattr(settings_of(case), "bands", None)
    recorded = outcome.success if bands else torch.zeros_like(outcome.success)
    assert torch.equal(~outcome.leak.isnan(), recorded)
    if bands:  # the lower half of rows and columns, in each of the cases
        spectrum = dct2(outcome.perturbation[recorded].double())
        whole = spectrum.square().flatten(1).sum(1)
        inside = spectrum[..., :6, :6].square().flatten(1).sum(1)
        torch.testing.assert_close(outcome.leak[recorded].double(), 1 - inside / whole, rtol=1e-2, atol=1e-6)
        assert outcome.leak[recorded].max() <= 1e-4 * 1.001


@EVERY
def test_a_misclassified_image_is_not_attacked(case, model, few):
    x = few[0]
    right = model(x).argmax(1)
    outcome = runner.run(settings_of(case), model, x, (right + 1) % 4, seed=0)
    assert not outcome.perturbation.any() and not outcome.success.any() and not outcome.queries.any()
    assert torch.equal(outcome.after, right)


@EVERY
def test_model_images_and_random_state_are_left_as_they_were_and_dropout_is_off(case, model, few, few_outcomes):
    """The model in training mode, one layer in evaluation mode, one weight frozen, one gradient there already."""
    x, labels = few[0].clone(), few[1].clone()
    expected = few_outcomes[case]
    model.train()
    model[1].eval()
    model[4].weight.requires_grad_(False)
    model[8].bias.grad = torch.ones_like(model[8].bias)
    modes = [module.training for module in model.modules()]
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    random_state = torch.get_rng_state()
    try:
        with torch.no_grad():
            outcome = runner.run(settings_of(case), model, x, labels, seed=3)
        assert torch.equal(outcome.perturbation, expected.perturbation)
        assert [module.training for module in model.modules()] == modes
        assert [weight.requires_grad for weight in model.parameters()].count(False) == 1
        assert [name for name, weight in model.named_parameters() if weight.grad is not None] == ["8.bias"]
        torch.testing.assert_close(model[8].bias.grad, torch.ones_like(model[8].bias))
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value, weights[name], rtol=0, atol=0)
        assert torch.equal(x, few[0]) and torch.equal(labels, few[1]) and x.grad is None
        assert torch.equal(torch.get_rng_state(), random_state)
    finally:
        model[4].weight.requires_grad_(True)
        model[8].bias.grad = None
        model.eval()


@EVERY
def test_a_network_inside_a_function_that_normalises_outside_gives_the_same_and_gets_no_gradient(
    case, model, few, few_outcomes
):
    outside = runner.run(settings_of(case), lambda x: model[1:]((x - 0.5) / 0.25), *few, seed=3)
    torch.testing.assert_close(outside.perturbation, few_outcomes[case].perturbation, rtol=0, atol=0)
    assert all(weight.grad is None for weight in model.parameters())


@EVERY
def test_another_seed_gives_another_adversary_where_there_is_randomness(case, model, few, few_outcomes):
    other = runner.run(settings_of(case), model, *few, seed=4)
    assert torch.equal(other.perturbation, few_outcomes[case].perturbation) == (case in WITHOUT_RANDOMNESS)


@EVERY
def test_an_image_s_result_depends_neither_on_its_batch_nor_on_images_that_follow(case, data):
    """Sixteen images in batches of 5, 5, 5 and 1 against the same among twenty in one batch."""
    x = data[0][:20]
    labels = exact(x).argmax(1)
    together = runner.run(settings_of(case), exact, x, labels, seed=3)
    apart = runner.run(settings_of(case), exact, x[:16], labels[:16], seed=3, batch_size=5)
    assert together.success[:16].any()
    torch.testing.assert_close(apart.perturbation, together.perturbation[:16], rtol=0, atol=1e-6)
    assert torch.equal(apart.queries, together.queries[:16]) and torch.equal(apart.after, together.after[:16])


@EVERY
def test_small_and_large_batches_give_the_same_on_a_convolutional_network(case, outcomes, few_outcomes):
    few, many = few_outcomes[case], outcomes[case]
    assert torch.equal(few.success, many.success[:16])
    torch.testing.assert_close(few.perturbation, many.perturbation[:16], rtol=0, atol=1e-5)
    assert torch.equal(few.queries, many.queries[:16])


@EVERY
def test_the_model_never_sees_a_pixel_outside_the_unit_interval(case, model, few):
    x = few[0][:6].clone()
    x[:, 0], x[:, 1] = 0, 1
    extremes = []

    def watched(x):
        extremes.extend(x.detach().aminmax())
        return model(x)

    runner.run(settings_of(case), watched, x, model(x).argmax(1), seed=0)
    assert len(extremes) >= 4 and min(extremes) >= 0 and max(extremes) <= 1


@EVERY
def test_logits_that_become_nan_during_the_attack_are_refused(case, model, few):
    calls = []

    def breaking(x):
        calls.append(1)
        return model(x) * (1 if len(calls) == 1 else float("nan"))

    with pytest.raises(ValueError, match=r"expected finite logits, got .* that are NaN or infinite"):
        runner.run(settings_of(case), breaking, *few, seed=0)
    assert len(calls) == 2


@pytest.mark.parametrize("case", WHITE_BOX)
def test_a_model_without_a_gradient_is_refused(case, model, few):
    with pytest.raises(ValueError, match="expected a model that is differentiable in its input"):
        runner.run(settings_of(case), lambda x: model(x).detach(), *few, seed=0)


@pytest.mark.parametrize("case", BOUNDED)
def test_eps_zero_returns_the_image(case, model, few):
    outcome = runner.run(settings_of(case, **{RADII[case]: 0}), model, *few, seed=0)
    assert not outcome.perturbation.any() and not outcome.success.any() and not outcome.queries.any()

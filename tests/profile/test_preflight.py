"""Every fault in how a network is held is found on a network that really has it, with its likely cause."""

import held_wrong as wrong
import pytest
import torch
from torch import nn

from spectroscope.profile import normalisation, preflight
from spectroscope.profile.images import Chosen, choose
from spectroscope.profile.network import Network, Options

NONE = Options(None, None, None, None, None)


def chosen(pixels, labels, classes=("a", "b", "c", "d")):
    return Chosen("made", "array of pixels", None, pixels, labels, classes, len(pixels))


def prepared(module, pixels=None, labels=None, options=NONE, labelled=True, **facts):
    x, y = wrong.images()
    x = x if pixels is None else pixels
    y = (y if labels is None else labels) if labelled else None
    return preflight.prepare(
        Network("net", "function", lambda *_: module, **facts),
        chosen(x, y, ("a", "b", "c", "d") if labelled else None),
        options,
        60.0,
    )


def found(ready, check):
    return [(finding.level, finding.text) for finding in ready.findings if finding.check == check]


def accuracy(ready):
    return float((ready.logits.argmax(1) == ready.labels).double().mean())


def test_a_network_that_is_held_right_has_no_fault():
    ready = prepared(wrong.Quadrants())
    assert [f for f in ready.findings if f.level != "note"] == []
    assert accuracy(ready) == 1.0 and ready.labelled


def test_training_mode_is_found_and_left():
    module = nn.Sequential(wrong.Quadrants(), nn.Dropout(0.9)).train()
    ready = prepared(module)
    ((level, text),) = found(ready, "mode")
    assert level == "changed" and "Dropout" in text
    assert not any(part.training for part in ready.model.modules())
    assert found(ready, "randomness") == []


def test_dropout_that_stays_active_is_found():
    module = wrong.Then(after=lambda y: nn.functional.dropout(y, 0.3, training=True))
    ((level, text),) = found(prepared(module), "randomness")
    assert level == "warning" and "dropout" in text


def test_probabilities_become_logits_of_the_same_softmax():
    ready = prepared(wrong.Then(after=lambda y: y.softmax(1)))
    ((level, text),) = found(ready, "output")
    assert level == "changed" and "probabilities" in text
    torch.testing.assert_close(ready.logits.softmax(1), prepared(wrong.Quadrants()).logits.softmax(1))


@pytest.mark.parametrize(
    ("wrap", "field"),
    [
        (lambda y: (y, torch.zeros(len(y), 3, 2, 2)), "0"),
        (lambda y: {"features": torch.zeros(len(y), 7), "logits": y}, "logits"),
        (lambda y: type("ModelOutput", (), {"__init__": lambda s: setattr(s, "logits", y)})(), "logits"),
    ],
    ids=["tuple", "dict", "ModelOutput"],
)
def test_the_logits_of_another_container_are_taken_and_the_field_is_named(wrap, field):
    ready = prepared(wrong.Then(after=wrap))
    ((level, text),) = found(ready, "output")
    assert level == "changed" and f"field {field} " in text
    assert accuracy(ready) == 1.0


def test_an_output_without_a_vector_of_classes_is_refused():
    with pytest.raises(
        ValueError, match=r"expected a network that returns a vector of two or more classes.*\(4, 3, 8, 8\)"
    ):
        prepared(nn.Conv2d(3, 3, 3, 2, 1))


def test_pixels_of_0_to_255_are_divided():
    x, _ = wrong.images()
    ready = prepared(wrong.Quadrants(), pixels=x * 255)
    ((level, text),) = found(ready, "range")
    assert level == "changed" and "0..255" in text
    torch.testing.assert_close(ready.pixels, x, atol=1e-5, rtol=0)


def test_pixels_that_were_normalised_already_are_brought_back():
    x, _ = wrong.images()
    x[0, :, 0, :2] = torch.tensor([0.0, 1.0])
    _, mean, std = normalisation.COLOURS[0]
    ready = prepared(
        wrong.Quadrants(), pixels=(x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    )
    ((level, text),) = found(ready, "range")
    assert level == "changed" and "normalised already (ImageNet's" in text
    torch.testing.assert_close(ready.pixels, x, atol=1e-5, rtol=0)


def test_pixels_of_no_known_range_are_refused():
    with pytest.raises(ValueError, match=r"expected pixels in \[0, 1\], 0\.\.255 or normalised.*got -40"):
        normalisation.unit_pixels(
            torch.tensor([-40.0, 900.0]).expand(2, 3, 4, 2), Network("net", "function", lambda *_: None)
        )


def test_a_missing_normalisation_is_found_by_its_accuracy_and_nothing_is_changed():
    ready = prepared(wrong.Window(0.5, 0.5))
    ((level, text),) = found(ready, "normalisation")
    assert level == "warning" and "normalisation is missing. Nothing was changed" in text
    assert "25% on 64 images, but with the normalisation to [-1, 1] (--mean 0.5,0.5,0.5 --std 0.5,0.5,0.5) 100%" in text
    assert accuracy(ready) == 0.25 and ready.normalisation == ("none", (0.0,) * 3, (1.0,) * 3)
    assert ready.labelled and not found(ready, "accuracy")  # one cause is enough: the labels are right
    told = Options(None, None, (0.5,) * 3, (0.5,) * 3, None)
    held = prepared(wrong.Window(0.5, 0.5), mean=told.mean, std=told.std, options=told)
    assert accuracy(held) == 1.0 and not found(held, "normalisation")


def test_a_network_of_pixels_of_0_to_255_is_found():
    ready = prepared(wrong.Window(0, 1 / 255))
    ((_, text),) = found(ready, "normalisation")
    assert "wants pixels 0..255" in text and accuracy(ready) == 0.25


def test_a_normalisation_that_is_none_of_the_trials_is_not_put_right_by_the_best_of_them():
    module = wrong.Window(0.1, 1 / 255, most_green=0.4)  # pixels 0..255 less a mean
    ready = prepared(module)
    ((level, text),) = found(ready, "normalisation")
    tried, (low, _, _) = 0.62, ready.normalisation[1]
    assert level == "warning" and f"(--mean 0,0,0 --std 0.003922,0.003922,0.003922) {tried:.0%}" in text
    assert low == 0 and accuracy(ready) == 0.25  # a trial is far better than none, and far from right
    assert accuracy(prepared(module, mean=(0.1,) * 3, std=(1 / 255,) * 3)) == 1.0


def test_trials_that_are_as_right_as_each_other_are_all_named():
    _, mean, std = normalisation.COLOURS[0]
    ((_, text),) = found(prepared(wrong.Window(mean, std)), "normalisation")
    assert all(f"{name} (--mean" in text for name in ("ImageNet's", "CIFAR-10's", "to [-1, 1]"))
    assert text.count("100%") == 3


@pytest.mark.parametrize("module", [wrong.Window(0, 1), wrong.Then(nn.BatchNorm2d(3).eval())], ids=["window", "layer"])
def test_a_network_that_normalises_by_itself_is_left_alone(module):
    ready = prepared(module)
    assert not found(ready, "normalisation") and ready.normalisation[0] == "none" and accuracy(ready) == 1.0


def test_without_labels_a_normalisation_that_makes_the_network_sure_of_one_class_is_not_called_better():
    ready = prepared(wrong.Unsure(), labelled=False)
    assert float(ready.logits.softmax(1).amax(1).mean()) < 0.8 and not found(ready, "normalisation")
    ((_, text),) = found(prepared(wrong.Window(0, 1 / 255), labelled=False), "normalisation")
    assert "mean largest probability is" in text and "0..255 (--mean 0,0,0" in text


def test_a_normalisation_that_is_made_twice_is_found_and_left_to_the_user():
    _, mean, std = normalisation.COLOURS[0]
    ready = prepared(wrong.Window(0, 1), mean=mean, std=std, normalisation="--mean and --std")
    ((level, text),) = found(ready, "normalisation")
    assert level == "warning" and "makes it twice" in text and "none (--mean 0,0,0 --std 1,1,1) 100%" in text
    assert ready.normalisation[1] == pytest.approx(mean)


@pytest.mark.parametrize("name", ["to [-1, 1]", "CIFAR-10's", "ImageNet's"])
def test_the_normalisation_that_leaves_whole_grey_levels_is_undone(name):
    x = torch.randint(40, 216, (8, 3, 4, 4), generator=torch.Generator().manual_seed(0)) / 255
    mean, std = next((m, s) for trial, m, s in normalisation.COLOURS if trial == name)
    back, (finding,) = normalisation.unit_pixels(normalised(x, mean, std), network())
    torch.testing.assert_close(back, x, atol=1e-5, rtol=0)
    assert finding.level == "changed" and f"({name} " in finding.text


def test_pixels_that_several_normalisations_may_have_made_are_refused():
    x = 0.01 + 0.98 * torch.rand(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=r"got -.*which ImageNet's and CIFAR-10's and to \[-1, 1\] mean and std fit"):
        normalisation.unit_pixels(normalised(x, (0.5,) * 3, (0.5,) * 3), network())


def normalised(x, mean, std):
    return (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def network():
    return Network("net", "function", lambda *_: None)


def test_of_a_slow_network_fewer_images_are_taken_and_said_so(monkeypatch):
    monkeypatch.setattr(preflight, "_outputs", lambda *_: (0.25, []))  # seconds
    ready = prepared(wrong.Quadrants())  # in a profile of 60 s, a tenth of them for all images
    assert len(ready.pixels) == 24 and accuracy(ready) == 1.0
    assert ("note", "24 of 64 images are taken: a forward pass of one takes 0.25 s. More: --minutes.") in found(
        ready, "images"
    )


def test_red_and_blue_exchanged_are_found():
    module = wrong.Then(before=lambda x: x.flip(1))
    ((level, text),) = found(prepared(module), "colours")
    assert level == "warning" and text.endswith("--bgr")
    assert accuracy(prepared(module, options=Options(None, None, None, None, None, bgr=True))) == 1.0


def test_another_size_than_the_network_takes_is_refused_with_the_sizes_it_takes():
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4))
    with pytest.raises(
        ValueError, match="expected a network that takes 3 x 16 x 16 pixels; it takes 32: give --size 32"
    ):
        prepared(module)


def test_images_that_are_enlarged_for_the_network_are_named_with_their_cut_off():
    ready = prepared(wrong.Quadrants(), size=(64, 64))
    ((level, text),) = found(ready, "size")
    assert level == "warning" and "nothing from about shell 16 of 64 on" in text


def test_a_low_pass_before_the_network_is_found_with_its_cut_off():
    shown, _ = natural(32)
    ready = prepared(wrong.Quadrants(), pixels=shown)
    ((level, text),) = found(ready, "bands")
    assert level == "warning" and abs(ready.cutoff - 32) <= 3 and f"shell {ready.cutoff} of 64" in text
    assert found(prepared(wrong.Quadrants(), pixels=natural(64)[0]), "bands") == []


def natural(kept, n=64):
    """Images of 64 pixels whose spectrum falls as the inverse of the frequency, up to the shell `kept`."""
    from spectroscope.frequency.spectrum import idct2, shells

    shell = shells(64, 64)
    noise = torch.randn(n, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    x = idct2(noise / shell.clamp_min(1) * (shell < kept))
    return (0.5 + x * 0.5).clamp(0, 1), None


def test_jpeg_before_the_network_is_found_with_its_quality_and_colour(tmp_path):
    from PIL import Image

    x, _ = wrong.images(32)
    for row, image in enumerate(x):
        Image.fromarray((image * 255).byte().permute(1, 2, 0).numpy()).save(tmp_path / f"{row}.jpg", quality=75)
    ready = preflight.prepare(
        Network("net", "function", lambda *_: wrong.Quadrants()), choose(str(tmp_path), 32, 0), NONE, 60.0
    )
    ((level, text),) = found(ready, "jpeg")
    assert (
        level == "warning"
        and "quality 75" in text
        and "100% store colour at half" in text
        and "from shell 8 on" in text
    )


def test_a_wrong_order_of_classes_is_told_from_a_bad_network():
    module = wrong.Then(after=lambda y: y.roll(1, 1))
    ready = prepared(module)
    ((level, text),) = found(ready, "order")
    assert level == "warning" and "in another order it is 100%" in text
    assert not ready.labelled and accuracy(ready) == 1.0  # its own predictions from here on
    named = prepared(module, classes=("d", "a", "b", "c"))
    assert found(named, "order") == [] and named.labelled and accuracy(named) == 1.0


def test_a_network_at_chance_is_profiled_by_its_own_prediction():
    module = wrong.Then(after=lambda y: 0.01 * (y - y.amax(1, keepdim=True)).cumsum(1).abs() + torch.eye(4)[0])
    ready = prepared(module)
    ((level, text),) = found(ready, "accuracy")
    assert level == "warning" and "no better than chance" in text and not ready.labelled


def test_that_random_weights_are_at_chance_is_no_second_warning():
    ready = prepared(wrong.Then(after=lambda y: y.roll(1, 1)), random=True)
    assert [f.check for f in ready.findings if f.level == "warning"] == ["weights"] and not ready.labelled


def test_classes_that_the_network_does_not_know_leave_the_labels_out():
    ready = prepared(wrong.Quadrants(), classes=("p", "q", "r", "s"))
    (first, _) = found(ready, "labels")
    assert first[0] == "warning" and first[1].startswith(
        "4 of 4 classes of the images (a, b, c, ...) are none of the 4 outputs. The labels are left out"
    )
    assert first[1].endswith("--classes FILE") and not ready.labelled


def test_without_labels_the_networks_own_prediction_is_profiled_and_said_so():
    ready = prepared(wrong.Quadrants(), labelled=False)
    assert "own prediction" in found(ready, "labels")[0][1]
    assert ready.labels.equal(ready.logits.argmax(1)) and not ready.labelled


def test_a_forward_that_changes_its_input_is_found_and_the_pixels_stay():
    x, _ = wrong.images()
    ready = prepared(wrong.Then(before=lambda x: x.mul_(0.5)), pixels=x.clone())
    ((level, _),) = found(ready, "input")
    assert level == "changed" and ready.pixels.equal(x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16], ids=str)
def test_weights_of_another_precision_are_converted(dtype):
    ready = prepared(wrong.Quadrants(dtype))
    ((level, text),) = found(ready, "weights")
    assert level == "changed" and str(dtype).removeprefix("torch.") in text
    assert ready.logits.dtype == torch.float32


def test_a_network_that_gives_every_image_the_same_outputs_is_refused():
    with pytest.raises(
        ValueError, match="outputs that differ between images, got the same for all 64: a layer of zeros"
    ):
        prepared(wrong.Then(after=lambda y: 0 * y))

"""What a GPU is to give: the same training twice, the CPU's accuracies, and smaller batches where memory is short."""

import sys

import pytest
import torch
import trainings

from spectroscope.models import inference
from spectroscope.pipeline import machine, memory, passes, weights
from spectroscope.pipeline.memory import BatchSize

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
WIDE = 2**22  # bytes of activations an image takes in the network of the last test


@pytest.fixture(autouse=True)
def _deterministic():
    machine.set_deterministic()
    yield
    torch.use_deterministic_algorithms(False)


def trained(device, signal=0.5):
    model = trainings.network().to(device)
    trainings.fit(model, images=trainings.bright_or_dark(signal=signal), epochs=3)
    return model.eval()


def test_the_same_training_twice_gives_the_same_bytes():
    one, other = (
        weights.digest_of({name: value.cpu().contiguous() for name, value in trained("cuda").state_dict().items()})
        for _ in range(2)
    )
    assert one == other


def test_accuracies_of_cpu_and_gpu_agree():
    images = trainings.bright_or_dark(400, signal=0.1)
    model = trained("cpu", signal=0.1)
    with torch.no_grad():
        on_cpu = model(images.pixels).argmax(1)
        on_gpu = inference.predict(model.to("cuda"), images.pixels)
    assert (on_cpu == on_gpu).float().mean() > 0.99
    accuracies = [trainings.accuracy(trained(device).cpu(), images.pixels, images.labels) for device in ("cpu", "cuda")]
    assert accuracies == pytest.approx([accuracies[0]] * 2, abs=0.05)


def test_batches_that_a_small_gpu_memory_does_not_hold_are_halved(monkeypatch, capsys):
    monkeypatch.setattr(memory, "_fitting", BatchSize(sys.maxsize))
    monkeypatch.setattr(passes, "forward_batch_size", lambda *_: 1024)
    images = torch.rand(1024, 1, 8, 8)

    def model(x):  # (N, 1, 8, 8) -> (N, 2), through WIDE bytes an image
        wide = x.flatten(1)[:, :2].repeat(1, WIDE // 8)
        return torch.stack([wide[:, 0], wide[:, 1]], 1).clone()

    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(256 * WIDE / total)  # a quarter of what 1,024 images take
    try:
        logits = inference.logits(model, images)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert torch.equal(logits, images.flatten(1)[:, :2])
    assert capsys.readouterr().err.startswith("memory ran out with 1024 images in one pass: from here on ")

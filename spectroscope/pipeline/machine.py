"""The machine and the start of randomness: device, batch size, seeds. Recorded with results, never parameters."""

import platform

import torch


def device() -> torch.device:
    """The first CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def forward_batch_size() -> int:
    """Images in one forward pass: on a CPU 64, which fit its cache and took half the time of 256."""
    return 64 if device().type == "cpu" else 1024


def seed(value: int) -> None:
    """Seed torch's global generator, from which libraries without a generator argument draw. Nothing else does."""
    torch.manual_seed(value)


def generator(*keys: int) -> torch.Generator:
    """A CPU generator seeded by a sequence of integers >= 0, such as (seed, epoch, image).

    Different sequences of up to three keys below a million give different seeds. ValueError for a negative key.
    """
    state = 0
    for key in keys:
        if key < 0:
            raise ValueError(f"expected a seed >= 0, got {key}")
        state = (state * 1_000_003 + key + 1) % (2**63 - 25)
    return torch.Generator().manual_seed(state)


def describe() -> dict[str, str | int]:
    """Device, number of threads and version of torch, to be recorded with a result."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine() + " CPU"
    return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}

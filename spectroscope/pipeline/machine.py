"""What the machine offers and where randomness starts: recorded with results, never a parameter."""

import platform

import torch


def device() -> torch.device:
    """The first CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def forward_batch_size() -> int:
    """Images in one forward pass that suit the device: on a CPU what its cache holds (64 took half the time of 256)."""
    return 64 if device().type == "cpu" else 1024


def seed(value: int) -> None:
    """Seed torch's global generator: the only line that does (libraries that take no generator draw from it)."""
    torch.manual_seed(value)


def generator(*keys: int) -> torch.Generator:
    """A CPU generator for this sequence of non-negative integers.

    Different sequences, of up to three keys below a million, give unrelated streams.
    """
    state = 0
    for key in keys:
        if key < 0:
            raise ValueError(f"expected a seed >= 0, got {key}")
        state = (state * 1_000_003 + key + 1) % (2**63 - 25)
    return torch.Generator().manual_seed(state)


def describe() -> dict[str, str | int]:
    """Device, threads and versions that made a result."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine() + " CPU"
    return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}

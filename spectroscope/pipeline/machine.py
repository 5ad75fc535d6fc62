"""The machine and the start of randomness: device, threads, seeds. Recorded with results, never parameters."""

import os
import platform

import torch

from spectroscope.pipeline import resources


def device() -> torch.device:
    """The first CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def check_threads(wanted: int | None) -> None:
    """ValueError when training.threads asks for more threads than this process may run at once; None asks for none."""
    there = resources.cores()
    if wanted is not None and wanted > there:
        raise ValueError(f"training.threads: expected at most {there}, the cores of this machine, got {wanted}")


def set_threads(wanted: int | None) -> None:
    """This many threads of torch for the rest of the process, whatever OMP_NUM_THREADS says; None changes nothing.

    ValueError as for `check_threads`.
    """
    check_threads(wanted)
    if wanted is not None:
        torch.set_num_threads(wanted)


def set_deterministic() -> None:
    """On a GPU kernels that repeat their sums in the same order: the same work twice gives the same bits.

    Called before the first work on the GPU. torch warns of a layer that has no such kernel. Nothing changes on a CPU.
    """
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS may add in another order
        torch.use_deterministic_algorithms(True, warn_only=True)


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

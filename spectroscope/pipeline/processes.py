"""Several processes at one stage: one for each GPU, or as many as the environment asks for.

A stage starts them itself, so that its command, which DVC tracks, stays the same on every machine. They are told who
they are by the variables that torchrun sets (RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT), or by srun's
SLURM_PROCID, SLURM_LOCALID and SLURM_NTASKS. A process alone is the first of one, and nothing here waits or sends.
"""

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

COUNT = "SPECTROSCOPE_PROCESSES"  # how many; else one for each GPU, or one
LAUNCHER = "SPECTROSCOPE_LAUNCHER"  # a command that starts them, such as `srun --ntasks=8`; else this module does
MEMBER = "SPECTROSCOPE_MEMBER"  # set for the processes that were started
_SLURM = {"RANK": "SLURM_PROCID", "LOCAL_RANK": "SLURM_LOCALID", "WORLD_SIZE": "SLURM_NTASKS"}
_MEETING = ("MASTER_ADDR", "MASTER_PORT")
Item = TypeVar("Item")


def rank() -> int:
    """Number of this process, 0 for the first or only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """Number of processes at this stage."""
    return dist.get_world_size() if dist.is_initialized() else 1


def wait() -> None:
    """Until every process has come here."""
    if dist.is_initialized():
        dist.barrier()


def my_items(items: Sequence[Item]) -> Sequence[Item]:
    """The items that fall to this process: every world-th, so that neighbours of different cost are spread."""
    return items[rank() :: world()]


def shard(n: int) -> tuple[slice, float]:
    """This process's part of n neighbours and its weight in their mean; the weights of all processes sum to 1.

    Fewer items than processes go to every process whole, since each must take part in what the others wait for.
    """
    if n < world():
        return slice(0, n), 1 / world()
    first, end = n * rank() // world(), n * (rank() + 1) // world()
    return slice(first, end), (end - first) / n


def batch_per_process(n: int, most: int) -> int:
    """How many of n images to take at once, at most `most`, so that no process is left without any.

    ValueError when there are more processes than images.
    """
    if n < world():
        raise ValueError(f"expected at least {world()} images, one a process, got {n}")
    return min(most, -(-n // world()))


def all_reduce_(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its sum over all processes, in one message."""
    if world() == 1:
        return
    tensors = list(tensors)
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    for tensor, summed in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(summed.view_as(tensor))


def broadcast_(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by the one of the first process."""
    if world() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, 0)


class Sum(torch.autograd.Function):
    """The sum of a tensor over all processes, differentiable any number of times: the gradient is summed as well."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return Sum.apply(gradient.contiguous())


def process_count() -> int:
    """How many processes a stage should have on this machine; ValueError where the environment says no number."""
    text = os.environ.get(COUNT, "")
    if not text:
        return max(1, torch.cuda.device_count())
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"{COUNT}: expected a number of processes >= 1, got {text!r}")
    return int(text)


@contextmanager
def in_every_process(module: str, words: Sequence[str]) -> Iterator[None]:
    """Run the block in every process of the stage `python -m module words`.

    The process that dvc started runs the block itself where it is to be the only one. Else it starts the others, waits
    for them and raises SystemExit with their exit code.
    """
    if MEMBER not in os.environ:
        command = [sys.executable, "-m", module, *words]
        if LAUNCHER in os.environ:
            environment = {**os.environ, MEMBER: "1"}
            raise SystemExit(subprocess.run([*shlex.split(os.environ[LAUNCHER]), *command], env=environment).returncode)
        if process_count() > 1:
            raise SystemExit(_start(command, process_count()))
        yield
        return
    for name, slurm in _SLURM.items():
        if slurm in os.environ:
            os.environ.setdefault(name, os.environ[slurm])
    _join()
    try:
        yield
    except SystemExit as end:
        if not end.code:  # a process in trouble leaves at once: the others are ended for it
            wait()  # a fast process that left would look like one that fell over
            dist.destroy_process_group()
        raise


def _join() -> None:
    """Meet the other processes; on GPUs take the one of this process's number on its machine."""
    gpus, missing = torch.cuda.device_count(), [name for name in (*_SLURM, *_MEETING) if name not in os.environ]
    if missing:
        raise ValueError(f"{LAUNCHER}: expected it to set {' and '.join(missing)}, got none")
    if gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % gpus)
    dist.init_process_group("nccl" if gpus else "gloo", timeout=timedelta(hours=1))
    wait()


def _start(command: list[str], n: int) -> int:
    """Start n processes on this machine; the exit code of the first that failed, once the others are ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threads = max(1, (os.cpu_count() or 1) // n)
    shared = {MEMBER: "1", "WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared = {"OMP_NUM_THREADS": str(threads), **os.environ, **shared}
    members = [
        subprocess.Popen(command, env={**shared, "RANK": str(number), "LOCAL_RANK": str(number)}) for number in range(n)
    ]
    try:
        codes = [member.poll() for member in members]
        while None in codes and not any(codes):
            time.sleep(0.1)
            codes = [member.poll() for member in members]
        return next((code for code in codes if code), 0)
    finally:
        for member in members:
            member.kill()
            member.wait()

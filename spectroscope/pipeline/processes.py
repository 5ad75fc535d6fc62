"""Several processes for one stage: one for each GPU, or the number that the environment sets.

A stage starts its processes itself, so that its command, which DVC tracks, is the same on every machine. Each process
reads its number and the number of processes from the variables of torchrun (RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR,
MASTER_PORT) or of srun (SLURM_PROCID, SLURM_LOCALID, SLURM_NTASKS). In a single process no function here communicates.
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
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from spectroscope.pipeline import resources

COUNT = "SPECTROSCOPE_PROCESSES"  # number of processes; default: one for each GPU, at least one
LAUNCHER = "SPECTROSCOPE_LAUNCHER"  # a command that starts them, such as `srun --ntasks=8`; default: this module
MEMBER = "SPECTROSCOPE_MEMBER"  # set in the processes that were started
_SLURM_NAMES = {"RANK": "SLURM_PROCID", "LOCAL_RANK": "SLURM_LOCALID", "WORLD_SIZE": "SLURM_NTASKS"}
_RENDEZVOUS = ("MASTER_ADDR", "MASTER_PORT")
Item = TypeVar("Item")


def rank() -> int:
    """Number of this process: 0 for the first or only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes of this stage."""
    return dist.get_world_size() if dist.is_initialized() else 1


def barrier() -> None:
    """Wait until every process has called this."""
    if dist.is_initialized():
        dist.barrier()


def my_items(items: Sequence[Item]) -> Sequence[Item]:
    """Every W-th item, from this process's rank on (W = number of processes).

    Neighbours often cost alike, so strides balance the load better than blocks.
    """
    return items[rank() :: world_size()]


def shard(n: int) -> tuple[slice, float]:
    """This process's block of n items, and the block's weight in a mean over all items; the weights sum to 1.

    With fewer items than processes every process gets all items, since each must take part in all-reduces.
    """
    if n < world_size():
        return slice(0, n), 1 / world_size()
    first, end = n * rank() // world_size(), n * (rank() + 1) // world_size()
    return slice(first, end), (end - first) / n


def batch_per_process(n: int, most: int) -> int:
    """Batch size that cuts n images into at least one batch a process: the same in all of them, at most any's `most`.

    Every process calls this. ValueError when there are more processes than images.
    """
    if n < world_size():
        raise ValueError(f"expected at least {world_size()} images, one a process, got {n}")
    if dist.is_initialized():
        smallest = torch.tensor(most, device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(smallest, dist.ReduceOp.MIN)
        most = int(smallest)
    return min(most, -(-n // world_size()))  # rounded up


def all_reduce_(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its sum over all processes, in one message."""
    if world_size() == 1:
        return
    tensors = list(tensors)
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(total.view_as(tensor))


def broadcast_(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by that of process 0."""
    if world_size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, 0)


class AllReduceSum(torch.autograd.Function):
    """Sum of a tensor over all processes, differentiable any number of times: its gradient is again an all-reduce."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return AllReduceSum.apply(gradient.contiguous())


def process_count() -> int:
    """Number of processes that a stage starts on this machine; ValueError when COUNT is set to something else."""
    text = os.environ.get(COUNT, "")
    if not text:
        return max(1, torch.cuda.device_count())
    if not text.isdecimal() or len(text) > 6 or int(text) < 1:
        raise ValueError(f"{COUNT}: expected a number of processes >= 1, got {text!r}")
    return int(text)


@contextmanager
def in_every_process(module: str, arguments: Sequence[str]) -> Iterator[None]:
    """Run the block in every process of the stage `python -m module arguments`.

    The process that dvc started runs the block itself if it is to be the only one. Otherwise it starts the others,
    waits for them and raises SystemExit with their exit code.
    """
    if not os.environ.get(MEMBER):
        command = [sys.executable, "-m", module, *arguments]
        if os.environ.get(LAUNCHER, "").strip():
            environment = {**os.environ, MEMBER: "1"}
            raise SystemExit(subprocess.run([*shlex.split(os.environ[LAUNCHER]), *command], env=environment).returncode)
        if process_count() > 1:
            raise SystemExit(_run_processes(command, process_count()))
        yield
        return
    for name, slurm_name in _SLURM_NAMES.items():
        if slurm_name in os.environ:
            os.environ.setdefault(name, os.environ[slurm_name])
    _join_process_group()
    try:
        yield
    except SystemExit as end:
        # A process that fails exits at once: its launcher ends the others, who would wait for it.
        if not end.code and dist.is_initialized():
            barrier()  # a fast process that left early would look to the others like a lost connection
            dist.destroy_process_group()
        raise


def _join_process_group() -> None:
    """Connect to the other processes, if there are any; process r of a machine uses GPU r."""
    alone = os.environ.get("WORLD_SIZE") == "1"  # many such may run at once, so they share no port
    rendezvous = () if alone else _RENDEZVOUS
    missing = [name for name in (*_SLURM_NAMES, *rendezvous) if name not in os.environ]
    if missing:
        raise ValueError(f"{LAUNCHER}: expected it to set {' and '.join(missing)}, got none")
    for name in (*_SLURM_NAMES, *rendezvous):
        if name != "MASTER_ADDR" and not os.environ[name].isdecimal():
            raise ValueError(f"{name}: expected a number, which the launcher sets, got {os.environ[name]!r}")
    gpus = torch.cuda.device_count()
    if gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % gpus)
    if alone:
        return
    dist.init_process_group("nccl" if gpus else "gloo", timeout=timedelta(hours=1))
    barrier()


def _run_processes(command: list[str], n: int) -> int:
    """Run the command in n processes of this machine; the first exit code that is not 0 ends all, and is returned."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threads = max(1, resources.cores() // n)
    shared = {MEMBER: "1", "WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared = {"OMP_NUM_THREADS": str(threads), **os.environ, **shared}
    children = [
        subprocess.Popen(command, env={**shared, "RANK": str(number), "LOCAL_RANK": str(number)}) for number in range(n)
    ]
    try:
        codes = [child.poll() for child in children]
        while None in codes and not any(codes):
            time.sleep(0.1)
            codes = [child.poll() for child in children]
        return next((code for code in codes if code), 0)
    finally:
        for child in children:
            child.kill()
            child.wait()

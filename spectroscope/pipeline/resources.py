"""Cores and memory that this process may use. Without torch, whose import takes seconds of the driver's start."""

import os
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")  # control groups of Linux: a container or a job of SLURM may use less than its machine
OWN_GROUP = Path("/proc/self/cgroup")


def cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """Bytes that this process may still take: of its machine, or of its control group where that leaves less."""
    import psutil  # here, since its import takes a tenth of a second

    return min([psutil.virtual_memory().available, *_left_in_groups()])


def _left_in_groups() -> list[int]:
    """Bytes that the control group of this process and those around it leave; none elsewhere than on Linux."""
    lines = OWN_GROUP.read_text().splitlines() if OWN_GROUP.exists() else []
    own = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")
    folder = GROUPS / own.lstrip("/")
    found = []
    for group in (folder, *folder.parents):
        if not group.is_relative_to(GROUPS):
            break
        try:
            limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
            kept = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # no such file, or no limit (`max`)
            continue
        files = int(kept.get("active_file", 0)) + int(kept.get("inactive_file", 0))  # given up when memory is needed
        found.append(max(0, limit - used + files))
    return found

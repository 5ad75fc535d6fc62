"""Files of every kind: the same content gives the same bytes, a damaged file is named, a failed writer leaves none."""

import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from spectroscope.pipeline import io

ROOT = Path(__file__).parents[2]
GARBAGE = bytes(range(256)) * 8


def network(seed=0, width=4):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(width * 6, 3))


IMAGES = io.Images(
    torch.rand(400, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.arange(400) % 3, ("ant", "bee", "cat")
)
WRITERS = {
    "images.parquet": lambda path: io.write_images(path, IMAGES),
    "table.parquet": lambda path: io.write_table(path, pd.DataFrame({"x": np.random.default_rng(0).random(20_000)})),
    "table.csv": lambda path: io.write_table(path, pd.DataFrame({"x": np.random.default_rng(0).random(20_000)})),
    "metrics.json": lambda path: io.write_json(path, list(range(20_000))),
    "page.html": lambda path: io.write_text(path, "x" * 100_000),
    "seed0.safetensors": lambda path: io.write_weights(path, network(width=512)),
}
READERS = {
    "images.parquet": io.read_images,
    "facts.parquet": io.read_facts,
    "table.parquet": io.read_table,
    "table.csv": io.read_table,
    "metrics.json": io.read_json,
    "seed0.safetensors": lambda path: io.read_weights(path, network()),
}


@contextmanager
def disk_of(n_bytes):
    """A machine on which no file can grow beyond `n_bytes`."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


# ---- missing and damaged files


@pytest.mark.parametrize("name", READERS)
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(ValueError, match=rf"{tmp_path}/{name}: expected .* found (none|no file)"):
        READERS[name](tmp_path / name)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", [b"", GARBAGE], ids=["empty", "garbage"])
def test_a_file_of_something_else_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{tmp_path}/{name}: expected .*damaged"):
        READERS[name](tmp_path / name)


@pytest.mark.parametrize("name", ["images.parquet", "table.parquet", "seed0.safetensors"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_named(tmp_path, name, share):
    WRITERS[name](tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=rf"{tmp_path}/{name}: expected .*damaged"):
        READERS[name](tmp_path / name)


@pytest.mark.parametrize("name", ["images.parquet", "table.parquet", "seed0.safetensors"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6])
def test_one_wrong_byte_among_the_pixels_or_numbers_is_found(tmp_path, name, share):
    WRITERS[name](tmp_path / name)
    content = bytearray((tmp_path / name).read_bytes())
    content[int(share * len(content))] ^= 0x10
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{tmp_path}/{name}: expected .*damaged"):
        READERS[name](tmp_path / name)


def test_every_wrong_byte_among_weights_is_found_with_the_command_that_mends_it(tmp_path):
    file = tmp_path / "seed0.safetensors"
    io.write_weights(file, network())
    whole = file.read_bytes()
    values = 8 + int.from_bytes(whole[:8], "little")  # after the length of the header and the header
    assert len(whole) - values > 100
    for place in range(values, len(whole), len(whole) // 50):
        content = bytearray(whole)
        content[place] ^= 0x01
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"damaged.*remove it, then `dvc checkout` restores it, or `dvc repro`"):
            READERS[file.name](file)


# ---- writers: whole or not at all


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_content_gives_the_same_bytes_under_any_name(tmp_path, name):
    first, second = tmp_path / name, tmp_path / "elsewhere" / f"other{Path(name).suffix}"
    WRITERS[name](first), WRITERS[name](second)
    assert first.read_bytes() == second.read_bytes()
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == [name]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("old", [None, b"good"])
def test_a_full_disk_leaves_the_earlier_file_or_none(tmp_path, name, old):
    if old is not None:
        (tmp_path / name).write_bytes(old)
    with pytest.raises(OSError, match=rf"{tmp_path}/{name}: expected to write this file"), disk_of(2000):
        WRITERS[name](tmp_path / name)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == ({name: old} if old else {})


KILLED = """
import sys, time
from pathlib import Path
from spectroscope.pipeline import io
from spectroscope.pipeline.arrays import ROWS_PER_GROUP
import pandas as pd, pyarrow.parquet as pq, torch

def hang(writer, *arguments):
    write(writer, *arguments)
    print("inside", flush=True)
    time.sleep(600)

write, pq.ParquetWriter.write_table = pq.ParquetWriter.write_table, hang
folder, n = Path(sys.argv[1]), 2 * ROWS_PER_GROUP
with io.replacing(folder / "old.bin") as temporary:
    temporary.write_bytes(b"half")
    io.write_arrays(folder / "new.parquet", torch.rand(n, 64), pd.DataFrame({"image": range(n)}))
"""


def test_a_kill_in_mid_write_leaves_the_earlier_file_or_none(tmp_path):
    (tmp_path / "old.bin").write_bytes(b"good")
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "inside\n"
        os.kill(writer.pid, signal.SIGKILL)
    assert writer.returncode == -signal.SIGKILL
    assert (tmp_path / "old.bin").read_bytes() == b"good" and not (tmp_path / "new.parquet").exists()
    left = [file for file in tmp_path.iterdir() if file.name != "old.bin"]
    assert len(left) == 2 and all(file.name.startswith(".") and file.suffix == ".part" for file in left)

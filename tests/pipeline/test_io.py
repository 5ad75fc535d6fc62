"""Files: what is written is read back, the same content gives the same bytes, and a broken writer leaves nothing."""

import errno
import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from spectroscope.pipeline import io

ROOT = Path(__file__).parents[2]
GARBAGE = bytes(range(256)) * 8


def images(n=7, dtype=torch.float32, shape=(3, 4, 5), seed=0):
    """Images with negative values where the type has them."""
    random = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (n, *shape), generator=random)
    pixels = pixels.to(torch.uint8) if dtype == torch.uint8 else pixels / 128 - 1
    return io.Images(pixels, torch.arange(n) % 3, ("ant", "bee", "cat"))


def network(seed=0, width=4):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(width * 6, 3))


WRITERS = {
    "images.parquet": lambda path: io.write_images(path, images(400, shape=(3, 16, 16))),
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


# ---- images


@pytest.mark.parametrize("n", [1, 7, io.ROWS_PER_GROUP, 2 * io.ROWS_PER_GROUP + 3])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_arrays_come_back_as_they_were_over_any_number_of_row_groups(tmp_path, n, dtype):
    written = images(n, dtype)
    table = pd.DataFrame({"image": range(n), "success": [row % 2 == 0 for row in range(n)], "l2": np.arange(n) / 3})
    io.write_arrays(tmp_path / "a.parquet", written.pixels, table, source="here", units=[1, None])
    pixels, found, facts = io.read_arrays(tmp_path / "a.parquet")
    assert pixels.dtype == dtype and torch.equal(pixels, written.pixels)
    pd.testing.assert_frame_equal(found, table)
    assert facts == {"source": "here", "units": [1, None]}


@pytest.mark.parametrize("rows_per_group", [100, 1500, 5000])
def test_arrays_in_row_groups_of_another_size_are_read(tmp_path, monkeypatch, rows_per_group):
    written = images(3000)
    with monkeypatch.context() as patch:
        patch.setattr(io, "ROWS_PER_GROUP", rows_per_group)
        io.write_images(tmp_path / "a.parquet", written)
    found = io.read_images(tmp_path / "a.parquet")
    assert torch.equal(found.pixels, written.pixels) and torch.equal(found.labels, written.labels)


def test_float_images_keep_their_negative_values(tmp_path):
    written = images()
    assert written.pixels.min() < 0
    io.write_images(tmp_path / "a.parquet", written)
    found = io.read_images(tmp_path / "a.parquet")
    assert torch.equal(found.pixels, written.pixels) and torch.equal(found.labels, written.labels)
    assert found.classes == written.classes and found.labels.dtype == torch.int64


def test_uint8_images_are_scaled_once(tmp_path):
    written = images(dtype=torch.uint8)
    io.write_images(tmp_path / "a.parquet", written)
    assert torch.equal(io.read_images(tmp_path / "a.parquet").pixels, written.pixels.float() / 255)


@pytest.mark.parametrize("view", ["rows", "mirrored", "channels_last", "transposed"])
def test_the_memory_layout_of_a_tensor_does_not_matter(tmp_path, view):
    whole = images(9).pixels
    part = {
        "rows": whole[2:8:2],
        "mirrored": whole.flip(-1)[..., 1:],
        "channels_last": whole.to(memory_format=torch.channels_last),
        "transposed": whole.mT,
    }[view]
    io.write_arrays(tmp_path / "a.parquet", part, pd.DataFrame({"image": range(len(part))}))
    assert torch.equal(io.read_arrays(tmp_path / "a.parquet")[0], part)


def test_no_images_are_a_file_too(tmp_path):
    io.write_images(tmp_path / "a.parquet", images(0), source="here")
    found = io.read_images(tmp_path / "a.parquet")
    assert found.pixels.shape == (0, 3, 4, 5) and len(found) == 0 and found.classes == ("ant", "bee", "cat")
    assert io.read_facts(tmp_path / "a.parquet") == {"source": "here"}


def test_pandas_reads_images(tmp_path):
    written = images()
    io.write_images(tmp_path / "a.parquet", written)
    table = pd.read_parquet(tmp_path / "a.parquet")
    assert table["label"].tolist() == written.labels.tolist()
    found = np.stack([np.frombuffer(row, np.float32).reshape(3, 4, 5) for row in table["pixels"]])
    np.testing.assert_array_equal(found, written.pixels.numpy())


def test_what_is_read_can_be_changed_without_changing_the_file(tmp_path):
    io.write_images(tmp_path / "a.parquet", images())
    before = (tmp_path / "a.parquet").read_bytes()
    found = io.read_images(tmp_path / "a.parquet")
    found.pixels.zero_(), found.labels.zero_()
    assert (tmp_path / "a.parquet").read_bytes() == before


def test_facts_leave_out_what_the_reader_knows(tmp_path):
    io.write_images(tmp_path / "a.parquet", images(), digest="abc")
    assert io.read_facts(tmp_path / "a.parquet") == {"digest": "abc"}


def test_head_takes_the_first_images_or_complains():
    whole = images(5)
    assert torch.equal(whole.head(2).pixels, whole.pixels[:2]) and len(whole.head(5)) == 5
    with pytest.raises(ValueError, match="expected at least 6 images, got 5"):
        whole.head(6)


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_out_of_range_name_the_file(tmp_path, label):
    faulty = images(4)
    faulty.labels[2] = label
    io.write_images(tmp_path / "a.parquet", faulty)
    with pytest.raises(ValueError, match=r"a\.parquet: expected labels 0\.\.2, got (-1\.\.1|0\.\.3)"):
        io.read_images(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("pixels", "rows", "message"),
    [
        (torch.zeros(3, 2), 2, "a.parquet: expected one table row for each of 3 arrays, got 2"),
        (torch.zeros(3, 2).double(), 3, "a.parquet: expected uint8 or float32 arrays, got torch.float64"),
    ],
)
def test_arrays_that_cannot_be_kept_are_refused(tmp_path, pixels, rows, message):
    with pytest.raises(ValueError, match=message):
        io.write_arrays(tmp_path / "a.parquet", pixels, pd.DataFrame({"image": range(rows)}))
    assert not any(tmp_path.iterdir())


def chunk(n, seed, **columns):
    change = torch.randn(n, 2, 3, 4, generator=torch.Generator().manual_seed(seed))
    return change, pd.DataFrame({"image": range(n), "part": "", "leak": float("nan"), **columns})


def test_chunks_read_back_as_one(tmp_path):
    chunks = [chunk(5, 0), chunk(5, 1), chunk(2, 2)]
    io.write_chunks(tmp_path / "a" / "cell.parquet", iter(chunks))
    change, table, facts = io.read_arrays(tmp_path / "a" / "cell.parquet")
    assert torch.equal(change, torch.cat([part for part, _ in chunks])) and facts == {}
    pd.testing.assert_frame_equal(table, pd.concat([rows for _, rows in chunks], ignore_index=True))
    with pq.ParquetFile(tmp_path / "a" / "cell.parquet") as file:
        assert [file.metadata.row_group(place).num_rows for place in range(file.num_row_groups)] == [5, 5, 2]
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["cell.parquet"]


def test_only_the_chunk_at_hand_is_held(tmp_path):
    """Each chunk is written before the next is asked for."""
    alive, most = set(), []

    class Held(torch.Tensor):
        def __del__(self):
            alive.discard(id(self))

    def chunks():
        for seed in range(5):
            change, table = chunk(4, seed)
            held = change.as_subclass(Held)
            alive.add(id(held))
            most.append(len(alive))
            yield held, table
            del held

    io.write_chunks(tmp_path / "cell.parquet", chunks())
    assert len(most) == 5 and max(most) <= 2


def test_a_failure_leaves_nothing_and_the_old_file(tmp_path):
    io.write_chunks(tmp_path / "cell.parquet", [chunk(3, 0)])
    before = (tmp_path / "cell.parquet").read_bytes()

    def breaks():
        yield chunk(3, 1)
        raise ArithmeticError("no")

    with pytest.raises(ArithmeticError):
        io.write_chunks(tmp_path / "cell.parquet", breaks())
    with pytest.raises(ValueError, match=r"cell\.parquet: expected chunks of one schema"):
        io.write_chunks(tmp_path / "cell.parquet", [chunk(3, 1), chunk(3, 1, more=1)])
    with pytest.raises(ValueError, match=r"cell\.parquet: expected at least one chunk, got none"):
        io.write_chunks(tmp_path / "cell.parquet", [])
    assert (tmp_path / "cell.parquet").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["cell.parquet"]


def test_arrays_without_labels_are_no_labelled_images(tmp_path):
    io.write_arrays(tmp_path / "a.parquet", torch.zeros(2, 3), pd.DataFrame({"seed": [0, 1]}))
    with pytest.raises(ValueError, match=r"a\.parquet: expected labelled images, got columns \['seed'\]"):
        io.read_images(tmp_path / "a.parquet")


def test_a_parquet_file_of_another_program_is_named(tmp_path):
    pd.DataFrame({"label": [0], "pixels": [b"x"]}).to_parquet(tmp_path / "a.parquet")
    for reader in (io.read_images, io.read_arrays, io.read_facts):
        with pytest.raises(ValueError, match=r"a\.parquet: expected .* by spectroscope.*no entry 'spectroscope'"):
            reader(tmp_path / "a.parquet")


# ---- files that are not there, or not whole


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


@pytest.mark.parametrize("name", ["images.parquet", "table.parquet"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6])
def test_one_wrong_byte_among_the_pixels_or_numbers_is_found(tmp_path, name, share):
    WRITERS[name](tmp_path / name)
    content = bytearray((tmp_path / name).read_bytes())
    content[int(share * len(content))] ^= 0x10
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{tmp_path}/{name}: expected .*damaged"):
        READERS[name](tmp_path / name)


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


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()])
@pytest.mark.parametrize("old", [None, b"good"])
def test_an_error_in_the_middle_leaves_the_earlier_file_or_none(tmp_path, error, old):
    path = tmp_path / "a.bin"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(type(error)), io.replacing(path) as temporary:
        assert temporary.parent == path.parent
        temporary.write_bytes(b"half")
        raise error
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == ({path.name: old} if old else {})


def test_a_file_that_is_replaced_is_not_edited_in_place(tmp_path):
    """DVC may link a file of the workspace to its cache."""
    io.write_text(tmp_path / "a.txt", "old")
    (tmp_path / "cache").hardlink_to(tmp_path / "a.txt")
    io.write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "cache").read_text() == "old" and (tmp_path / "a.txt").read_text() == "new"


KILLED = """
import sys, time
from pathlib import Path
from spectroscope.pipeline import io
import pandas as pd, pyarrow.parquet as pq, torch

def hang(writer, *arguments):
    write(writer, *arguments)
    print("inside", flush=True)
    time.sleep(600)

write, pq.ParquetWriter.write_table = pq.ParquetWriter.write_table, hang
folder, many = Path(sys.argv[1]), 2 * io.ROWS_PER_GROUP
with io.replacing(folder / "old.bin") as temporary:
    temporary.write_bytes(b"half")
    io.write_arrays(folder / "new.parquet", torch.rand(many, 64), pd.DataFrame({"image": range(many)}))
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


# ---- tables, JSON, weights


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_tables_come_back(tmp_path, ending):
    table = pd.DataFrame({"run": ["a", "b"], "n": [3, 4], "mean": [0.25, None], "right": [True, False]}, index=[7, 9])
    io.write_table(tmp_path / f"t.{ending}", table)
    pd.testing.assert_frame_equal(io.read_table(tmp_path / f"t.{ending}"), table.reset_index(drop=True))


def test_a_csv_has_six_significant_digits(tmp_path):
    io.write_table(tmp_path / "t.csv", pd.DataFrame({"x": [1 / 3], "n": [12345678]}))
    assert (tmp_path / "t.csv").read_text() == "x,n\n0.333333,12345678\n"


def test_a_table_of_unknown_ending_is_neither_written_nor_read(tmp_path):
    path = tmp_path / "new" / "t.txt"
    for use in (lambda: io.write_table(path, pd.DataFrame({"x": [1]})), lambda: io.read_table(path)):
        with pytest.raises(ValueError, match=r"t\.txt: expected a name ending in \.parquet or \.csv, got '\.txt'"):
            use()
    assert not path.parent.exists()


def test_json_is_sorted_rounded_and_plain(tmp_path):
    io.write_json(
        tmp_path / "m.json", {"b": np.float32(1 / 3), "a": {"z": np.int64(2), "y": None}, "c": (1e-9 / 3, True)}
    )
    text = (tmp_path / "m.json").read_text()
    assert io.read_json(tmp_path / "m.json") == {"a": {"y": None, "z": 2}, "b": 0.333333, "c": [3.33333e-10, True]}
    assert text.index('"a"') < text.index('"y"') < text.index('"z"') < text.index('"b"') and text.endswith("}\n")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), np.float64("nan"), np.float32("-inf")])
def test_json_refuses_a_number_that_does_not_exist(tmp_path, number):
    with pytest.raises(ValueError, match=r"m\.json: expected finite numbers"):
        io.write_json(tmp_path / "m.json", {"runs": {"a": [1.0, number]}})
    assert not any(tmp_path.iterdir())


def test_weights_come_back_with_their_buffers(tmp_path):
    model = network(0).train()
    model(torch.rand(5, 3, 4, 5))  # moves the BatchNorm statistics
    model.to(memory_format=torch.channels_last)
    io.write_weights(tmp_path / "w.safetensors", model)
    found = io.read_weights(tmp_path / "w.safetensors", network(1))
    assert all(torch.equal(value, found.state_dict()[name]) for name, value in model.state_dict().items())
    assert found[1].num_batches_tracked == 1


def test_weights_of_another_model_name_the_file_and_the_tensors(tmp_path):
    io.write_weights(tmp_path / "w.safetensors", network(width=4))
    with pytest.raises(ValueError, match=r"w\.safetensors: .* 0\.weight: expected \(5, 3, 3, 3\), got \(4, 3, 3, 3\);"):
        io.read_weights(tmp_path / "w.safetensors", network(width=5))
    with pytest.raises(ValueError, match=r"w\.safetensors: .*: missing bias; missing weight; unknown 0\.bias;"):
        io.read_weights(tmp_path / "w.safetensors", nn.Linear(2, 2))

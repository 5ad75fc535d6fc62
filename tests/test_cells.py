"""A cell's file from its chunks: the same as from one table, row groups of its own, nothing left by a failure."""

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from spectroscope import io
from spectroscope.attacks import cells


def chunk(n, seed, **columns):
    change = torch.randn(n, 2, 3, 4, generator=torch.Generator().manual_seed(seed))
    return change, pd.DataFrame({"image": range(n), "part": "", "leak": float("nan"), **columns})


def test_chunks_read_back_as_one(tmp_path):
    chunks = [chunk(5, 0), chunk(5, 1), chunk(2, 2)]
    cells.write(tmp_path / "a" / "cell.parquet", iter(chunks))
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

    cells.write(tmp_path / "cell.parquet", chunks())
    assert len(most) == 5 and max(most) <= 2


def test_a_failure_leaves_nothing_and_the_old_file(tmp_path):
    cells.write(tmp_path / "cell.parquet", [chunk(3, 0)])
    before = (tmp_path / "cell.parquet").read_bytes()

    def breaks():
        yield chunk(3, 1)
        raise ArithmeticError("no")

    with pytest.raises(ArithmeticError):
        cells.write(tmp_path / "cell.parquet", breaks())
    with pytest.raises(ValueError, match="schema"):
        cells.write(tmp_path / "cell.parquet", [chunk(3, 1), chunk(3, 1, more=1)])
    with pytest.raises(ValueError, match=r"cell\.parquet: expected at least one chunk, got none"):
        cells.write(tmp_path / "cell.parquet", [])
    assert (tmp_path / "cell.parquet").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["cell.parquet"]

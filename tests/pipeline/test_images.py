"""Images and perturbations as Parquet files: a round trip keeps every value, and a foreign file is named."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from spectroscope.pipeline import arrays, io
from spectroscope.pipeline.arrays import ROWS_PER_GROUP


def images(n=7, dtype=torch.float32, shape=(3, 4, 5), seed=0):
    """Images with negative values where the type has them."""
    random = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (n, *shape), generator=random)
    pixels = pixels.to(torch.uint8) if dtype == torch.uint8 else pixels / 128 - 1
    return io.Images(pixels, torch.arange(n) % 3, ("ant", "bee", "cat"))


@pytest.mark.parametrize("n", [1, ROWS_PER_GROUP, 2 * ROWS_PER_GROUP + 3])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_arrays_survive_a_round_trip_over_any_number_of_row_groups(tmp_path, n, dtype):
    written = images(n, dtype)
    table = pd.DataFrame({"image": range(n), "success": [row % 2 == 0 for row in range(n)], "l2": np.arange(n) / 3})
    io.write_arrays(tmp_path / "a.parquet", written.pixels, table, source="here", units=[1, None])
    pixels, found, facts = io.read_arrays(tmp_path / "a.parquet")
    assert pixels.dtype == dtype and torch.equal(pixels, written.pixels)
    pd.testing.assert_frame_equal(found, table)
    assert facts == {"source": "here", "units": [1, None]}


@pytest.mark.parametrize("rows_per_group", [100, 1500])
def test_arrays_in_row_groups_of_another_size_are_read(tmp_path, monkeypatch, rows_per_group):
    written = images(3000)
    with monkeypatch.context() as patch:
        patch.setattr("spectroscope.pipeline.arrays.ROWS_PER_GROUP", rows_per_group)
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


def test_clusters_are_kept_and_without_any_each_image_is_one(tmp_path):
    alone = images(5)
    assert alone.clusters.tolist() == [0, 1, 2, 3, 4]
    together = replace(alone, clusters=torch.tensor([7, 7, 0, 7, 1]))
    assert together.head(4).clusters.tolist() == [7, 7, 0, 7]
    for written in (alone, together):
        io.write_images(tmp_path / "a.parquet", written)
        found = io.read_images(tmp_path / "a.parquet").clusters
        assert found.dtype == torch.int64 and torch.equal(found, written.clusters)
    with pytest.raises(ValueError, match="expected a cluster for each of 5 images, got 4"):
        replace(alone, clusters=torch.arange(4))


@pytest.mark.parametrize("view", ["rows", "mirrored", "channels_last", "transposed"])
def test_the_memory_layout_of_a_tensor_does_not_matter(tmp_path, view):
    whole = images(9).pixels
    view_of_it = {
        "rows": whole[2:8:2],
        "mirrored": whole.flip(-1)[..., 1:],
        "channels_last": whole.to(memory_format=torch.channels_last),
        "transposed": whole.mT,
    }[view]
    io.write_arrays(tmp_path / "a.parquet", view_of_it, pd.DataFrame({"image": range(len(view_of_it))}))
    assert torch.equal(io.read_arrays(tmp_path / "a.parquet")[0], view_of_it)


def test_no_images_give_a_file_too(tmp_path):
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


def test_changing_images_in_memory_leaves_their_file(tmp_path):
    io.write_images(tmp_path / "a.parquet", images())
    before = (tmp_path / "a.parquet").read_bytes()
    found = io.read_images(tmp_path / "a.parquet")
    found.pixels.zero_(), found.labels.zero_()
    assert (tmp_path / "a.parquet").read_bytes() == before


def test_facts_are_those_of_the_writer_without_shape_dtype_and_classes(tmp_path):
    io.write_images(tmp_path / "a.parquet", images(), digest="abc")
    assert io.read_facts(tmp_path / "a.parquet") == {"digest": "abc"}


def test_head_takes_the_first_images_or_says_how_many_there_are():
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
def test_arrays_of_another_dtype_or_number_are_refused(tmp_path, pixels, rows, message):
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
    assert torch.equal(change, torch.cat([perturbations for perturbations, _ in chunks])) and facts == {}
    pd.testing.assert_frame_equal(table, pd.concat([rows for _, rows in chunks], ignore_index=True))
    with pq.ParquetFile(tmp_path / "a" / "cell.parquet") as file:
        assert [file.metadata.row_group(place).num_rows for place in range(file.num_row_groups)] == [5, 5, 2]
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["cell.parquet"]


def test_memory_holds_one_chunk_at_a_time(tmp_path):
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


def test_a_failure_between_chunks_leaves_the_earlier_file(tmp_path):
    io.write_chunks(tmp_path / "cell.parquet", [chunk(3, 0)])
    before = (tmp_path / "cell.parquet").read_bytes()

    def breaks():
        yield chunk(3, 1)
        raise ArithmeticError("no")

    with pytest.raises(ArithmeticError):
        io.write_chunks(tmp_path / "cell.parquet", breaks())
    for other, difference in (
        (chunk(3, 1, more=1), r"column pixels \(.*\) and column more \(int64\)"),
        ((torch.zeros(3, 4, 2, 3), chunk(3, 1)[1]), r"\{.*'shape': \[2, 3, 4\]\} and \{.*'shape': \[4, 2, 3\]\}"),
    ):
        with pytest.raises(ValueError, match=rf"cell\.parquet: expected chunks of one schema, got {difference}"):
            io.write_chunks(tmp_path / "cell.parquet", [chunk(3, 1), other])
    with pytest.raises(ValueError, match=r"cell\.parquet: expected at least one chunk, got none"):
        io.write_chunks(tmp_path / "cell.parquet", [])
    assert (tmp_path / "cell.parquet").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["cell.parquet"]


def test_arrays_without_labels_are_refused_as_images(tmp_path):
    io.write_arrays(tmp_path / "a.parquet", torch.zeros(2, 3), pd.DataFrame({"seed": [0, 1]}))
    with pytest.raises(ValueError, match=r"a\.parquet: expected labelled images, got columns \['seed'\]"):
        io.read_images(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a\.parquet: expected labelled images, got columns \[\]"):
        arrays.read_labels(tmp_path / "a.parquet")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_numpy_and_torch_read_the_same_images(tmp_path, dtype):
    # 256 pixels an image: every value of uint8, over 255 to the last bit
    pixels = torch.arange(256).reshape(1, 1, 16, 16).repeat(5, 3, 1, 1).to(dtype)
    written = io.Images(pixels, torch.tensor([2, 0, 1, 1, 0]), ("ant", "bee", "cat"), torch.tensor([7, 7, 3, 0, 0]))
    io.write_images(tmp_path / "a.parquet", written)
    tensors, read, labels = (
        reader(tmp_path / "a.parquet") for reader in (io.read_images, arrays.read_images, arrays.read_labels)
    )
    expected = pixels.div(255) if dtype == torch.uint8 else pixels
    for found in (tensors.pixels.numpy(), read.pixels):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected.numpy())
    for found in (tensors, read, labels):
        assert found.labels.tolist() == [2, 0, 1, 1, 0] and found.clusters.tolist() == [7, 7, 3, 0, 0]
        assert found.classes == ("ant", "bee", "cat")


def test_labels_out_of_range_are_refused_by_every_reader(tmp_path):
    io.write_images(tmp_path / "a.parquet", replace(images(), classes=("ant", "bee")))
    for reader in (io.read_images, arrays.read_images, arrays.read_labels):
        with pytest.raises(ValueError, match=r"a\.parquet: expected labels 0\.\.1, got 0\.\.2"):
            reader(tmp_path / "a.parquet")


READERS = (io.read_images, io.read_arrays, io.read_facts, arrays.read_images, arrays.read_labels)


def test_a_table_is_refused_as_images(tmp_path):
    io.write_table(tmp_path / "a.parquet", pd.DataFrame({"label": [0], "pixels": [b"x"]}))
    for reader in READERS:
        with pytest.raises(ValueError, match=r"a\.parquet: expected .* by spectroscope.*no entry 'spectroscope'"):
            reader(tmp_path / "a.parquet")


@pytest.mark.parametrize(("version", "got"), [(b"1", "1"), (None, "none")])
def test_images_of_another_schema_version_are_refused_with_the_remedy(tmp_path, version, got):
    path = tmp_path / "a.parquet"
    io.write_images(path, images())
    table = pq.read_table(path)
    assert table.schema.metadata.pop(b"schema_version") == b"2"
    metadata = {b"spectroscope": table.schema.metadata[b"spectroscope"]}
    metadata |= {} if version is None else {b"schema_version": version}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    for reader in READERS:
        with pytest.raises(ValueError) as caught:
            reader(path)
        assert str(caught.value) == (
            f"{path}: expected schema version 2, got {got}: `dvc repro` makes it anew; for committed results of "
            "another release, check out that release"
        )


def test_large_arrays_are_written_and_read_a_few_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("spectroscope.pipeline.arrays.BYTES_PER_GROUP", 700)  # an image has 240 bytes
    written = images(7)
    io.write_images(tmp_path / "a.parquet", written)
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 4
    assert torch.equal(io.read_images(tmp_path / "a.parquet").pixels, written.pixels)
    monkeypatch.setattr("spectroscope.pipeline.arrays.BYTES_PER_GROUP", 1)
    assert torch.equal(io.read_images(tmp_path / "a.parquet").pixels, written.pixels)


def test_no_flipped_bit_of_a_file_is_another_image_another_label_or_no_image(tmp_path):
    path, written = tmp_path / "a.parquet", images(5, torch.uint8, (1, 2, 3))
    io.write_images(path, written, source="here")
    good, whole, errors = path.read_bytes(), io.read_images(path), 0
    for place in range(1, len(good), 4):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1 :])
        try:
            found = io.read_images(path)
        except ValueError as error:
            assert str(error).startswith(
                f"{path}: expected images written by spectroscope, got a damaged or other file"
            )
            errors += 1
            continue
        assert torch.equal(found.pixels, whole.pixels) and torch.equal(found.labels, whole.labels)
        assert found.classes == whole.classes
    assert errors > len(good) / 4 - 10  # but for the name of the digest, without which it is not looked for

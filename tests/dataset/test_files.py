"""Files found by folder, glob and URL, and downloads that fail."""

import http.server
import os
import re
import subprocess
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dataset_cases import NO_LIMIT, assert_holds, encode, noise, settings

from spectroscope.dataset import files
from spectroscope.dataset.registry import load


@pytest.fixture
def folder(tmp_path):
    """Files with their own name for content."""
    for name in ("train-0", "train-1", "test-0", "other"):
        (tmp_path / f"{name}.parquet").write_text(name)
    (tmp_path / "empty").mkdir()
    return tmp_path


def names(found):
    return [re.split(r"[/.]", path)[-2] for path in found]


def test_a_folder_a_glob_and_a_file_become_paths(folder, monkeypatch):
    assert names(files.find_files(str(folder), "train")) == ["train-0", "train-1"]
    assert names(files.find_files(f"{folder}/t*-0.parquet", "train")) == ["test-0", "train-0"]
    monkeypatch.chdir(folder)
    assert files.find_files("other.parquet", "test") == [str(folder / "other.parquet")]


def test_a_range_in_a_url_is_one_url_for_each_number():
    assert files.find_files("https://h/a-{008..010}.parquet?x", "test") == [
        f"https://h/a-{number}.parquet?x" for number in ("008", "009", "010")
    ]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (
            "{folder}/validation*.parquet",
            r"test: .*validation\*\.parquet: expected Parquet files, found nothing there$",
        ),
        ("nowhere", r"test: nowhere: expected Parquet files, found nothing there from .*git or DVC"),
        ("{folder}/empty", r"empty: expected files test\*\.parquet in this folder"),
        ("https://h/{3..1}.parquet", r"expected a range that rises, of at most 10000 files, got \{3\.\.1\}"),
    ],
)
def test_a_pattern_without_files_is_refused(folder, pattern, message):
    with pytest.raises(ValueError, match=message):
        files.find_files(pattern.replace("{folder}", str(folder)), "test")


@pytest.fixture
def server(folder):
    """The URL of a server of the files in `folder`, which announces more bytes of `other` than it sends."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def send_header(self, keyword, value):
            if keyword == "Content-Length":
                value = str(int(value) + 1000) if "other" in self.path else "9" * 20 if "far" in self.path else value
            super().send_header(keyword, value)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as serving:
        threading.Thread(target=partial(serving.serve_forever, poll_interval=0.01), daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


def test_a_url_becomes_a_copy_and_a_path_stays(folder, server, tmp_path_factory):
    copies, path = tmp_path_factory.mktemp("copies"), str(folder / "test-0.parquet")
    urls = files.find_files(f"{server}/train-{{0..1}}.parquet?download=true", "train")
    one, two, three = files.local_copies([*urls, path], copies)
    assert (one.read_text(), two.read_text()) == ("train-0", "train-1")
    assert copies in one.parents and str(three) == path


def test_a_data_set_behind_urls_is_read_and_no_copy_is_left(folder, server, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))
    images = noise(0, 9)
    for number, rows in enumerate((slice(0, 3), slice(3, 6), slice(6, 9))):
        table = pa.table({"img": [encode(image) for image in images[rows]], "label": [0, 1, 2]})
        pq.write_table(table, folder / f"part-{number}.parquet")
    usual = {"name": "parquet", "image": None, "label": None, "channels": 3, "size": None, "limit": NO_LIMIT, "seed": 0}
    usual["train"] = f"{server}/part-{{0..1}}.parquet"
    assert_holds(load(settings(**usual, test=f"{server}/part-2.parquet")).train, images[:6], [0, 1, 2] * 2)
    with pytest.raises(ValueError, match=r"absent.parquet: expected a file to download"):
        load(settings(**usual, test=f"{server}/absent.parquet"))
    assert not any(Path(tempfile.tempdir).iterdir())


KILLED = """
import os
from spectroscope.dataset.files import temporary_folder
with temporary_folder() as folder:
    (folder / "half.parquet").write_bytes(bytes(100))
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_download_left_is_removed_by_the_next_and_what_another_is_at_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with files.temporary_folder() as first:
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        assert subprocess.run([sys.executable, "-c", KILLED], env=environment, check=False).returncode == -9
        (left,) = tmp_path.glob("*/half.parquet")
        with files.temporary_folder() as second:
            assert not left.parent.exists() and set(tmp_path.iterdir()) == {first, second}
    assert not list(tmp_path.iterdir())


def test_a_long_download_tells_how_far_it_is(folder, server, tmp_path_factory, monkeypatch):
    (folder / "long.parquet").write_bytes(bytes(3 * files.MIB + 5))
    told = []
    monkeypatch.setattr(files, "track", lambda items, task: (told.append((task, item)) or item for item in items))
    files.local_copies([f"{server}/long.parquet"], tmp_path_factory.mktemp("copies"))
    assert told == [("MiB of long.parquet", step) for step in range(3)]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("{server}/absent.parquet", r"absent.parquet: expected a file to download, got none \(not found\)$"),
        (
            "http://127.0.0.1:9/x.parquet",
            r"http://127.0.0.1:9/x.parquet: expected a file to download, got none \(.+\)$",
        ),
        ("{server}/other.parquet", r"other.parquet: expected a whole file, got \d+ bytes \(.+\)$"),
        ("{server}/train-0.parquet?far", r"\?far: expected a file to download, got none \(.*Content-Length"),
        ("hf://datasets/x", r"hf://datasets/x: expected a path or a URL that begins with https://"),
    ],
    ids=["absent", "refused", "broken off", "an impossible length", "another protocol"],
)
def test_a_download_that_fails_is_refused_in_one_line(server, url, message, tmp_path_factory):
    with pytest.raises(ValueError, match=message) as caught:
        files.local_copies([url.replace("{server}", server)], tmp_path_factory.mktemp("copies"))
    assert "\n" not in str(caught.value)


def test_a_range_of_a_hundred_million_files_is_refused_at_once():
    with pytest.raises(ValueError, match=r"a range that rises, of at most 10000 files, got \{0\.\.100000000\}"):
        files.find_files("https://h/{0..100000000}.parquet", "train")


@pytest.mark.parametrize(
    "url", ["https://exämple .org/a.parquet", "http://[::1/a.parquet", "http://h:99999999/a", "http://"]
)
def test_a_url_that_cannot_be_read_is_named(url, tmp_path):
    with pytest.raises(ValueError, match=re.escape(url)):
        files.local_copies([url], tmp_path)


def test_a_fault_in_a_downloaded_file_is_named_by_its_url(folder, server):
    settings_ = {"name": "parquet", "image": None, "label": None, "channels": 3, "size": None, "limit": NO_LIMIT}
    urls = {split: f"{server}/{split}-0.parquet" for split in ("train", "test")}
    with pytest.raises(ValueError, match=r"http://.*/train-0\.parquet: expected a Parquet file") as caught:
        load(settings(**settings_, **urls, seed=0))
    assert tempfile.gettempdir() not in str(caught.value)

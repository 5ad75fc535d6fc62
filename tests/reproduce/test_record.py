"""What is expected of cells by earlier runs, and how many fit the memory."""

import pytest

from spectroscope.reproduce import record


def test_a_cell_is_expected_to_take_what_it_took_else_the_mean_of_its_stage_else_that_of_all():
    cells = {"training@a": {"seconds": 10}, "training@b": {"seconds": 20}, "report": {"seconds": 3, "peak_mb": 100}}
    names = ["training@a", "training@c", "findings"]
    assert record.expected(cells, "seconds", names) == {"training@a": 10, "training@c": 15, "findings": 11}
    assert record.expected(cells, "peak_mb", ["training@a"]) == {"training@a": 100}
    assert record.expected({}, "seconds", names) == {}


@pytest.mark.parametrize(
    ("peaks", "jobs", "available", "fit"),
    [
        ([400, 100, 300], 3, 1000, 3),
        ([400, 100, 300], 3, 750, 2),
        ([400, 100, 300], 2, 699, 1),
        ([400], 8, 100, 8),  # one cell alone runs whatever it takes
        ([], 8, 0, 8),
        ([200] * 60, 16, 1000, 5),
    ],
)
def test_as_many_jobs_as_the_largest_cells_leave_room_for(peaks, jobs, available, fit):
    assert record.affordable(peaks, jobs, available) == fit


@pytest.mark.parametrize("damaged", [b"{", b"\xff\xfe", b"[1]", b'{"a": 3}', b'{"a": {}}', b""])
def test_what_is_known_comes_back_and_a_damaged_record_counts_as_none(tmp_path, damaged):
    cells = {"a": {"seconds": 1.5, "peak_mb": 20, "jobs": 2, "threads": "1"}}
    record.write(tmp_path / "new", cells)
    assert record.read(tmp_path / "new") == cells
    (tmp_path / "new" / record.CELLS).write_bytes(damaged)
    assert record.read(tmp_path / "new") == {}


@pytest.mark.parametrize(
    ("seconds", "words"), [(3.21, "3.2 s"), (75, "75 s"), (200, "3 min"), (5399, "1 h 30 min"), (7800, "2 h 10 min")]
)
def test_times_are_said_in_words(seconds, words):
    assert record.spoken(seconds) == words

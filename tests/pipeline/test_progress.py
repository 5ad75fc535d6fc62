"""Progress: a bar on a terminal, lines elsewhere, and in both every item once."""

import pytest

from spectroscope.pipeline import progress


def test_every_item_comes_once_and_short_work_is_silent(capsys):
    assert list(progress.track("abc", "read")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("items", "total"), [([7, 8, 9], None), (iter([7, 8, 9]), 3)], ids=["sized", "told"])
def test_long_work_without_a_terminal_writes_lines(capsys, monkeypatch, items, total):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    assert list(progress.track(items, "train x", total)) == [7, 8, 9]
    written = capsys.readouterr()
    lines = written.err.splitlines()
    assert written.out == "" and len(lines) == 3 and "\r" not in written.err
    assert all(line.startswith("train x: ") for line in lines)
    assert [f"{done}/3" in line for done, line in enumerate(lines, 1)] == [True] * 3


def test_an_item_counts_when_its_work_is_done(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    items = progress.track("ab", "read")
    assert next(items) == "a" and capsys.readouterr().err == ""
    assert next(items) == "b" and "1/2" in capsys.readouterr().err


def test_without_a_total_the_count_is_shown(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    assert list(progress.track(iter("ab"), "read")) == ["a", "b"]
    assert "2it" in capsys.readouterr().err.splitlines()[-1]


def test_lines_come_no_oftener_than_told(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: clock[0])

    def work():
        for item in range(10):
            clock[0] += 9  # seconds
            yield item

    assert list(progress.track(work(), "train", 10)) == list(range(10))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" [")[0].split("| ")[1] for line in lines] == ["3/10", "6/10", "9/10", "10/10"]


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert list(progress.track([1, 2], "train")) == [1, 2]
    written = capsys.readouterr().err
    assert "\rtrain: " in written and "2/2" in written


def test_no_items_are_no_error(capsys):
    assert list(progress.track([], "read")) == []


def test_an_error_in_the_work_passes_through():
    def work():
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(progress.track(work(), "train"))

"""Progress: a bar on a terminal, lines in a log, and in both every item once."""

import pytest

from spectroscope.pipeline import progress


@pytest.fixture
def work(monkeypatch):
    """A function that yields n items of nine seconds each, by a clock of its own."""
    clock = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: clock[0])

    def items(n):
        for item in range(n):
            clock[0] += 9
            yield item

    return items


def counts(lines):
    return [line.split(" [")[0].split("| ")[1] for line in lines]


def test_short_work_is_silent_in_a_log(capsys):
    assert list(progress.track("abc", "read")) == ["a", "b", "c"]
    assert list(progress.track([], "read")) == []
    assert capsys.readouterr() == ("", "")


def test_long_work_is_a_line_every_20_seconds_and_one_at_the_end(capsys, work):
    assert list(progress.track(work(10), "train x", 10)) == list(range(10))
    written = capsys.readouterr()
    lines = written.err.splitlines()
    assert written.out == "" and "\r" not in written.err
    assert all(line.startswith("train x: ") for line in lines)
    assert counts(lines) == ["3/10", "6/10", "9/10", "10/10"]


def test_a_total_is_known_of_a_list_and_not_of_a_generator(capsys, monkeypatch, work):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 5)
    list(zip(progress.track([1, 2], "read"), work(2), strict=True))
    assert "2/2" in capsys.readouterr().err
    list(progress.track(work(2), "read"))
    assert "2it" in capsys.readouterr().err.splitlines()[-1]


def test_an_item_counts_when_its_work_is_done(capsys, monkeypatch, work):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 5)
    items = progress.track(work(2), "read", 2)
    assert next(items) == 0 and capsys.readouterr().err == ""
    assert next(items) == 1 and counts(capsys.readouterr().err.splitlines()) == ["1/2"]


def test_the_first_of_several_processes_alone_reports(capsys, monkeypatch, work):
    monkeypatch.setenv("RANK", "1")
    assert list(progress.track(work(10), "work", 10)) == list(range(10))
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("RANK", "0")
    assert list(progress.track(work(10), "work", 10)) == list(range(10))
    assert "work" in capsys.readouterr().err


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert list(progress.track([1, 2], "train")) == [1, 2]
    written = capsys.readouterr().err
    assert "\rtrain: " in written and "2/2" in written


def test_an_error_in_the_work_passes_through():
    def work():
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(progress.track(work(), "train"))

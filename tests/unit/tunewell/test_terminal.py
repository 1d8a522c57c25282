"""What streams are judged to be, and how texts are fitted to a screen."""

from __future__ import annotations

import io

import pytest

from tunewell import terminal
from tunewell.lines import fields, rate, sparkline, took
from tunewell.tables import Column, table_lines


class Stream(io.StringIO):
    """A stream that is a terminal, or not."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal.forget_wishes()


@pytest.mark.parametrize(
    ("environment", "is_terminal", "colored"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True),
    ],
)
def test_colour_goes_by_the_stream_and_the_environment(
    environment: dict[str, str],
    is_terminal: bool,
    colored: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stream = Stream(is_terminal=is_terminal)
    assert terminal.has_color(stream) is colored
    assert ("\x1b" in terminal.painted("x", "red", stream)) is colored
    terminal.WISHES.no_color = True
    assert terminal.has_color(stream) is False
    terminal.forget_wishes()


def test_names_are_cut_in_their_middle_by_the_columns_they_take() -> None:
    assert terminal.cut("abcdefghij", 5) == "ab…ij"
    assert terminal.cut("abc", 3) == "abc"
    wide = "日本語日本語"
    assert terminal.cells(wide) == 12
    assert terminal.cells(terminal.cut(wide, 7)) <= 7
    assert terminal.cut_end("abcdef", 4) == "abc…"
    assert terminal.padded("日", 4) == "日  "
    painted = "#1 \x1b[31mfailed\x1b[0m for want of room"
    assert terminal.cut_end(painted, 14) == "#1 \x1b[31mfailed\x1b[0m for\x1b[0m…"
    assert terminal.cut_end(painted, 6) == "#1 \x1b[31mfa\x1b[0m…"
    assert terminal.cut_end(painted, 80) == painted


LONG = "a-study-with-a-very-long-name-of-which-the-end-says-most"
COLUMNS = (
    Column(name="name", is_name=True),
    Column(name="value", is_number=True),
    Column(name="created", rank=1),
    Column(name="id", rank=2),
)
ROWS = [[LONG, "0.98124711231", "5 min ago", "st_1m8cfa9n9cgx33fnhrvhtz"]]


@pytest.mark.parametrize("room", range(30, 130, 10))
def test_a_table_fits_and_never_cuts_a_value(room: int) -> None:
    head, line = table_lines(COLUMNS, ROWS, room)
    assert max(map(terminal.cells, (head, line))) <= room
    assert "0.98124711231" in line
    assert line.startswith("a-")
    # What is shown of the rest is whole.
    assert ("id" in head) is (ROWS[0][3] in line)
    assert ("created" in head) is ("5 min ago" in line)


def test_where_there_is_room_nothing_is_cut_or_left_out() -> None:
    head, line = table_lines(COLUMNS, ROWS, 130)
    assert head.split() == ["name", "value", "created", "id"]
    assert LONG in line


def test_a_sparkline_goes_from_the_lowest_to_the_highest() -> None:
    assert sparkline([0.0, 1.0], 8) == "▁█"
    assert sparkline([3.0], 8) == "▄"
    assert sparkline([-1.7e308, float("nan"), 1.7e308], 8) == "▁█"
    assert sparkline([], 8) == ""
    assert len(sparkline(list(range(100)), 10)) == 10


def test_fields_can_be_taken_apart_again() -> None:
    said = fields({"a": 0.1, "b": "x y", "c": True, "d\x1b": 'q"=', "e": ""})
    assert said == 'a=0.1  b="x y"  c=true  d\ufffd="q\\"="  e=""'


def test_durations_and_rates_have_their_units() -> None:
    assert [took(s) for s in (0.04, 59.9, 124.1, 11100)] == [
        "40 ms", "59.9 s", "2 min 04 s", "3 h 05 min",
    ]  # fmt: skip
    assert [rate(r) for r in (4870.1, 31.24, 0.5)] == ["4,870/h", "31.2/h", "0.5/h"]

"""A trial's output: bounded, cut between characters, sent in pieces."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers import output
from workers.output import Output, keep


class Sent:
    """The pieces that were sent, and a clock."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, str]] = []
        self.now_s = 0.0
        self.output = Output(lambda start, text: self.pieces.append((start, text)), self.now)

    def now(self) -> float:
        return self.now_s

    def check_in_order(self) -> None:
        """Pieces follow one another, and none is too long."""
        end = 0
        for start, text in self.pieces:
            assert start >= end
            assert 0 < len(text.encode()) <= output.CHUNK_BYTES
            end = start + len(text.encode())

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.pieces)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """Bounds of bytes in place of megabytes."""
    for name, size in (("HEAD_BYTES", 50), ("TAIL_BYTES", 40), ("CHUNK_BYTES", 16)):
        monkeypatch.setattr(output, name, size)
    return Sent()


def test_a_piece_is_sent_when_it_is_large_enough_or_has_waited(sent: Sent) -> None:
    sent.output.add(b"0123456789")
    assert sent.pieces == []
    assert sent.output.due_in == output.EVERY_S
    sent.output.add(b"0123456789")
    assert sent.pieces == [(0, "0123456789012345")]
    sent.now_s = output.EVERY_S
    sent.output.send_due()
    assert sent.pieces[1:] == [(16, "6789")]
    assert sent.output.due_in is None
    sent.output.send_due()
    sent.output.end()
    assert len(sent.pieces) == 2


@pytest.mark.parametrize(("age_s", "wait_s"), [(0, 2.0), (100, 2.0), (500, 10.0), (9_000, 30.0)])
def test_the_longer_a_trial_runs_the_longer_a_piece_waits(
    sent: Sent, age_s: float, wait_s: float
) -> None:
    sent.now_s = age_s
    sent.output.add(b"a line")
    assert sent.output.due_in == pytest.approx(wait_s)


def test_what_is_short_is_sent_whole(sent: Sent) -> None:
    sent.output.add(b"some")
    sent.output.add(b" words")
    sent.output.end()
    assert sent.pieces == [(0, "some words")]
    assert sent.output.kept == sent.output.text == "some words"


def test_of_what_is_long_the_first_and_the_last_bytes_are_sent(sent: Sent) -> None:
    printed = "".join(f"{number:03d}\n" for number in range(100))
    for first in range(0, 400, 7):
        sent.output.add(printed[first : first + 7].encode())
    before_end = len(sent.pieces)
    sent.output.end()
    sent.check_in_order()
    assert before_end == 3  # of the head, before it was over
    assert sent.text == printed[:50] + printed[-40:]
    assert sent.pieces[4][0] == 360
    assert sent.output.kept == f"{printed[:50]}\n... 310 bytes left out ...\n{printed[-40:]}"


@pytest.mark.parametrize("length", [49, 50, 51, 89, 90, 91, 300])
@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_nothing_is_lost_or_doubled_at_the_edges(sent: Sent, length: int, at_once: int) -> None:
    printed = ("añ€😀-" * length).encode()[:length].decode(errors="ignore")
    data = printed.encode()
    for first in range(0, len(data), at_once):
        sent.output.add(data[first : first + at_once])
    sent.output.end()
    sent.check_in_order()
    for start, text in sent.pieces:
        assert data[start : start + len(text.encode())].decode() == text
    if len(data) <= 80:
        assert sent.text == printed
    else:
        assert sent.text.endswith(printed[-8:])
        assert len(sent.text.encode()) >= 80


def test_what_is_no_text_is_replaced(sent: Sent) -> None:
    sent.output.add(b"a\xff\0b")
    sent.output.add("é".encode()[:1])
    sent.output.add("é".encode()[1:])
    sent.output.add(b"\xe2\x82")  # the beginning of a character that never comes
    sent.output.end()
    assert sent.text == "a\ufffd\ufffdbé\ufffd"
    sent.check_in_order()


def test_the_end_that_is_shown_is_bounded() -> None:
    made = Output()
    made.add(b"x" * (output.HEAD_BYTES - 10))
    assert len(made.text) == output.SHOWN_BYTES
    made.add(b"y" * 100)
    assert made.text.endswith("y" * 100)
    assert len(made.text) == output.SHOWN_BYTES


def test_files_are_kept_up_to_a_number_and_a_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "KEEP_FILES", 2)
    keep(tmp_path / "logs", "silent", "")
    assert not (tmp_path / "logs").exists()
    for number in range(4):
        keep(tmp_path / "logs", f"t{number}", "words")
    assert sorted(path.stem for path in (tmp_path / "logs").iterdir()) == ["t2", "t3"]
    monkeypatch.setattr(output, "KEEP_BYTES", 12)
    keep(tmp_path / "logs", "t4", "more words")
    assert [path.stem for path in (tmp_path / "logs").iterdir()] == ["t4"]
    (tmp_path / "file").write_text("in the way")
    keep(tmp_path / "file", "t", "words")

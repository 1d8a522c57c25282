"""The pipe from a trial to its parent: when a checkpoint is due, and what is handed over."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workers.child import CHECKPOINT_EVERY_S, PipeChannel


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.at_s = 100.0

    def __call__(self) -> float:
        return self.at_s


class Pipe:
    """A pipe whose lines a test reads."""

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()

    def line(self) -> Any:
        return json.loads(os.read(self.read_fd, 1 << 16))


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    os.close(made.read_fd)
    os.close(made.write_fd)


def test_a_checkpoint_is_due_after_some_seconds_of_work(pipe: Pipe, tmp_path: Path) -> None:
    clock = Clock()
    channel = PipeChannel(pipe.write_fd, str(tmp_path), clock)
    assert not channel.should_checkpoint
    clock.at_s += CHECKPOINT_EVERY_S
    assert channel.should_checkpoint
    channel.save_checkpoint(4, b"state")
    assert not channel.should_checkpoint
    clock.at_s += CHECKPOINT_EVERY_S
    assert channel.should_checkpoint


def test_a_checkpoint_is_due_at_once_when_it_is_asked_for(pipe: Pipe, tmp_path: Path) -> None:
    channel = PipeChannel(pipe.write_fd, str(tmp_path), Clock())
    channel.want_checkpoint()
    assert channel.should_checkpoint
    channel.save_checkpoint(4, b"state")
    assert not channel.should_checkpoint


@pytest.mark.parametrize("is_file", [False, True])
def test_the_parent_is_handed_a_whole_file(pipe: Pipe, tmp_path: Path, is_file: bool) -> None:
    folder, source = tmp_path / "saved", tmp_path / "mine"
    folder.mkdir()
    source.write_bytes(b"state")
    channel = PipeChannel(pipe.write_fd, str(folder), Clock())
    channel.save_checkpoint(4, source if is_file else b"state")
    told = pipe.line()["checkpoint"]
    assert told["step"] == 4
    assert Path(told["path"]).read_bytes() == b"state"
    assert [path.name for path in folder.iterdir()] == [Path(told["path"]).name]
    assert source.exists()


def test_where_nothing_keeps_checkpoints_none_is_due(pipe: Pipe) -> None:
    clock = Clock()
    channel = PipeChannel(pipe.write_fd, None, clock)
    channel.want_checkpoint()
    clock.at_s += 10 * CHECKPOINT_EVERY_S
    assert not channel.should_checkpoint
    channel.save_checkpoint(4, b"state")

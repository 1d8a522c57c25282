"""The pipe from a trial to its parent: when a checkpoint is due, and what is handed over."""

from __future__ import annotations

import json
import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tunewell.objective import TrialEnded
from workers.channel import CHECKPOINT_EVERY_S, MOST_HELD_BACK, Ending, PipeChannel

from .helpers import LIMIT_S, files_of


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
    channel, state = PipeChannel(pipe.write_fd, str(tmp_path), clock), state_in(tmp_path)
    assert not channel.should_checkpoint
    clock.at_s += CHECKPOINT_EVERY_S
    assert channel.should_checkpoint
    channel.save(4, state, "state")
    assert not channel.should_checkpoint
    clock.at_s += CHECKPOINT_EVERY_S
    assert channel.should_checkpoint


def test_a_checkpoint_is_due_at_once_when_it_is_asked_for(pipe: Pipe, tmp_path: Path) -> None:
    channel = PipeChannel(pipe.write_fd, str(tmp_path), Clock())
    channel.want_checkpoint()
    assert channel.should_checkpoint
    channel.save(4, state_in(tmp_path), "state")
    assert not channel.should_checkpoint


def state_in(folder: Path) -> Path:
    """A file that a trial wants to keep."""
    path = folder / "state"
    path.write_text("state")
    return path


@pytest.mark.parametrize(("name", "found"), [("state", "state"), ("deep/in/it", "deep/in/it")])
def test_the_parent_is_handed_a_whole_file(
    pipe: Pipe, tmp_path: Path, name: str, found: str
) -> None:
    folder, source = tmp_path / "saved", state_in(tmp_path)
    folder.mkdir()
    channel = PipeChannel(pipe.write_fd, str(folder), Clock())
    channel.save(4, source, name)
    told = pipe.line()["checkpoint"]
    assert told["step"] == 4
    assert files_of(Path(told["path"]).read_bytes()) == {found: "state"}
    assert [path.name for path in folder.iterdir()] == [Path(told["path"]).name]
    assert source.exists()


def test_what_cannot_be_packed_leaves_nothing_behind(pipe: Pipe, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    channel = PipeChannel(pipe.write_fd, str(folder), Clock())
    with pytest.raises(FileNotFoundError):
        channel.save(4, tmp_path / "not-there", "state")
    assert list(folder.iterdir()) == []


def test_where_nothing_keeps_checkpoints_none_is_due(pipe: Pipe, tmp_path: Path) -> None:
    clock = Clock()
    channel = PipeChannel(pipe.write_fd, None, clock)
    channel.want_checkpoint()
    clock.at_s += 10 * CHECKPOINT_EVERY_S
    assert not channel.should_checkpoint
    channel.save(4, state_in(tmp_path), "state")


class Held:
    """A report that is made in a thread of its own; `returned` waits until it is over."""

    def __init__(self, channel: PipeChannel, pipe: Pipe, step: int) -> None:
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._report, args=(channel, step))
        self._thread.start()
        assert pipe.line()["report"]["step"] == step

    def _report(self, channel: PipeChannel, step: int) -> None:
        try:
            channel.report(step, {"value": 1.0}, 0.0)
        except TrialEnded as error:
            self.error = error

    @property
    def is_held(self) -> bool:
        return self._thread.is_alive()

    def returned(self) -> bool:
        self._thread.join(30.0)
        return not self.is_held


def go_on(step: int, to_step: int | None) -> dict[str, Any]:
    return {"order": "continue", "step": step, "to_step": to_step}


def test_reports_within_the_budget_return_at_once(pipe: Pipe) -> None:
    channel = PipeChannel(pipe.write_fd, to_step=3)
    channel.report(1, {"value": 1.0}, 0.0)
    channel.report(2, {"value": 1.0}, 0.0)
    assert channel.to_step == 3
    assert not channel.should_stop


def test_the_answer_to_an_earlier_report_does_not_let_a_trial_beyond_its_budget(pipe: Pipe) -> None:
    channel = PipeChannel(pipe.write_fd, to_step=3)
    held = Held(channel, pipe, 3)
    channel.take_order(go_on(2, 3))
    assert held.is_held
    channel.take_order(go_on(3, 9))
    assert held.returned()
    assert channel.to_step == 9
    assert channel.ending is None


def test_beyond_a_budget_that_did_not_grow_every_report_waits_for_its_answer(pipe: Pipe) -> None:
    channel = PipeChannel(pipe.write_fd, to_step=3)
    for step in (3, 4):
        held = Held(channel, pipe, step)
        channel.take_order(go_on(step, 3))
        assert held.returned()


def test_a_pause_asks_for_a_checkpoint_and_ends_a_trial_that_reports_on(
    pipe: Pipe, tmp_path: Path
) -> None:
    channel = PipeChannel(pipe.write_fd, str(tmp_path), Clock(), to_step=3)
    held = Held(channel, pipe, 3)
    channel.take_order({"order": "pause"})
    assert held.returned()
    assert channel.should_stop
    assert channel.should_checkpoint
    channel.save(3, state_in(tmp_path), "state")
    assert not channel.should_checkpoint
    with pytest.raises(TrialEnded):
        channel.report(4, {"value": 1.0}, 0.0)


def test_a_stop_between_two_reports_lets_the_step_at_hand_be_reported(pipe: Pipe) -> None:
    channel = PipeChannel(pipe.write_fd)
    channel.report(1, {"value": 1.0}, 0.0)
    channel.take_order({"order": "stop"})
    channel.report(2, {"value": 1.0}, 0.0)
    with pytest.raises(TrialEnded):
        channel.report(3, {"value": 1.0}, 0.0)


@pytest.mark.parametrize(
    ("orders", "ending"),
    [
        (["pause"], Ending.PAUSED),
        (["stop"], Ending.STOPPED),
        (["pause", "stop"], Ending.STOPPED),
        (["stop", "pause"], Ending.STOPPED),
        (["leave"], Ending.LEFT),
        (["pause", "leave"], Ending.PAUSED),
    ],
)
def test_how_a_trial_ends_is_what_weighs_most_of_what_it_was_told(
    pipe: Pipe, orders: list[str], ending: Ending
) -> None:
    channel = PipeChannel(pipe.write_fd, to_step=1)
    held = Held(channel, pipe, 1)
    for order in orders:
        channel.take_order({"order": order})
    assert held.returned()
    assert channel.ending is ending


def test_an_order_to_leave_ends_no_trial_that_still_has_steps_to_train(pipe: Pipe) -> None:
    channel = PipeChannel(pipe.write_fd, to_step=3)
    channel.take_order({"order": "leave"})
    channel.report(2, {"value": 1.0}, 0.0)
    assert not channel.should_stop
    channel.report(3, {"value": 1.0}, 0.0)
    assert channel.ending is Ending.LEFT


def test_the_time_in_which_a_trial_is_held_is_no_work(pipe: Pipe) -> None:
    clock = Clock()
    channel = PipeChannel(pipe.write_fd, None, clock, to_step=1)
    clock.at_s += 5.0
    held = Held(channel, pipe, 1)
    clock.at_s += 100.0
    channel.take_order(go_on(1, None))
    assert held.returned()
    assert channel.elapsed_s() == 5.0


def reporting(channel: PipeChannel, step: int) -> threading.Thread:
    """A report in a thread of its own."""
    thread = threading.Thread(target=channel.report, args=(step, {"value": 1.0}, 0.0))
    thread.start()
    return thread


def silent(pipe: Pipe) -> bool:
    return select.select([pipe.read_fd], [], [], 0.05)[0] == []


def test_a_trial_that_asked_ahead_works_on_and_tells_in_turn_when_it_is_to_train(
    pipe: Pipe, tmp_path: Path
) -> None:
    channel = PipeChannel(pipe.write_fd, str(tmp_path), owns_process=True)
    channel.ask_ahead({"x0": 1})
    assert pipe.line() == {"equivalent": {"x0": 1}}
    channel.report(1, {"value": 1.0}, 0.0)
    channel.save(1, state_in(tmp_path), "state")
    channel.report(2, {"value": 2.0}, 0.0)
    assert silent(pipe)
    channel.take_order({"order": "train"})
    lines = [json.loads(line) for line in os.read(pipe.read_fd, 1 << 16).splitlines()]
    assert [next(iter(line)) for line in lines] == ["report", "checkpoint", "report"]
    assert [line["report"]["step"] for line in lines if "report" in line] == [1, 2]
    channel.report(3, {"value": 3.0}, 0.0)
    assert pipe.line()["report"]["step"] == 3


def test_a_trial_that_asked_ahead_waits_at_the_end_of_its_budget(pipe: Pipe) -> None:
    channel = PipeChannel(pipe.write_fd, to_step=2, owns_process=True)
    channel.ask_ahead({"x0": 1})
    channel.report(1, {"value": 1.0}, 0.0)
    last = reporting(channel, 2)
    assert pipe.line() == {"equivalent": {"x0": 1}}
    assert silent(pipe)
    channel.take_order({"order": "train"})
    told = b""
    while told.count(b"\n") < 2:
        told += os.read(pipe.read_fd, 1 << 16)
    assert [json.loads(line)["report"]["step"] for line in told.splitlines()] == [1, 2]
    assert last.is_alive()
    channel.take_order(go_on(2, None))
    last.join(LIMIT_S)
    assert not last.is_alive()


def test_a_trial_that_asked_ahead_holds_no_more_back_than_it_may(pipe: Pipe) -> None:
    channel = PipeChannel(pipe.write_fd, owns_process=True)
    channel.ask_ahead({"x0": 1})
    pipe.line()
    for step in range(MOST_HELD_BACK):
        channel.report(step, {"value": 1.0}, 0.0)
    one_more = reporting(channel, MOST_HELD_BACK)
    assert silent(pipe)
    assert one_more.is_alive()
    channel.take_order({"order": "train"})
    one_more.join(LIMIT_S)
    assert not one_more.is_alive()


def test_the_process_of_a_trial_that_asked_ahead_ends_when_an_equal_one_has_the_result(
    pipe: Pipe,
) -> None:
    pid = os.fork()
    if pid == 0:
        channel = PipeChannel(pipe.write_fd, owns_process=True)
        channel.ask_ahead({"x0": 1})
        channel.take_order({"order": "answered"})
        os._exit(1)  # it is to have ended
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    lines = os.read(pipe.read_fd, 1 << 16).splitlines()
    assert json.loads(lines[-1]) == {"end": {"state": "answered"}}


def test_nothing_is_told_between_the_answer_and_the_exit(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = PipeChannel(pipe.write_fd, owns_process=True)
    channel.ask_ahead({"x0": 1})
    pipe.line()

    def exits(status: int) -> None:
        late = threading.Thread(target=channel.send, args=({"report": {}},), daemon=True)
        late.start()
        late.join(0.1)
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", exits)
    with pytest.raises(SystemExit):
        channel.take_order({"order": "answered"})
    assert pipe.line() == {"end": {"state": "answered"}}
    assert silent(pipe)

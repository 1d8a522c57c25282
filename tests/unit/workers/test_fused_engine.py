"""Who shares a slot, what a claim asks for, and when nothing is fused. The processes are played;
the real ones are in tests/system/test_fused.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tunewell.failures import Failure
from tunewell.together import Together
from workers.devices import Device
from workers.engines import fused
from workers.engines.base import NoEngine, Place, Wanted
from workers.engines.fused import FusedEngine, how_many
from workers.group_child import LOST, told
from workers.runner import Outcome

LOSS = Outcome(failure=Failure(kind=LOST, message="gone"))


class Inner:
    """An engine with room for whatever its slots take."""

    n_slots = 1
    environment: Mapping[str, str] = {}

    def __init__(self) -> None:
        self.devices = [Device(index=0, kind="gpu")]
        self.held: list[str] = []
        self.ended: list[str] = []

    def ask(self, n_free: int) -> dict[str, Any]:
        return {"max_leases": n_free, "devices_free": []}

    def hold(self, wanted: Wanted, *, may_wait: bool) -> bool:
        self.held.append(wanted.lease_id)
        return True

    def place(self, wanted: Wanted) -> Place:
        assert not wanted.is_built_in
        return Place(device="cuda:0", environment={}, start=lambda job: pytest.fail("single"))

    def note(self, lease_id: str, pid: int) -> None:
        assert lease_id in self.held

    def end(self, lease_id: str, outcome: Outcome | None = None) -> int | None:
        self.ended.append(lease_id)
        return 7 if outcome else None

    def close(self) -> None:
        pass


class Process:
    """A group's process."""

    made: list[Process] = []  # noqa: RUF012

    def __init__(self, environment: Mapping[str, str], folder: str) -> None:
        self.pid, self.is_spent, self.is_alive, self.n_stacks = 1, False, True, 1
        self.made.append(self)

    def close(self) -> None:
        self.is_alive = False


@pytest.fixture
def inner(monkeypatch: pytest.MonkeyPatch) -> Inner:
    Process.made.clear()
    monkeypatch.setattr(fused, "Group", Process)
    return Inner()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock."""
    at = [1000.0]
    monkeypatch.setattr(fused.time, "monotonic", lambda: at[0])
    return at


def engine(inner: Any, most: int = 8, others: tuple[str, ...] = ("forest",)) -> FusedEngine:
    log: Callable[..., None] = lambda event, **fields: None  # noqa: E731
    offered = ["mnist", *others]
    made: Any = FusedEngine
    return made(inner, most, fusable={"mnist"}, offered=offered, folder=None, log=log)  # type: ignore[no-any-return]


def wanted(lease: str, *, objective: str = "mnist", group: str | None = "fg_1") -> Wanted:
    return Wanted(
        lease_id=lease, trial_id=lease, objective=objective, is_built_in=True, fuse_group=group
    )


def begin(of: FusedEngine, *leases: str, group: str = "fg_1") -> None:
    for lease in leases:
        assert of.hold(wanted(lease, group=group), may_wait=False)
        of.place(wanted(lease, group=group))


def test_a_group_takes_one_slot_and_one_process_and_then_asks_for_its_own_kind(
    inner: Inner, now: list[float]
) -> None:
    of = engine(inner)
    assert of.n_slots == 8
    assert of.ask(8) == {"max_leases": 1, "devices_free": [], "fuse": {"mnist": 8}}
    begin(of, "a", "b", "c")
    assert (inner.held, len(Process.made)) == (["fg_1"], 1)
    assert not of.hold(wanted("f", objective="forest", group=None), may_wait=False)
    assert of.ask(5) == {"max_leases": 5, "objectives": ["mnist"], "fuse_group": "fg_1"}
    begin(of, "d")
    assert len(Process.made) == 1


def test_the_slot_is_free_when_the_last_has_ended_and_the_process_waits_for_the_next_ones(
    inner: Inner, now: list[float]
) -> None:
    of = engine(inner)
    begin(of, "a", "b")
    of.end("a", Outcome(end={"state": "completed"}))
    assert inner.ended == []
    of.end("b", Outcome(end={"state": "completed"}))
    assert inner.ended == ["fg_1"]
    begin(of, "c", group="fg_2")
    assert len(Process.made) == 1
    of.end("c")
    assert of.hold(wanted("f", objective="forest", group=None), may_wait=False)
    assert not Process.made[0].is_alive  # its memory is the forest's


@pytest.mark.parametrize("others", [("forest",), ()])
def test_a_group_is_refilled_for_a_minute_where_others_wait_for_the_slot(
    inner: Inner, now: list[float], others: tuple[str, ...]
) -> None:
    of = engine(inner, others=others)
    begin(of, "a")
    now[0] += fused.OPEN_S
    assert (of.ask(7) is None) is bool(others)


def test_nothing_is_fused_for_a_while_after_a_group_was_lost(
    inner: Inner, now: list[float]
) -> None:
    of = engine(inner)
    begin(of, "a", "b")
    for lease in ("a", "b"):
        of.end(lease, LOSS)
    assert not Process.made[0].is_alive
    assert "fuse" not in (of.ask(8) or {})
    assert of.hold(wanted("a", group=None), may_wait=False)
    assert not of.hold(wanted("b", group=None), may_wait=False)
    of.end("a")
    now[0] += fused.COOL_S
    assert (of.ask(8) or {})["fuse"] == {"mnist": 8}


def test_where_trials_fit_no_others_fewer_are_asked_for_and_more_again_where_they_do(
    inner: Inner, now: list[float]
) -> None:
    of, alone = engine(inner, most=32), "abcdefghijklmnop"
    begin(of, *alone)
    Process.made[0].n_stacks = len(alone)
    assert of.ask(16) is None
    for lease in alone:
        of.end(lease)
    assert (of.ask(32) or {})["fuse"] == {"mnist": 8}
    begin(of, *"abcdefgh", group="fg_2")
    Process.made[0].n_stacks = 1
    assert (of.ask(24) or {})["max_leases"] == 8


def test_a_failure_ends_the_process_when_the_others_are_done(
    inner: Inner, now: list[float]
) -> None:
    of = engine(inner)
    begin(of, "a", "b")
    of.end("a", Outcome(failure=Failure(kind="user_error", message="no")))
    assert of.ask(7) is None
    assert Process.made[0].is_alive
    of.end("b")
    assert not Process.made[0].is_alive
    assert (of.ask(8) or {})["fuse"] == {"mnist": 8}


def test_want_of_memory_is_a_trials_own_when_it_was_alone(inner: Inner, now: list[float]) -> None:
    of, oom = engine(inner), Outcome(failure=Failure(kind="oom", message="no"))
    begin(of, "a", "b")
    assert of.end("b", Outcome(failure=Failure(kind=LOST, message="no"))) is None
    assert of.end("a", oom) == 7
    shared = Together()
    seat, ending = shared.expect(), {"fail": {"kind": "oom", "message": "no", "traceback": ""}}
    assert told(ending, seat) == ending
    shared.expect()
    assert told(ending, seat)["fail"]["kind"] == LOST


def test_trials_without_a_group_join_one_that_has_a_place(inner: Inner, now: list[float]) -> None:
    of = engine(inner, most=2)
    begin(of, "a")
    assert of.hold(wanted("b", group=None), may_wait=True)
    assert not of.hold(wanted("c", group=None), may_wait=True)
    assert inner.held == ["fg_1"]


@pytest.mark.parametrize(
    ("said", "kind", "most"),
    [("auto", "gpu", 32), ("auto", "cpu", 1), ("off", "gpu", 1), ("5", "cpu", 5)],
)
def test_auto_is_for_gpus(said: str, kind: str, most: int) -> None:
    assert how_many(said, [Device(index=0, kind=kind)]) == most


def test_another_word_is_refused() -> None:
    with pytest.raises(NoEngine, match="auto, off or a number"):
        how_many("257", [Device(index=0, kind="gpu")])

"""Which trainings one call advances, in which order, and who waits for whom."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from tunewell.together import Left, Seat, Together, Wish

LIMIT_S = 20.0


class Log:
    """Notes the calls for several; each training is a name, its result that name at its step."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.failing: Exception | None = None

    def many(self, trainings: Sequence[str], to_steps: Sequence[int]) -> list[str]:
        self.calls.append(list(trainings))
        if self.failing is not None:
            raise self.failing
        return [f"{name}{step}" for name, step in zip(trainings, to_steps, strict=True)]

    def wish(self, name: str, step: int = 1, *, key: Hashable = "k", **more: Any) -> Wish:
        return Wish(training=name, to_step=step, key=key, many=self.many, **more)


@contextmanager
def serving(shared: Together) -> Iterator[None]:
    thread = threading.Thread(target=shared.serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        shared.close()
        thread.join(LIMIT_S)
        assert not thread.is_alive()


def in_thread(call: Callable[[], Any]) -> Callable[[], Any]:
    """Begins a call; gives what waits for its result, or for what it raised."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(call())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result() -> Any:
        thread.join(LIMIT_S)
        return found[0]

    return result


def asked(*pairs: tuple[Seat, Wish]) -> list[Callable[[], Any]]:
    return [in_thread(lambda seat=seat, wish=wish: seat.advance(wish)) for seat, wish in pairs]


def test_those_of_a_key_are_advanced_by_one_call_each_to_its_own_step() -> None:
    shared, log = Together(), Log()
    one, two, other = shared.expect(), shared.expect(), shared.expect()
    with serving(shared):
        found = asked(
            (one, log.wish("a")), (two, log.wish("b", 5)), (other, log.wish("c", key="else"))
        )
        assert [each() for each in found] == ["a1", "b5", "c1"]
    assert sorted(map(sorted, log.calls)) == [["a", "b"], ["c"]]
    assert (one.most, other.most) == (2, 1)


def test_one_that_is_set_up_is_waited_for_and_one_that_reports_too() -> None:
    shared, log = Together(settle_s=LIMIT_S, setup_s=LIMIT_S), Log()
    one, two = shared.expect(), shared.expect()
    with serving(shared):
        (first,) = asked((one, log.wish("a")))
        (second,) = asked((two, log.wish("b")))
        assert (first(), second()) == ("a1", "b1")
        (first,) = asked((one, log.wish("a", 2)))
        (second,) = asked((two, log.wish("b", 2)))
        assert (first(), second()) == ("a2", "b2")
    assert list(map(sorted, log.calls)) == [["a", "b"], ["a", "b"]]


def test_the_others_go_on_without_one_that_takes_long_and_one_that_has_left() -> None:
    shared, log = Together(settle_s=0.01, setup_s=LIMIT_S), Log()
    one, two, three = shared.expect(), shared.expect(), shared.expect()
    with serving(shared):
        found = asked((one, log.wish("a")), (two, log.wish("b")))
        three.leave()
        assert [each() for each in found] == ["a1", "b1"]
        (again,) = asked((one, log.wish("a", 2)))
        assert again() == "a2"
    assert log.calls[-1] == ["a"]


def test_one_that_leaves_while_it_waits_is_told_so() -> None:
    shared = Together()
    seat = shared.expect()
    (found,) = asked((seat, Log().wish("a")))
    seat.leave()
    assert isinstance(found(), Left)


def test_what_is_done_alone_is_called_alone() -> None:
    shared = Together()
    one, two = shared.expect(), shared.expect()
    with serving(shared):
        found = [in_thread(lambda seat=seat: seat.alone(lambda: 7)) for seat in (one, two)]
        assert [each() for each in found] == [7, 7]
    assert (one.most, two.most) == (1, 1)


def test_an_error_is_the_trials_own_where_it_was_alone_and_everybodys_else() -> None:
    shared, log = Together(), Log()
    log.failing = ValueError("no")
    seat = shared.expect()
    with serving(shared):
        (found,) = asked((seat, log.wish("a")))
        assert isinstance(found(), ValueError)
    shared = Together()
    asked((shared.expect(), log.wish("a")), (shared.expect(), log.wish("b")))
    with pytest.raises(ValueError, match="no"):
        shared.serve()


def test_the_key_that_has_had_least_by_the_end_of_its_next_step_is_next() -> None:
    """By what is said of the cost at first, then by what was measured."""
    clock, priors = [0.0], {"a": 3.0, "b": 1.0, "c": 2.0}
    took = {"a": 0.5, "b": 9.0, "c": 1.0}
    shared, log = Together(now=lambda: clock[0]), Log()
    seats = {name: shared.expect() for name in priors}

    def many(trainings: Sequence[str], to_steps: Sequence[int]) -> list[str]:
        clock[0] += took[trainings[0]]
        found = log.many(trainings, to_steps)
        if len(log.calls) % 3 == 0:
            shared.close()
        return found

    for step in (1, 2):
        for name, seat in seats.items():
            wish = Wish(
                training=name, to_step=step, key=name, many=many, prior_s=step * priors[name]
            )
            in_thread(lambda seat=seat, wish=wish: seat.advance(wish))
        with shared._changed:
            waiting = shared._changed.wait_for(
                lambda step=step: all(s.wish and s.wish.to_step == step for s in seats.values()),
                LIMIT_S,
            )
        assert waiting
        shared.serve()
    assert [call[0] for call in log.calls] == ["b", "c", "a", "a", "c", "b"]


def test_how_many_calls_a_step_of_all_takes_is_told_when_it_changes() -> None:
    told: list[int] = []
    shared, log = Together(on_stacks=told.append), Log()
    one, two = shared.expect(), shared.expect()
    with serving(shared):
        found = asked((one, log.wish("a")), (two, log.wish("b", key="else")))
        assert all(each() for each in found)
    two.leave()
    assert told == [1, 2, 1]

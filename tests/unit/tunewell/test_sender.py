"""The thread that sends what trials report: batches, beats, outages, refusals; a fake service."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tunewell.errors import ApiError, StaleLease, Unreachable, refusal
from tunewell.exchange import Request
from tunewell.sender import MOST_POINTS, Held, Sender

LIMIT_S = 30.0


class Service:
    """Answers reports and beats; may be away, or have something to say.

    Attributes:
        reports: sequence numbers and steps that came.
    """

    def __init__(self) -> None:
        self.reports: list[tuple[int, list[int]]] = []
        self.beats = threading.Semaphore(0)
        self.tries = threading.Semaphore(0)
        self.error: Exception | None = None
        self.directive = "continue"

    def __call__(self, request: Request) -> Any:
        self.tries.release()
        if self.error is not None:
            raise self.error
        if request.path.endswith(":heartbeat"):
            self.beats.release()
            return {"leases": [{"directive": self.directive} for _ in request.body["leases"]]}
        if request.method == "GET":
            return {"directive_reason": "worse than half"}
        steps = [point["step"] for point in request.body["points"]]
        self.reports.append((request.body["seq"], steps))
        return {"directive": self.directive, "budget": {"from_step": 0, "to_step": None}}


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def held() -> Held:
    return Held("tr_1", "ls_1", last_seq=4, last_step=2, to_step=None)


@pytest.fixture
def sender(service: Service, held: Held) -> Iterator[Sender]:
    made = Sender(service, batch_s=0.05, beat_every_s=3600)
    made.hold(held)
    yield made
    made.let_go(held)


def put(held: Held, *steps: int) -> None:
    for step in steps:
        held.put(step, {"value": 1.0}, 0.0)


def test_points_go_together_numbered_on_and_known_ones_not_again(
    sender: Sender, service: Service, held: Held
) -> None:
    put(held, 1, 2, 3, 4)
    sender.flush(held).result(timeout=LIMIT_S)
    put(held, 5)
    sender.flush(held).result(timeout=LIMIT_S)
    assert [step for _, steps in service.reports for step in steps] == [3, 4, 5]
    numbers = [seq for seq, _ in service.reports]
    assert numbers == list(range(5, 5 + len(numbers)))


def test_a_batch_that_was_not_answered_goes_again_under_its_number(
    sender: Sender, service: Service, held: Held
) -> None:
    service.error = Unreachable("http://tune", "refused")
    put(held, 3)
    waiting = sender.flush(held)
    assert service.tries.acquire(timeout=LIMIT_S)
    assert service.tries.acquire(timeout=LIMIT_S)
    assert not waiting.done()
    put(held, 4)
    service.error = None
    waiting.result(timeout=LIMIT_S)
    assert service.reports[0] == (5, [3])


def test_an_outage_keeps_a_hundred_thousand_points_and_a_report_takes_microseconds(
    sender: Sender, service: Service, held: Held
) -> None:
    service.error = Unreachable("http://tune", "refused")
    begun = time.thread_time()
    put(held, *range(3, MOST_POINTS + 1))
    each_s = (time.thread_time() - begun) / MOST_POINTS
    assert each_s < 50e-6
    service.error = None
    sender.flush(held).result(timeout=LIMIT_S)
    steps = [step for _, found in service.reports for step in found]
    assert steps == list(range(3, MOST_POINTS + 1))


def test_a_silent_trial_is_kept_alive_by_beats(service: Service, held: Held) -> None:
    sender = Sender(service, batch_s=0.01, beat_every_s=0.02)
    sender.hold(held)
    assert service.beats.acquire(timeout=LIMIT_S)
    assert service.beats.acquire(timeout=LIMIT_S)
    sender.let_go(held)


@pytest.mark.parametrize("directive", ["stop", "pause"])
def test_a_directive_ends_the_training_and_says_why(
    directive: str, sender: Sender, service: Service, held: Held
) -> None:
    service.directive = directive
    put(held, 3)
    sender.flush(held).result(timeout=LIMIT_S)
    assert held.must_end
    assert (held.directive, held.reason) == (directive, "worse than half")


def test_an_order_to_abort_means_that_the_lease_is_lost(
    sender: Sender, service: Service, held: Held
) -> None:
    service.directive = "abort"
    put(held, 3)
    sender.flush(held).result(timeout=LIMIT_S)
    assert held.must_end
    assert isinstance(held.problem, StaleLease)


def test_a_refused_point_is_said_and_nothing_more_is_sent(
    sender: Sender, service: Service, held: Held
) -> None:
    service.error = refusal(422, {"code": "invalid-value", "detail": "no such step"})
    put(held, 3)
    sender.flush(held).result(timeout=LIMIT_S)
    assert isinstance(held.problem, ApiError)
    put(held, 4)
    sender.flush(held).result(timeout=LIMIT_S)
    assert service.reports == []


def test_the_thread_ends_with_the_last_lease_and_comes_again(
    sender: Sender, service: Service, held: Held
) -> None:
    thread = sender._thread
    assert thread is not None
    sender.let_go(held)
    thread.join(timeout=LIMIT_S)
    assert not thread.is_alive()
    sender.hold(held)
    put(held, 3)
    sender.flush(held).result(timeout=LIMIT_S)
    assert service.reports == [(5, [3])]

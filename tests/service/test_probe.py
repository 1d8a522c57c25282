"""A question that may never be answered: nobody waits for ever, nobody asks it twice at once."""

from __future__ import annotations

import asyncio
import threading

import pytest

from app.errors import AppError
from app.service.probe import Probe

pytestmark = pytest.mark.anyio

LONG_S = 60.0


async def test_an_answer_is_given_as_it_comes() -> None:
    assert await Probe(lambda: 3, "test", LONG_S).answer() == 3


async def test_a_stuck_question_is_left_and_not_asked_again_until_it_ends() -> None:
    go, asked = threading.Event(), []

    def ask() -> int:
        asked.append(1)
        assert go.wait(LONG_S)
        return len(asked)

    probe = Probe(ask, "test", 0.01)
    found = await asyncio.gather(*(probe.answer() for _ in range(5)))
    assert found == [None] * 5
    assert await probe.answer() is None
    assert len(asked) == 1
    go.set()
    patient = Probe(ask, "test", LONG_S)
    assert await patient.answer() == 2
    while (answer := await probe.answer()) is None:
        continue  # the first question's thread is about to end
    assert answer in (1, 2, 3)


async def test_a_refusal_and_a_defect_are_no_answer_and_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse() -> int:
        raise AppError("not now")

    def break_down() -> int:
        raise ZeroDivisionError

    for ask in (refuse, break_down):
        probe = Probe(ask, "test", LONG_S)
        assert await probe.answer() is None
        assert await probe.answer() is None  # it can be asked again
    assert [record.message for record in caplog.records] == ["probe_failed"] * 4
    assert sum(record.exc_info is not None for record in caplog.records) == 2

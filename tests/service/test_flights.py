"""Answers that take long: made once, and the older one given meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from app.analysis.envelope import Envelope
from app.service.flights import Flights

pytestmark = pytest.mark.anyio


def answer(seq: int) -> Envelope:
    return Envelope(
        kind="importance",
        change_seq=seq,
        n_total=0,
        n_used=0,
        n_shown=0,
        sampling="all",
        columns={},
    )


class Maker:
    """Makes answers when it is let."""

    def __init__(self) -> None:
        self.n_made = 0
        self.seq = 1
        self.may = asyncio.Event()

    async def __call__(self) -> Envelope:
        self.n_made += 1
        await self.may.wait()
        return answer(self.seq)


async def test_an_answer_is_made_once_however_many_wait() -> None:
    flights, make = Flights(), Maker()
    waiting = [asyncio.create_task(flights.get("a", 1, make)) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # who no longer waits takes it from nobody
    make.may.set()
    found = await asyncio.gather(*waiting[1:])
    assert [each.change_seq for each in found] == [1, 1, 1, 1]
    assert (await flights.get("a", 1, make)).more["stale_by"] == 0
    assert make.n_made == 1


async def test_the_older_answer_is_given_while_a_new_one_is_made() -> None:
    flights, make = Flights(wait_s=0.01), Maker()
    make.may.set()
    await flights.get("a", 1, make)
    make.may.clear()
    make.seq = 4
    old = await flights.get("a", 4, make)
    assert (old.change_seq, old.more["stale_by"]) == (1, 3)
    make.may.set()
    await flights.close()
    new = await flights.get("a", 4, make)
    assert (new.change_seq, new.more["stale_by"], make.n_made) == (4, 0, 2)


async def test_an_answer_that_may_pass_is_made_again() -> None:
    flights = Flights()
    n_made = 0

    async def make() -> Envelope:
        nonlocal n_made
        n_made += 1
        return replace(answer(1), is_passing=n_made == 1)

    assert [(await flights.get("a", 1, make)).is_passing for _ in range(3)] == [True, False, False]
    assert n_made == 2


async def test_an_error_reaches_all_who_wait_and_is_not_kept() -> None:
    flights = Flights()

    async def fail() -> Envelope:
        raise ValueError("no such thing")

    for _ in range(2):
        with pytest.raises(ValueError, match="no such thing"):
            await flights.get("a", 1, fail)

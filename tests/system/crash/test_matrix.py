"""Every cell of the matrix. A few run with the default suite; `make crash-matrix` runs them all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Postgres

from . import replica_faults, saving_faults, service_faults, worker_faults
from .cells import Case, Fault, all_cases
from .checker import faults
from .plan import Point, Step
from .proxy import Proxy
from .record import Record
from .replica import Replica
from .world import World

_OFTEN = {
    (Step.CLAIM_AFTER, Fault.SERVICE_KILL, Point.AFTER_COMMIT.value),
    (Step.COMPLETE, Fault.SERVICE_KILL, Point.BEFORE_COMMIT.value),
    (Step.MIGRATION, Fault.SERVICE_KILL, Point.MIDWAY.value),
    (Step.COMPLETE, Fault.CUT, "COMMIT unanswered"),
    (Step.REPORT, Fault.TWICE, "at once"),
    (Step.COMPLETE, Fault.REPLICAS, ""),
    (Step.UPLOAD, Fault.SERVICE_KILL, Point.MIDWAY.value),
    (Step.COMMIT, Fault.SERVICE_KILL, Point.BEFORE_COMMIT.value),
}
"""Cases of the default suite, on each database that has them."""


def _parameters() -> Iterator[Any]:
    for case in all_cases():
        is_often = (case.step, case.fault, case.variant) in _OFTEN
        marks = [] if is_often else [pytest.mark.crash]
        yield pytest.param(case, id=case.name, marks=marks)


@pytest.fixture
def world(case: Case, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """A migrated database of the case's kind, and nothing running yet."""
    if case.dialect == "sqlite":
        path = tmp_path / "tunewell.db"
        shutil.copyfile(request.getfixturevalue("migrated_file"), path)
        yield from _opened(World(f"sqlite:///{path}", tmp_path))
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.database(is_migrated=True) as url:
        if case.fault is not Fault.CUT:
            yield from _opened(World(url, tmp_path))
            return
        with _proxy(url) as proxy:
            yield from _opened(World(url, tmp_path, served_url=proxy.url, proxy=proxy))


def _opened(world: World) -> Iterator[World]:
    try:
        yield world
    finally:
        world.close()


@contextmanager
def _proxy(url: str) -> Iterator[Proxy]:
    proxy = Proxy(url)
    try:
        yield proxy
    finally:
        proxy.close()


@pytest.mark.parametrize("case", list(_parameters()))
def test_nothing_is_lost_and_nothing_counts_twice(case: Case, world: World) -> None:
    for study_id, record in _played(case, world):
        assert faults(world.database_url, study_id, record) == []


def _played(case: Case, world: World) -> list[tuple[str, Record]]:
    if case.plan is None:
        return replica_faults.play(world, case.step)
    if case.blow is not None and case.step in service_faults.CHECKPOINT_STEPS:
        study_id = saving_faults.play(world, case.plan, case.blow)
    elif case.blow is not None:
        study_id = worker_faults.play(world, case.plan, case.blow, case.offset_s)
    elif case.fault is Fault.CUT:
        study_id = service_faults.play(world, case.plan, _cutter(case, world))
    else:
        study_id = service_faults.play(world, case.plan)
    return [(study_id, world.record)]


def _cutter(case: Case, world: World) -> service_faults.OnStruck:
    """Cuts the connection of the write that is held, then lets it go on."""

    def cut(replica: Replica, struck: dict[str, Any]) -> None:
        assert world.proxy is not None
        if case.at_commit:
            world.proxy.cut_at_commit(struck["backend"])
        else:
            world.proxy.cut()
        replica.go_on()

    return cut

"""What trials print: bounded, fenced by the lease, and kept for a while."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.domain.lease import LeaseEnd
from app.domain.trial import TrialState
from app.errors import InvalidInput, NotFound, StaleLease
from app.service import trial_logs
from app.service.services import Services
from app.service.trial_logs import TrialLog
from app.service.views import Grant
from app.settings import DAY_S
from app.store.engine import Store

from .conftest import LEASE_TTL_S, Bench, definition
from .test_purge import purged

pytestmark = pytest.mark.anyio

CHUNK = 1000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds of a few chunks in place of megabytes."""
    monkeypatch.setattr(trial_logs, "HEAD_BYTES", 2 * CHUNK)
    monkeypatch.setattr(trial_logs, "TAIL_BYTES", 3 * CHUNK)
    monkeypatch.setattr(trial_logs, "MAX_CHUNK_BYTES", CHUNK)


async def granted(bench: Bench) -> Grant:
    (grant,) = await bench.suggest(bench.study(definition()))
    return grant


def put(bench: Bench, grant: Grant, offset: int, text: str) -> int:
    return bench.services.logs.append(
        grant.trial.id, lease_id=grant.lease.id, offset=offset, text=text, caller=bench.caller
    )


def read(bench: Bench, grant: Grant, lease_id: str | None = None) -> TrialLog:
    return bench.services.logs.read(grant.trial.id, lease_id)


async def test_pieces_that_touch_are_read_back_as_one(bench: Bench) -> None:
    grant = await granted(bench)
    assert read(bench, grant) == TrialLog(trial_id=grant.trial.id, lease_id=None)
    assert put(bench, grant, 0, "épo") == 4
    assert put(bench, grant, 4, "ch\x00 1\n") == 10
    found = read(bench, grant)
    assert found.lease_id == grant.lease.id
    assert (found.size_bytes, found.omitted_bytes) == (10, 0)
    ((start, text),) = found.parts
    assert start == 0
    assert text.startswith("époch")
    assert text.endswith(" 1\n")


async def test_the_same_piece_again_changes_nothing(bench: Bench) -> None:
    grant = await granted(bench)
    for _ in range(3):
        assert put(bench, grant, 0, "one") == 3
    assert put(bench, grant, 3, "two") == 6
    assert put(bench, grant, 0, "one") == 6
    assert put(bench, grant, 6, "") == 6
    assert read(bench, grant).parts == ((0, "onetwo"),)


async def test_a_piece_that_comes_four_times_at_once_is_there_once(bench: Bench) -> None:
    grant = await granted(bench)
    words = [f"{number:04d}" for number in range(20)]
    with ThreadPoolExecutor(4) as pool:
        for start, word in enumerate(words):
            sent = [pool.submit(put, bench, grant, 4 * start, word) for _ in range(4)]
            assert {each.result() for each in sent} == {4 * start + 4}
    assert read(bench, grant).text == "".join(words)


@pytest.mark.parametrize(
    ("offset", "text", "pointer", "code"),
    [
        (2, "xx", "/offset", "offset-before-end"),
        (0, "x", "/offset", "offset-before-end"),
        (0, "xxxx", "/offset", "offset-before-end"),
        (4, "é" * (CHUNK // 2) + "x", "/text", "too-long"),
    ],
)
async def test_a_piece_that_cannot_be_is_refused(
    bench: Bench, offset: int, text: str, pointer: str, code: str
) -> None:
    grant = await granted(bench)
    put(bench, grant, 0, "four")
    with pytest.raises(InvalidInput) as refused:
        put(bench, grant, offset, text)
    (fault,) = refused.value.faults
    assert (fault.pointer, fault.code) == (pointer, code)
    assert read(bench, grant).parts == ((0, "four"),)


async def test_the_first_and_the_last_pieces_are_kept(bench: Bench) -> None:
    grant = await granted(bench)
    for number in range(12):
        put(bench, grant, number * CHUNK, f"{number % 10}" * CHUNK)
    found = read(bench, grant)
    assert [(start, set(text)) for start, text in found.parts] == [
        (0, {"0", "1"}), (9 * CHUNK, {"9", "0", "1"}),
    ]  # fmt: skip
    assert (found.size_bytes, found.omitted_bytes) == (12 * CHUNK, 7 * CHUNK)
    assert f"\n... {7 * CHUNK:,} bytes left out ...\n" in found.text


async def test_what_the_holder_left_out_is_a_gap(bench: Bench) -> None:
    grant = await granted(bench)
    put(bench, grant, 0, "first")
    assert put(bench, grant, 100, "last") == 104
    found = read(bench, grant)
    assert found.parts == ((0, "first"), (100, "last"))
    assert found.omitted_bytes == 95
    assert found.text == "first\n... 95 bytes left out ...\nlast"


async def test_a_stale_lease_prints_nothing_and_each_attempt_has_its_own(
    bench: Bench, services: Services
) -> None:
    grant = await granted(bench)
    put(bench, grant, 0, "of the first")
    services.store.clock.offset_s += 2 * LEASE_TTL_S + 1
    bench.sweep()
    (again,) = await bench.suggest(grant.trial.study_id, client_id="other")
    assert again.trial.id == grant.trial.id
    with pytest.raises(StaleLease):
        put(bench, grant, 12, "too late")
    assert read(bench, grant).text == "of the first"
    put(bench, again, 0, "of the second")
    assert read(bench, grant).text == "of the second"
    assert read(bench, grant, grant.lease.id).text == "of the first"


async def test_output_keeps_no_lease_alive(bench: Bench, services: Services) -> None:
    grant = await granted(bench)
    put(bench, grant, 0, "one")
    services.store.clock.offset_s += LEASE_TTL_S + 1
    bench.sweep()
    assert services.trials.get(grant.trial.id).trial.state is TrialState.PENDING
    assert put(bench, grant, 3, "two") == 6
    view = services.trials.get(grant.trial.id)
    assert view.trial.state is TrialState.PENDING
    assert view.attempts[-1].end is LeaseEnd.EXPIRED


async def test_unknown_trials_and_attempts_are_said_to_be(bench: Bench) -> None:
    grant, other = await granted(bench), (await bench.suggest(bench.study(definition("b"))))[0]
    put(bench, grant, 0, "x")
    for trial_id, lease_id in (
        ("tr_none", None),
        (grant.trial.id, "ls_none"),
        (other.trial.id, grant.lease.id),
    ):
        with pytest.raises(NotFound):
            bench.services.logs.read(trial_id, lease_id)


async def test_output_is_kept_for_a_while_and_goes_with_its_study(
    bench: Bench, services: Services, store: Store
) -> None:
    grant = await granted(bench)
    put(bench, grant, 0, "old")
    purged(services)
    assert read(bench, grant).text == "old"
    store.clock.offset_s += 31 * DAY_S
    put(bench, grant, 3, "new")
    purged(services)
    assert read(bench, grant).parts == ((3, "new"),)
    services.trials.cancel(grant.trial.id)
    services.studies.delete(grant.trial.study_id)
    store.clock.offset_s += 31 * DAY_S
    purged(services)
    with pytest.raises(NotFound):
        read(bench, grant)

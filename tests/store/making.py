"""Short forms of what the store's tests make again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import func, select

from app.domain.definition import parse_definition
from app.domain.lease import Lease, LeaseEnd
from app.domain.study import Study, StudyDefinition
from app.domain.trial import Trial, TrialSource, TrialState
from app.store import events, leases, studies, trials
from app.store.engine import Store
from app.store.tables import events as event_table
from app.store.transaction import Tx
from app.store.trials import Finished

T = TypeVar("T")

RELEASED = LeaseEnd.RELEASED

WAIT_S = 30.0
"""How long a test waits for a signal before it fails."""


def definition(name: str = "study", **more: Any) -> StudyDefinition:
    """A small study: minimise `loss` over x in [0, 1]."""
    raw = {
        "name": name,
        "metrics": [{"name": "loss", "direction": "minimize"}],
        "space": [{"name": "x", "type": "float", "low": 0, "high": 1}],
        "suggester": {"name": "random", "seed": 7},
        **more,
    }
    return parse_definition(raw, draw_seed=lambda: 1).definition


def study(store: Store, name: str = "study", **more: Any) -> Study:
    """A new study."""
    made = definition(name, **more)
    return store.write(lambda tx: studies.insert(tx, made)).study


def trial(store: Store, study_id: str, **more: Any) -> Trial:
    """A new trial, pending unless `more` says otherwise."""
    given: dict[str, Any] = {"params": {"x": 0.5}, "source": TrialSource.SUGGESTER, **more}
    return store.write(lambda tx: trials.insert(studies.lock(tx, study_id), **given))


def finished(store: Store, study_id: str, value: float | None, **more: Any) -> Trial:
    """An imported trial that completed with a loss, or without one."""
    values = {} if value is None else {"loss": value}
    return trial(
        store,
        study_id,
        source=TrialSource.IMPORT,
        state=TrialState.COMPLETED,
        ended=Finished(values=values),
        **more,
    )


def claim(
    tx: Tx, study_id: str, one: Trial, *, duration_s: float = 60.0, **holder: Any
) -> tuple[Trial, Lease]:
    """Puts a pending trial under a new lease."""
    locked = studies.lock(tx, study_id)
    lease = leases.insert(locked, one, duration_s=duration_s, **holder)
    moved = trials.move(
        locked,
        one,
        TrialState.RUNNING,
        lease_id=lease.id,
        worker_id=lease.worker_id,
        client_id=lease.client_id,
    )
    return moved, lease


def running(store: Store, study_id: str, **holder: Any) -> tuple[Trial, Lease]:
    """A new trial under a lease."""
    one = trial(store, study_id)
    return store.write(lambda tx: claim(tx, study_id, one, **holder))


def move(store: Store, one: Trial, to: TrialState, **changes: Any) -> Trial:
    """Moves a trial in a transaction of its own."""
    return store.write(lambda tx: trials.move(studies.lock(tx, one.study_id), one, to, **changes))


def present(store: Store, study_id: str) -> Study:
    """The study as it is stored, deleted or not."""
    return store.read(lambda conn: studies.get(conn, study_id, deleted=True))


def settled(store: Store) -> None:
    """Waits until the feed shows every event.

    The server is shared: a transaction of another test can hold the feed back for a moment.
    """
    pause, count = threading.Event(), select(func.count()).select_from(event_table)
    for _ in range(600):
        shown, kept = store.read(
            lambda conn: (len(events.feed(conn, None, 100_000)), conn.execute(count).scalar_one())
        )
        if shown == kept:
            return
        pause.wait(0.05)
    raise AssertionError("the feed stays behind")


def together(calls: Sequence[Callable[[], T]]) -> list[T | Exception]:
    """Runs all calls at the same time; what each returned or raised, in their order."""
    found: list[Any] = [None] * len(calls)
    start = threading.Barrier(len(calls))

    def run(place: int) -> None:
        start.wait(WAIT_S)
        try:
            found[place] = calls[place]()
        except Exception as error:
            found[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    return found

"""The service as the model test calls it: one call at a time, each ended before the next begins."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from app.domain.token import Role
from app.domain.trial import FailureKind, TrialState
from app.domain.trial import Trial as TrialRow
from app.domain.worker import ObjectiveOffer
from app.errors import AppError
from app.service.services import Services
from app.service.views import Beat, Caller, Grant, Point
from app.settings import Settings
from app.store.engine import Store
from app.store.idempotency import Answer, Key, Receipt
from app.store.opening import open_store

from .. import audit
from ..audit import Ledger
from ..clock import START, SetClock
from .values import SLOTS, Holder, Lease, Refused, Study, Trial, Worker

T = TypeVar("T")
LEASE_TTL_S = 60.0


def code_of(call: Callable[[], T]) -> T | str:
    """What a call brought, or the code of its refusal, by the service or by the model."""
    try:
        return call()
    except (AppError, Refused) as error:
        return error.code if isinstance(error, AppError) else str(error)


@dataclass(frozen=True)
class Keyed:
    """An idempotency key of a call, and the answer that is kept under it."""

    receipt: Receipt[Any]
    body: str


class Counted:
    """Stands in for random bytes in the making of ids: of one instant, later ones sort later."""

    def __init__(self) -> None:
        self._made = itertools.count()

    def __call__(self, n_bytes: int) -> bytes:
        """The next number."""
        return next(self._made).to_bytes(n_bytes, "big")


class Real:
    """All services over one database whose clock stands still between the steps."""

    def __init__(self, url: str) -> None:
        self.clock = SetClock()
        self.store: Store = open_store(url, clock=self.clock)
        self._runner = asyncio.Runner()
        self._services = self._runner.run(self._open())
        self._numbers = itertools.count(1)
        self._trial_ids: dict[tuple[str, int], str] = {}

    async def _open(self) -> Services:
        # Nothing sweeps by itself: the machine's own rule does.
        return Services(self.store, Settings(database_url=self.store.url, lease_ttl_s=LEASE_TTL_S))

    def close(self) -> None:
        self._runner.run(self._services.stop())
        self._runner.close()
        self.store.close()

    def clear(self) -> None:
        """Takes back what an example has left that failed half way."""
        self.clock.elapsed_s += 1000
        while self.sweep():
            pass

    def fresh(self, what: str) -> str:
        """A name that no other example has used."""
        return f"{what}-{next(self._numbers)}"

    def keyed(self) -> Keyed:
        name = self.fresh("key")
        key = Key(scope="tk", method="POST", path="/", key=name, body_hash="1")
        return Keyed(
            Receipt(key=key, keep=lambda _: Answer(status=200, headers={}, body=name)), name
        )

    def create(self, objective: str, study: dict[str, Any]) -> str:
        raw = {
            "name": self.fresh("study"),
            "metrics": [{"name": "value", "direction": "minimize"}],
            "objective": {"name": objective},
            "space": [{"name": "x", "type": "float", "low": 0, "high": 1}],
            "suggester": {"name": "random", "seed": 7},
            **study,
        }
        return self._services.studies.create(raw).study.id

    def register(self, name: str, boot: str, objective: str, receipt: Any = None) -> str:
        view = self._services.workers.register(
            name=name, boot_id=boot, labels={}, devices=[],
            objectives=[ObjectiveOffer(name=objective)], slots=SLOTS, receipt=receipt,
        )  # fmt: skip
        return view.worker.id

    def drain(self, worker: Worker, is_draining: bool) -> None:
        self._services.workers.set_draining(worker.id, is_draining)

    def is_draining(self, worker: Worker) -> bool:
        return self._services.workers.get(worker.id).worker.draining

    def claim(self, worker: Worker, holder: Holder, want: int, receipt: Any) -> Sequence[Grant]:
        claim = self._services.claims.claim(
            worker.id, max_leases=want, wait_s=0, devices_free=None,
            caller=_caller(holder.token), receipt=receipt,
        )  # fmt: skip
        return self._runner.run(claim).grants

    def suggest(self, study: Study, holder: Holder, want: int, receipt: Any) -> Sequence[Grant]:
        suggest = self._services.claims.suggest(
            study.id, count=want, client_id=holder.client, wait_s=0, lease_s=holder.duration_s,
            caller=_caller(holder.token), receipt=receipt,
        )  # fmt: skip
        return self._runner.run(suggest).grants

    def beat(self, lease: Lease, token: str) -> str:
        worker = lease.holder.worker
        (answer,) = self._services.leases.beat(
            [Beat(lease_id=lease.id)],
            worker_id=None if worker is None else worker.id,
            caller=_caller(token),
        )
        return answer.directive.value

    def report(self, lease: Lease, token: str, seq: int, points: dict[int, float]) -> int:
        answer = self._services.leases.report(
            self._id(lease.trial), lease_id=lease.id, seq=seq, caller=_caller(token),
            points=[Point(step=step, values={"value": value}) for step, value in points.items()],
        ).run()  # fmt: skip
        assert answer.accepted + answer.duplicates == len(points)
        return answer.accepted

    def complete(self, lease: Lease, token: str, state: str, values: dict[str, float]) -> Any:
        return self._services.leases.complete(
            self._id(lease.trial), lease_id=lease.id, state=TrialState(state), values=values,
            step=None, usage={}, data=None, caller=_caller(token),
        ).run()  # fmt: skip

    def fail(self, lease: Lease, token: str, kind: str) -> Any:
        return self._services.leases.fail(
            self._id(lease.trial), lease_id=lease.id, kind=FailureKind(kind), message="broke",
            traceback="", caller=_caller(token),
        ).run()  # fmt: skip

    def release(self, lease: Lease, token: str, receipt: Any) -> Any:
        return self._services.leases.release(
            lease.id, reason="drain", checkpoint_id=None, caller=_caller(token), receipt=receipt
        )

    def sweep(self) -> int:
        return self._services.sweeper.sweep_leases(START)

    def enqueue(self, study: Study, count: int, receipt: Any) -> int:
        items = [{"params": {"x": 0.5}}] * count
        return len(self._services.trials.enqueue(study.id, items, receipt=receipt))

    def cancel(self, trial: Trial, receipt: Any) -> Any:
        return self._services.trials.cancel(self._id(trial), receipt=receipt)

    def retry(self, trial: Trial, receipt: Any) -> Any:
        return self._services.trials.retry(self._id(trial), receipt=receipt)

    def change(self, study: Study, verb: str, receipt: Any) -> Any:
        return getattr(self._services.studies, verb)(study.id, receipt=receipt)

    def set_max_trials(self, study: Study, limit: int) -> None:
        revision = self._services.studies.get(study.id).study.revision
        self._services.studies.patch(study.id, {"limits": {"max_trials": limit}}, revision=revision)

    def _id(self, trial: Trial) -> str:
        return self._trial_ids[trial.study.id, trial.number]

    def learn(self, trial: TrialRow) -> None:
        """Notes the id of a trial."""
        self._trial_ids[trial.study_id, trial.number] = trial.id

    def ledger(self, study_id: str) -> Ledger:
        """All rows of a study."""
        found = self.store.read(lambda conn: audit.read(conn, study_id))
        self._trial_ids |= {(study_id, trial.number): trial.id for trial in found.trials}
        return found


def _caller(token: str) -> Caller:
    return Caller(token_id=token, role=Role.SUBMITTER)


def elapsed(instant: datetime) -> float:
    """Seconds since the start of the test."""
    return (instant - START).total_seconds()

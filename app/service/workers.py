"""Workers: register, look at, drain, remove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from ..domain.audit import Action
from ..domain.checking import Faults
from ..domain.objectives import as_offered
from ..domain.schema import check_schema
from ..domain.worker import Device, ObjectiveOffer, Worker
from ..store import audit
from ..store import leases as lease_rows
from ..store import workers as worker_rows
from ..store.engine import Store
from ..store.idempotency import Receipt
from ..store.page import Page
from ..store.transaction import Tx
from .fence import supersede
from .views import HeldLease, WorkerView
from .wake import worker_topic


class WorkerService:
    """The use cases of workers."""

    def __init__(self, store: Store, *, lease_ttl_s: float, heartbeat_s: float) -> None:
        self._store = store
        self._lease_ttl_s = lease_ttl_s
        self._heartbeat_s = heartbeat_s

    def register(
        self,
        *,
        name: str,
        boot_id: str,
        labels: Mapping[str, str],
        devices: Sequence[Device],
        objectives: Sequence[ObjectiveOffer],
        slots: int,
        receipt: Receipt[WorkerView] | None = None,
    ) -> WorkerView:
        """Registers a worker; the same name keeps its id, and with a new `boot_id` its old leases
        end at once.

        Raises:
            InvalidInput: the schema of an objective is none.
        """
        _check_schemas(objectives)

        def register(tx: Tx) -> WorkerView:
            registered = worker_rows.register(
                tx,
                name=name,
                boot_id=boot_id,
                labels=labels,
                devices=devices,
                objectives=[as_offered(offer) for offer in objectives],
                slots=slots,
            )
            if registered.restarted:
                # By study, as every transaction that locks several: one order, no deadlock.
                leases = lease_rows.active_of_worker(tx.conn, registered.worker.id)
                for lease in sorted(leases, key=lambda each: each.study_id):
                    supersede(tx, lease)
            audit.add(tx, Action.WORKER_REGISTERED, registered.worker.id, name=name)
            tx.signal(worker_topic(registered.worker.id))
            return self._view(tx.conn, registered.worker)

        return self._store.write(register, receipt=receipt)

    def get(self, worker_id: str) -> WorkerView:
        """A worker with its active leases.

        Raises:
            NotFound: there is none.
        """
        return self._store.read(lambda conn: self._view(conn, worker_rows.get(conn, worker_id)))

    def page(self, size: int, token: str | None) -> Page[WorkerView]:
        """A page of workers."""

        def read(conn: Connection) -> Page[WorkerView]:
            page = worker_rows.page(conn, size=size, token=token)
            views = tuple(self._view(conn, worker) for worker in page.items)
            return Page(items=views, next_page_token=page.next_page_token)

        return self._store.read(read)

    def set_draining(self, worker_id: str, is_draining: bool) -> WorkerView:
        """A draining worker is given no more trials; those it runs go on."""

        def change(tx: Tx) -> WorkerView:
            worker_rows.set_draining(tx, worker_id, is_draining)
            audit.add(tx, Action.WORKER_CHANGED, worker_id, draining=is_draining)
            tx.signal(worker_topic(worker_id))
            return self._view(tx.conn, worker_rows.get(tx.conn, worker_id))

        return self._store.write(change)

    def delete(self, worker_id: str) -> None:
        """Removes a worker; its leases end, its trials are pending again."""

        def delete(tx: Tx) -> None:
            worker = worker_rows.get(tx.conn, worker_id)
            audit.add(tx, Action.WORKER_DELETED, worker_id, name=worker.name)
            leases = lease_rows.active_of_worker(tx.conn, worker_id)
            for lease in sorted(leases, key=lambda each: each.study_id):
                supersede(tx, lease)
            worker_rows.delete(tx, worker_id)
            tx.signal(worker_topic(worker_id))

        self._store.write(delete)

    def _view(self, conn: Connection, worker: Worker) -> WorkerView:
        return WorkerView(
            worker=worker,
            lease_ttl_s=self._lease_ttl_s,
            heartbeat_s=self._heartbeat_s,
            leases=tuple(
                HeldLease(lease=lease, number=number, study_name=name)
                for lease, number, name in lease_rows.named_of_worker(conn, worker.id)
            ),
        )


def _check_schemas(objectives: Sequence[ObjectiveOffer]) -> None:
    faults = Faults()
    for index, offer in enumerate(objectives):
        at = f"/objectives/{index}"
        for field, schema in (
            ("params_schema", offer.params_schema),
            ("options_schema", offer.options_schema),
        ):
            if schema is not None:
                check_schema(schema, f"{at}/{field}", faults)
    if len(faults):
        faults.refuse("worker", code="invalid-value")

"""The real service of the simulation: real use cases on a real SQLite file, one call at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from app.domain.token import Role
from app.domain.trial import FailureKind, TrialState
from app.domain.worker import ObjectiveOffer
from app.errors import AppError
from app.service.services import Services
from app.service.views import Beat, Caller, Grant, Point
from app.settings import Settings
from app.store.engine import Store
from app.store.idempotency import Answer, Key, Receipt, Replay
from app.store.opening import open_store
from app.store.trials import TrialFilter

from .. import audit
from .world import World

LEASE_TTL_S, HEARTBEAT_S, SWEEP_S = 60.0, 15.0, 2.0
OBJECTIVE = "simulated"
MAX_RESOURCE = 9
"""Steps of a full training where a rule stops and promotes."""
WORKER = Caller(token_id="tk_worker", role=Role.WORKER)
CLIENT = Caller(token_id="tk_client", role=Role.SUBMITTER)

Reply = tuple[str, Any]
"""The code of a refusal or "ok", and the answer."""


class SimulatedService:
    """Handles requests while it is up. A restart keeps nothing but the file."""

    def __init__(self, world: World, url: str) -> None:
        self._world = world
        self._url = url
        self._runner = asyncio.Runner()
        self._services: Services | None = None
        self._n_starts = 0
        self.store: Store
        self.start()

    def start(self) -> None:
        """Opens the file and begins to sweep."""
        self._n_starts += 1
        self.store = open_store(self._url, clock=self._world.clock)
        self._services = self._runner.run(self._made())
        not_before = self._services.sweeper.begin()
        start = self._n_starts

        def sweep() -> None:
            if self._services is None or self._n_starts != start:
                return
            n_expired = self._services.sweeper.sweep_leases(not_before)
            if n_expired:
                self._world.note("leases expired", n_expired)
            self._world.later(SWEEP_S, sweep)

        self._world.later(SWEEP_S, sweep)

    async def _made(self) -> Services:
        return Services(self.store, Settings(database_url=self._url, lease_ttl_s=LEASE_TTL_S))

    def stop(self) -> None:
        """Ends; what it held in memory is gone."""
        if self._services is not None:
            self._runner.run(self._services.stop())
            self._services = None
            self.store.close()

    def close(self) -> None:
        """Stops for good."""
        self.stop()
        self._runner.close()

    def restart(self) -> None:
        """Goes away for a while."""
        if self._services is not None:
            self.stop()
            self._world.later(self._world.random.uniform(0.5, 90.0), self.start)

    @property
    def is_up(self) -> bool:
        """Whether anybody answers."""
        return self._services is not None

    def has_ended(self, study_id: str) -> bool:
        """Whether a study has come to its end; asked beside the network."""
        assert self._services is not None
        return self._services.studies.get(study_id).study.ended_at is not None

    def ledgers(self, studies: dict[str, str]) -> dict[str, audit.Ledger]:
        """Everything that the database knows of these studies."""
        return {
            name: self.store.read(lambda conn, one=one: audit.read(conn, one))  # type: ignore[misc]
            for name, one in studies.items()
        }

    def _answered(self, call: Callable[[Services], Any]) -> Reply | None:
        """What comes of a request; None when nobody is there to take it."""
        if self._services is None:
            return None
        try:
            return "ok", call(self._services)
        except Replay as replay:
            return "ok", json.loads(replay.answer.body)
        except AppError as error:
            return error.code, None

    # What can be asked, as functions that the network carries ------------------------------------

    def create(self, raw: dict[str, Any]) -> str:
        """Creates a study before anything else happens; its id."""
        assert self._services is not None
        return self._services.studies.create(raw).study.id

    def register(self, name: str, boot: str) -> Callable[[], Reply | None]:
        """Registers a worker."""
        return lambda: self._answered(
            lambda services: services.workers.register(
                name=name, boot_id=boot, labels={}, devices=[],
                objectives=[ObjectiveOffer(name=OBJECTIVE)], slots=2,
            ).worker.id
        )  # fmt: skip

    def claim(self, worker_id: str, want: int, key: str) -> Callable[[], Reply | None]:
        """Claims trials under an idempotency key."""
        receipt = _receipt(key, lambda claim: _shown(claim.grants))
        return lambda: self._answered(
            lambda services: _shown(
                self._runner.run(
                    services.claims.claim(
                        worker_id, max_leases=want, wait_s=0, devices_free=None, caller=WORKER,
                        receipt=receipt,
                    )
                ).grants
            )
        )  # fmt: skip

    def suggest(self, study_id: str, client_id: str) -> Callable[[], Reply | None]:
        """Asks for a trial; asking again under the same name gives the same one."""
        return lambda: self._answered(
            lambda services: _shown(
                self._runner.run(
                    services.claims.suggest(
                        study_id, count=1, client_id=client_id, wait_s=0, lease_s=LEASE_TTL_S,
                        caller=CLIENT,
                    )
                ).grants
            )
        )  # fmt: skip

    def beat(self, lease_ids: Sequence[str], caller: Caller) -> Callable[[], Reply | None]:
        """Beats for some leases; the directive of each."""
        beats = [Beat(lease_id=lease_id) for lease_id in lease_ids]
        return lambda: self._answered(
            lambda services: {
                answer.lease_id: answer.directive.value
                for answer in services.leases.beat(beats, worker_id=None, caller=caller)
            }
        )

    def write(
        self, kind: str, lease_id: str, trial_id: str, body: dict[str, Any], caller: Caller
    ) -> Callable[[], Reply | None]:
        """One record of a spool."""

        def run(services: Services) -> Any:
            leases, value = services.leases, body.get("value", 0.0)
            if kind == "report":
                points = [Point(step=body["step"], values={"value": value})]
                said = leases.report(
                    trial_id, lease_id=lease_id, seq=body["seq"], points=points, caller=caller
                ).run()
                return {"directive": said.directive.value, "to_step": said.budget.to_step}
            if kind in ("complete", "stop"):
                state = TrialState.COMPLETED if kind == "complete" else TrialState.STOPPED
                done = leases.complete(
                    trial_id, lease_id=lease_id, state=state,
                    values={"value": value}, step=None, usage={}, data=None, caller=caller,
                ).run()  # fmt: skip
            elif kind == "fail":
                done = leases.fail(
                    trial_id, lease_id=lease_id, kind=FailureKind(body["failure"]), message="",
                    traceback="", caller=caller,
                ).run().trial  # fmt: skip
            else:
                reason = "paused" if kind == "pause" else "worker-ends"
                done = leases.release(lease_id, reason=reason, checkpoint_id=None, caller=caller)
            return dict(done.values)

        return lambda: self._answered(run)

    def enqueue(self, study_id: str, x: float, key: str) -> Callable[[], Reply | None]:
        """Adds a point of a user's under an idempotency key; its trial's number."""
        receipt = _receipt(key, lambda trials: trials[0].number)
        return lambda: self._answered(
            lambda services: (
                services.trials.enqueue(study_id, [{"params": {"x": x}}], receipt=receipt)[0].number
            )
        )

    def change(self, study_id: str, verb: str) -> Callable[[], Reply | None]:
        """Pauses or resumes a study."""
        return lambda: self._answered(
            lambda services: getattr(services.studies, verb)(study_id).study.state.value
        )

    def cancel(self, study_id: str, number: int) -> Callable[[], Reply | None]:
        """Cancels a trial, if there is one of that number by now."""

        def run(services: Services) -> str:
            page = services.trials.page(study_id, TrialFilter(), "number", 1000, None).page
            if number > len(page.items):
                return "too early"
            return services.trials.cancel(page.items[number - 1].id).state.value

        return lambda: self._answered(run)


def _receipt(key: str, render: Callable[[Any], Any]) -> Receipt[Any]:
    named = Key(scope="", method="POST", path="/", key=key, body_hash="1")

    def keep(result: Any) -> Answer:
        return Answer(status=200, headers={}, body=json.dumps(render(result)))

    return Receipt(key=named, keep=keep)


def _shown(grants: Sequence[Grant]) -> list[dict[str, Any]]:
    return [
        {
            "lease_id": grant.lease.id,
            "trial_id": grant.trial.id,
            "number": grant.trial.number,
            "last_seq": grant.last_seq,
            "last_step": grant.last_step or 0,
            "from_step": grant.budget.from_step,
            "to_step": grant.budget.to_step,
        }
        for grant in grants
    ]

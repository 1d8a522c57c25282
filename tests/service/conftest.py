"""Fixtures of the use-case tests: all services over a store, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from app.domain.worker import Device
from app.service.services import Services
from app.service.views import Caller, Grant
from app.settings import Settings
from app.store.engine import Store

from ..warm import warm_fits

LEASE_TTL_S = 60.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True, scope="package")
def _warm_fits() -> Iterator[None]:
    with warm_fits():
        yield


@pytest.fixture
def settings(store: Store) -> Settings:
    # The sweep is called by the tests themselves, after they have moved the clock.
    return Settings(database_url=store.url, lease_ttl_s=LEASE_TTL_S, sweep_s=3600)


@pytest.fixture
async def services(store: Store, settings: Settings) -> AsyncIterator[Services]:
    made = Services(store, settings)
    yield made
    await made.stop()


def definition(name: str = "study", **more: Any) -> dict[str, Any]:
    """A small study that clients evaluate themselves."""
    return {
        "name": name,
        "metrics": [{"name": "value", "direction": "minimize"}],
        "space": [{"name": "x", "type": "float", "low": 0, "high": 1}],
        "suggester": {"name": "random", "seed": 7},
        **more,
    }


def worker_study(name: str = "study", **more: Any) -> dict[str, Any]:
    """A small study that workers evaluate."""
    objective = {"name": "function", "options": {"function": "sphere"}}
    space = [{"name": "x0", "type": "float", "low": 0, "high": 1}]
    return definition(name, objective=objective, space=space, **more)


class Bench:
    """Short forms of what the tests do again and again."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.caller = Caller()

    def study(self, raw: dict[str, Any]) -> str:
        return self.services.studies.create(raw).study.id

    def worker(
        self,
        name: str = "w",
        boot_id: str = "1",
        devices: Sequence[Device] = (),
        slots: int = 1,
        **more: Any,
    ) -> str:
        from app.domain.objectives import BUILT_IN

        view = self.services.workers.register(
            name=name,
            boot_id=boot_id,
            labels={},
            devices=devices,
            objectives=[BUILT_IN["function"]],
            slots=slots,
            **more,
        )
        return view.worker.id

    async def claim(self, worker_id: str, wait_s: float = 0) -> Grant | None:
        claimed = await self.services.claims.claim(
            worker_id, max_leases=1, wait_s=wait_s, devices_free=None, caller=self.caller
        )
        return claimed.grants[0] if claimed.grants else None

    async def suggest(self, study_id: str, **more: Any) -> list[Grant]:
        given: dict[str, Any] = {"count": 1, "client_id": None, "wait_s": 0, "lease_s": 60, **more}
        answer = await self.services.claims.suggest(study_id, caller=self.caller, **given)
        return list(answer.grants)

    def complete(self, grant: Grant, value: float, **more: Any) -> Any:
        from app.domain.trial import TrialState

        given: dict[str, Any] = {
            "state": TrialState.COMPLETED,
            "values": {"value": value},
            "step": None,
            "usage": {},
            "data": None,
            **more,
        }
        return self.services.leases.complete(
            grant.trial.id, lease_id=grant.lease.id, caller=self.caller, **given
        ).run()

    def fail(
        self,
        grant: Grant,
        kind: str = "user_error",
        message: str = "it broke",
        min_memory_bytes: int | None = None,
    ) -> Any:
        from app.domain.trial import FailureKind

        return self.services.leases.fail(
            grant.trial.id,
            lease_id=grant.lease.id,
            kind=FailureKind(kind),
            message=message,
            traceback="",
            caller=self.caller,
            min_memory_bytes=min_memory_bytes,
        ).run()

    def sweep(self) -> int:
        """One sweep, as long after the start as it takes."""
        store = self.services.store
        return self.services.sweeper.sweep_leases(store.now())


@pytest.fixture
def bench(services: Services) -> Bench:
    return Bench(services)

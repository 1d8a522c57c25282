"""Clients of a service, and how a script gets one.

`client.studies` is what scripts use. The other methods are the service's calls by name, for the
command line and for workers: their answers are plain JSON values, `tunewell.models` has types to
read them with.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from . import calls
from ._version import __version__
from .aconnection import AsyncConnection
from .address import DEFAULT_URL, RETRY_S, Address
from .asked import AskedTrial, AsyncAskedTrial
from .catalogue import AsyncStudies, Studies
from .connection import Connection
from .errors import NotFound, TunewellError, WrongAddress
from .exchange import Call, quoted, sendable
from .handles import AsyncStudy, Study
from .models import Meta, read
from .sender import Sender

__all__ = ["DEFAULT_URL", "AsyncClient", "Client", "aconnect", "connect", "sendable"]

_GREETING_S = 5.0

_REPLAY_S = 600.0
"""How long a page of a replay may take: a replay of somebody else's comes first."""


class Client(Connection):
    """A connection to one service; see `Connection` for the arguments. Safe to use from several
    threads.
    """

    trial_class, study_class = AskedTrial, Study
    _sending: tuple[int, Sender] | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __deepcopy__(self, memo: object) -> Client:
        """The client itself: scikit-learn copies what an estimator was made with."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Without the token, which does not belong into files: `TUNEWELL_TOKEN` has it."""
        return _again, (self.url, self.timeout_s, self.retry_s)

    @property
    def studies(self) -> Studies:
        """The service's studies: create, get, get_or_create, list."""
        return Studies(self)

    @property
    def sender(self) -> Sender:
        """Sends what trials report; the child of a fork has one of its own."""
        if self._sending is None or self._sending[0] != os.getpid():
            self._sending = (os.getpid(), Sender(self.send))
        return self._sending[1]

    # Studies -------------------------------------------------------------------------------------

    def create_study(self, definition: Mapping[str, Any], *, dry_run: bool = False) -> Any:
        """Creates a study; with `dry_run` only checks it."""
        return self.send(calls.create_study(definition, dry_run=dry_run))

    def put_study(self, name: str, definition: Mapping[str, Any]) -> Any:
        """The study of that name, created when there is none."""
        return self.send(calls.put_study(name, definition))

    def get_study(self, study_id: str) -> Any:
        """A study."""
        return self.send(calls.get_study(study_id))

    def list_studies(self, **filters: Any) -> Iterator[Any]:
        """All studies that fit the filters, newest first."""
        return self.items(calls.list_studies(filters))

    def find_study(self, id_or_name: str) -> Any:
        """A study by its id or name.

        Raises:
            NotFound: there is none.
        """
        return self.run(calls.find_study(id_or_name))

    def study_action(self, study_id: str, verb: str) -> Any:
        """pause, resume, stop, cancel or undelete a study."""
        return self.send(calls.study_action(study_id, verb))

    def delete_study(self, study_id: str) -> Any:
        """Deletes a study; it can be restored for a time."""
        return self.request("DELETE", f"/v1/studies/{study_id}")

    def best(self, study_id: str, k: int = 1, by: str = "observed") -> list[Any]:
        """The `k` best trials: by observed value, or by `posterior_mean`."""
        return list(self.ranking(study_id, k, by)["trials"])

    def ranking(self, study_id: str, k: int, by: str) -> Any:
        """The `k` best trials, and the model that ranks them if one does."""
        return self.send(calls.ranking(study_id, k, by))

    def replay(self, study_id: str, *, force: bool = False) -> Iterator[Any]:
        """Derives the suggested points of a study again, a page of verdicts at a time."""
        after: int | None = 0
        while after is not None:
            page = self.request(
                "GET",
                f"/v1/studies/{study_id}/replay",
                params={"after": after, "force": "true" if force else None},
                timeout_s=_REPLAY_S,
            )
            yield page
            after = page["next_after"]

    def export(self, study_id: str, format: str) -> Iterator[bytes]:
        """The trials of a study as `csv`, `jsonl` or `parquet`, as they come."""
        return self.stream_bytes(f"/v1/studies/{study_id}/export", {"format": format})

    # Trials --------------------------------------------------------------------------------------

    def trials(self, study_id: str, **filters: Any) -> Iterator[Any]:
        """All trials of a study that fit the filters."""
        return self.items(calls.list_trials(study_id, filters))

    def get_trial(self, trial_id: str) -> Any:
        """A trial with its attempts."""
        return self.send(calls.get_trial(trial_id))

    def get_logs(self, trial_id: str, lease_id: str | None = None) -> Any:
        """What the newest attempt at a trial has printed, or the one named."""
        path = f"/v1/trials/{quoted(trial_id)}/logs"
        return self.request("GET", path + (f"?lease_id={quoted(lease_id)}" if lease_id else ""))

    def trial_action(self, trial_id: str, verb: str) -> Any:
        """cancel or retry a trial."""
        return self.request("POST", f"/v1/trials/{quoted(trial_id)}:{verb}")

    def enqueue(self, study_id: str, trials: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Adds points to try, or imports finished trials; all or none."""
        return list(self.send(calls.enqueue(study_id, trials))["trials"])

    def suggest(
        self,
        study_id: str,
        *,
        count: int = 1,
        client_id: str | None = None,
        wait_s: float = 25.0,
        lease_s: float = 600.0,
    ) -> Any:
        """Trials to evaluate oneself."""
        return self.send(
            calls.suggest(
                study_id, count=count, client_id=client_id, wait_s=wait_s, lease_s=lease_s
            )
        )

    # Workers and leases --------------------------------------------------------------------------

    def list_workers(self) -> Iterator[Any]:
        """All workers."""
        return self.items(calls.pages("/v1/workers", "workers", {}))

    def drain_worker(self, worker_id: str, *, draining: bool = True) -> Any:
        """Has a worker take no more trials."""
        return self.request("PATCH", f"/v1/workers/{worker_id}", body={"draining": draining})

    def heartbeat(
        self, leases: Sequence[Mapping[str, Any]], worker_id: str | None = None
    ) -> list[Any]:
        """Renews leases; an entry for each with its directive. Never tried again: the next is."""
        return list(self.send(calls.heartbeat(leases, worker_id))["leases"])

    def report(
        self,
        trial_id: str,
        lease_id: str,
        seq: int,
        points: Sequence[Mapping[str, Any]],
        *,
        retry_s: float | None = None,
    ) -> Any:
        """Sends measurements; the answer has a directive."""
        return self.send(calls.report(trial_id, lease_id, seq, points, retry_s))

    def complete(
        self,
        trial_id: str,
        lease_id: str,
        state: str,
        values: Mapping[str, float],
        step: int | None = None,
        usage: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        *,
        retry_s: float | None = None,
    ) -> Any:
        """Ends a trial with its values."""
        return self.send(
            calls.complete(trial_id, lease_id, state, values, step, usage, data, retry_s)
        )

    def fail(
        self,
        trial_id: str,
        lease_id: str,
        kind: str,
        message: str = "",
        traceback: str = "",
        *,
        retry_s: float | None = None,
    ) -> Any:
        """Reports a failed attempt; the answer says whether the trial will run again."""
        return self.send(calls.fail(trial_id, lease_id, kind, message, traceback, retry_s))

    def release(self, lease_id: str, reason: str, *, retry_s: float | None = None) -> Any:
        """Gives a trial back."""
        return self.send(calls.release(lease_id, reason, retry_s))

    # Tokens and events ---------------------------------------------------------------------------

    def create_token(self, name: str, role: str, expires_in_s: float | None = None) -> Any:
        """Makes a token; its secret is shown this once."""
        body = {"name": name, "role": role}
        more = {} if expires_in_s is None else {"expires_in_s": expires_in_s}
        return self.request("POST", "/v1/tokens", body={**body, **more})

    def list_tokens(self) -> Iterator[Any]:
        """All tokens, without secrets."""
        return self.items(calls.pages("/v1/tokens", "tokens", {}))

    def revoke_token(self, token_id: str) -> Any:
        """Ends a token at once."""
        return self.request("DELETE", f"/v1/tokens/{quoted(token_id)}")

    def stream_events(self, study_id: str, after: int | None = None) -> Iterator[dict[str, Any]]:
        """A study's events as they happen, from `after` on; goes on where it was when it breaks.

        Each event is its data, with `event` (the kind) and `id` (where to go on) added. Ends never
        by itself.

        Raises:
            Unreachable: the service stayed away for `retry_s`.
            ApiError: the service refused, e.g. 404.
        """
        return self.stream_sent_events(f"/v1/studies/{study_id}/events", after)


class AsyncClient(AsyncConnection):
    """A connection to one service for asyncio; see `AsyncConnection` for the arguments."""

    trial_class, study_class = AsyncAskedTrial, AsyncStudy
    _sending: tuple[Connection, Sender] | None = None

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @property
    def studies(self) -> AsyncStudies:
        """As `Client.studies`."""
        return AsyncStudies(self)

    @property
    def sender(self) -> Sender:
        """Sends what trials report: in a thread with a connection of its own, so that a training
        that keeps the event loop busy loses no lease.
        """
        if self._sending is None:
            own = Connection(self.url, self.token, timeout_s=self.timeout_s, retry_s=0)
            self._sending = (own, Sender(own.send))
        return self._sending[1]

    async def close(self) -> None:
        """Closes the connections."""
        await super().close()
        if self._sending is not None:
            self._sending[0].close()


def connect(
    url: str | None = None,
    token: str | None = None,
    *,
    timeout_s: float = 30.0,
    retry_s: float = RETRY_S,
) -> Client:
    """A client of a service that was seen to be there and to fit.

    Args:
        url: its address; `TUNEWELL_URL`, else http://127.0.0.1:8700.
        token: bearer token; `TUNEWELL_TOKEN`, else none.
        timeout_s: how long one answer may take.
        retry_s: for how long a call is tried again while the service is busy or away.

    Raises:
        Unreachable: there is no service.
        WrongAddress: the address is none, or something else is there.
        Forbidden: the token is none of its own.
        TunewellError: it is of another version than this client.
    """
    client = Client(url, token, timeout_s=timeout_s, retry_s=retry_s)
    try:
        client.run(greeting(client))
    except BaseException:
        client.close()
        raise
    return client


async def aconnect(
    url: str | None = None,
    token: str | None = None,
    *,
    timeout_s: float = 30.0,
    retry_s: float = RETRY_S,
) -> AsyncClient:
    """As `connect`, for asyncio."""
    client = AsyncClient(url, token, timeout_s=timeout_s, retry_s=retry_s)
    try:
        await client.run(greeting(client))
    except BaseException:
        await client.close()
        raise
    return client


def greeting(address: Address) -> Call[Meta]:
    """Asks a service for its version, and sees that it fits.

    Raises:
        WrongAddress: there is something, but no service.
        TunewellError: it does not, or something else answers.
    """
    # A service that is not there at all is not waited for: it will not come by itself.
    request = replace(calls.get_meta(), retry_s=min(address.retry_s, _GREETING_S))
    try:
        meta = read(Meta, (yield request))
    except NotFound as error:
        raise WrongAddress(
            f"no service answers at {address.url}, but something else, with {error.status}; the "
            f"address of a service has no path of a page or of /v1, and looks like {DEFAULT_URL}"
        ) from None
    theirs, ours = _numbers(meta.version), _numbers(__version__)
    if theirs[0] != ours[0] or abs(theirs[1] - ours[1]) > 1:
        raise TunewellError(
            f"the service at {address.url} is version {meta.version}, this client "
            f"{__version__}: they work together up to one minor version apart",
            next_step=f"pip install 'tunewell=={theirs[0]}.{theirs[1]}.*'",
        )
    return meta


def _again(url: str, timeout_s: float, retry_s: float) -> Client:
    return Client(url, timeout_s=timeout_s, retry_s=retry_s)


def _numbers(text: str) -> tuple[int, int]:
    """Major and minor number of a version."""
    found = re.match(r"(\d+)\.(\d+)", text)
    if found is None:
        raise TunewellError(f"{text!r} is no version of Tunewell", next_step="tunewell doctor")
    return int(found[1]), int(found[2])

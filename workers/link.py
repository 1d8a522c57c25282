"""The worker's connection to the service: one try a call, and since when nobody has answered."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from tunewell.client import Client
from tunewell.errors import ApiError, TunewellError, Unreachable
from tunewell.exchange import UNKNOWN_CODE, Call
from tunewell.lines import reason

from .log import Log

R = TypeVar("R")

ANSWER_S = 15.0
"""How long an ordinary call may take."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0


class Away(Exception):
    """The service cannot be reached or is busy: the same call may succeed later.

    Attributes:
        has_failed: it was reached, and failed at this call.
    """

    def __init__(self, detail: str, *, has_failed: bool = False) -> None:
        super().__init__(detail)
        self.has_failed = has_failed


class Refused(Exception):
    """The service will never take this call.

    Attributes:
        status: HTTP status; code: problem code.
        why: each fault in words, on one line.
    """

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.summary)
        self.status = error.status
        self.code = error.code
        faults = [fault.get("detail", "") for fault in error.errors]
        self.why = "; ".join(filter(None, faults)) or error.detail

    @property
    def is_lost_lease(self) -> bool:
        """Whether the lease is no longer (or never was) ours to write under."""
        return self.code == "stale-lease" or self.status == 404

    @property
    def is_locked_out(self) -> bool:
        """Whether the token is not (or no longer) one that may do this; another one may."""
        return self.status in (401, 403)


class Link:
    """Calls the service; safe to use from several threads.

    Args:
        client: the connection.
        log: told once of each outage, and of its end.
    """

    def __init__(self, client: Client, log: Log) -> None:
        self._client = client
        self._log = log
        self._is_away = False
        self._heard_at = time.monotonic()
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        """The service's address."""
        return self._client.url

    @property
    def silent_s(self) -> float:
        """Seconds since the service last answered."""
        return time.monotonic() - self._heard_at

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = ANSWER_S,
        key: str | None = None,
    ) -> Any:
        """One try of one call; its JSON answer.

        Raises:
            Away: nobody answered, or the service is busy.
            Refused: it answered that it will not.
        """
        with self._heard():
            answer = self._client.request(
                method, path, body=body, retry_s=0, timeout_s=timeout_s, idempotency_key=key
            )
            if isinstance(answer, str):
                raise TunewellError(f"{self.url} answers, but not in JSON: {answer[:100]!r}")
            return answer

    def run(self, call: Call[R]) -> R:
        """Several calls in a row, each as the generator says; what it returns.

        Raises:
            Away, Refused: as `call`.
        """
        with self._heard():
            return self._client.run(call)

    def download(self, path: str) -> Iterator[bytes]:
        """A long answer, as it comes.

        Raises:
            Away, Refused: as `call`.
        """
        with self._heard():
            yield from self._client.stream_bytes(path, {})

    @contextlib.contextmanager
    def _heard(self) -> Iterator[None]:
        """Notes that the service has answered; its errors by what the caller has to do."""
        try:
            yield
        except Unreachable as error:
            self._note_silence(error)
            raise Away(error.summary) from error
        except RuntimeError as error:
            # What a connection says that was closed by another thread of the ending worker.
            if not self.closing.is_set():
                raise
            raise Away("the worker ends") from error
        except ApiError as error:
            self._note_answer()
            if error.code == UNKNOWN_CODE:
                # Not the service's words: a proxy or another server has answered in its place.
                raise Away(error.summary, has_failed=True) from error
            if error.retryable or error.status == 429 or error.status >= 500:
                raise Away(error.summary, has_failed=error.status >= 500) from error
            raise Refused(error) from error
        except TunewellError as error:
            raise Away(error.summary, has_failed=True) from error
        self._note_answer()

    def _note_silence(self, error: Unreachable) -> None:
        was_away, self._is_away = self._is_away, True
        if not was_away and not self.closing.is_set():
            self._log("service_away", url=self.url, reason=reason(error.reason))

    def _note_answer(self) -> None:
        silent_s, was_away = self.silent_s, self._is_away
        self._heard_at, self._is_away = time.monotonic(), False
        if was_away:
            self._log("service_back", silent_s=round(silent_s, 1))

    def close(self) -> None:
        """Ends all pauses and closes the connections."""
        self.closing.set()
        self._client.close()


class Pauses:
    """Growing pauses with jitter between tries, cut short when the link closes."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._longest_s = _FIRST_PAUSE_S

    def reset(self) -> None:
        """The next pause is a short one again."""
        self._longest_s = _FIRST_PAUSE_S

    def wait(self) -> None:
        """Waits a while, longer each time."""
        # Spreads the tries of many workers; nothing secret hangs on it.
        self._link.closing.wait(random.uniform(self._longest_s / 2, self._longest_s))
        self._longest_s = min(2 * self._longest_s, _LONGEST_PAUSE_S)

"""What can go wrong when talking to a service.

TunewellError
 +- WrongAddress         the address of the service is none: mend it
 +- ServiceUnreachable   no answer: start the service, check the address
 +- ApiError             the service answered with a problem document
     +- StaleLeaseError  the lease is no longer the trial's: abort the training
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class TunewellError(Exception):
    """Anything that this package raises on purpose.

    Attributes:
        exit_status: what the command line ends with: 1 failed, 2 wrong usage, 3 no service.
    """

    exit_status = 1


class WrongAddress(TunewellError):
    """What was given as the service's address is no http or https URL."""

    exit_status = 2


class ServiceUnreachable(TunewellError):
    """The service could not be reached, or the connection broke before it answered."""

    exit_status = 3

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"no answer from {url}: {reason}")
        self.url = url
        self.reason = reason


class ApiError(TunewellError):
    """The service refused.

    Attributes:
        status: HTTP status.
        code: problem code, e.g. "invalid-study".
        detail: one sentence.
        problem: the whole problem document.
        retryable: whether the same call may succeed later.
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = dict(problem)
        self.code = str(problem.get("code", "unknown"))
        self.detail = str(problem.get("detail") or problem.get("title") or "no detail given")
        self.retryable = bool(problem.get("retryable", False))
        super().__init__(f"{status} {self.code}: {self.detail}")

    @property
    def faults(self) -> list[dict[str, str]]:
        """What is wrong field by field: `pointer`, `code`, `detail` each."""
        return list(self.problem.get("errors") or [])


class StaleLeaseError(ApiError):
    """The write came under a lease that is not the trial's current one; nothing was changed."""

"""The service's errors, named by what the caller has to do.

AppError
 +- MalformedRequest   the body cannot be read: send another one
 +- InvalidInput       a field is wrong: mend it (invalid-study, invalid-value)
 +- NotFound           there is no such thing
 +- Conflict           the state does not allow it now (illegal-transition, already-exists, ...)
 +- StaleLease         the lease is no longer the trial's: abort the training
 +- Denied             who you are does not suffice (unauthenticated, forbidden)
 +- Precondition       read the resource again (etag-mismatch, etag-required)
 +- Unavailable        try again later (storage-busy, suggester-unavailable)

No HTTP status stands here: `app/api/problems.py` maps codes to statuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with an input.

    Attributes:
        pointer: JSON pointer (RFC 6901) into the body, e.g. "/space/0/low".
        code: short kebab-case name of the broken rule, e.g. "low-not-below-high".
        detail: one sentence with the rule and the value found.
    """

    pointer: str
    code: str
    detail: str


class AppError(Exception):
    """Something the caller has to know.

    Attributes:
        code: problem code of the contract, e.g. "not-found".
        detail: one sentence for a person.
        faults: what is wrong, field by field.
        members: further members of the problem document, JSON values.
        retry_after_s: seconds after which a retry may succeed, or None.
    """

    code = "internal"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        faults: Sequence[Fault] = (),
        members: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.faults = tuple(faults)
        self.members = dict(members or {})
        self.retry_after_s = retry_after_s


class MalformedRequest(AppError):
    """The request cannot be read at all."""

    code = "malformed-request"


class InvalidInput(AppError):
    """One or more fields are wrong; `faults` names each of them."""

    code = "invalid-value"


class NotFound(AppError):
    """There is no resource of that id."""

    code = "not-found"


class Conflict(AppError):
    """The present state does not allow the call."""

    code = "illegal-transition"


class StaleLease(Conflict):
    """The lease is not the trial's current one; the worker has to abort."""

    code = "stale-lease"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, members={"action": "abort"})


class Denied(AppError):
    """No valid token, or a role that may not do this."""

    code = "forbidden"


class Precondition(AppError):
    """An If-Match header is missing or stale."""

    code = "etag-mismatch"


class Unavailable(AppError):
    """A part of the service cannot answer now; the same call may succeed later."""

    code = "storage-busy"

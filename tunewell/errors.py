"""What can go wrong when talking to a service, named by what to do next.

TunewellError
 +- WrongAddress           the address of the service is none: mend it
 +- WrongToken             what was given as a token cannot be one: mend it
 +- NotInstalled           something optional is missing: install it
 +- Unreachable            no answer: start the service, check the address
 +- ApiError               the service answered with a problem document
     +- Retryable          the same call may succeed later
     +- InvalidStudy       the definition, or a value, has faults: `errors` names their places
     +- NotFound           there is no such thing: look at what there is
     +- Forbidden          the token is none, or may not do this: get another one
     +- StaleLease         the trial is somebody else's now: abort the training
     +- DefinitionMismatch the study of that name is another one: `diff` says where

The text of each ends with what to type next.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_ANY_STATUS = (408, 429, 500, 502, 503, 504)


class TunewellError(Exception):
    """Anything that this package raises on purpose.

    Attributes:
        exit_status: what the command line ends with: 1 failed, 2 wrong usage, 3 no service.
        request_id: under which the service's log has the request; None where there was none.
        summary: what went wrong, without what to do.
        next_step: what to type next; empty where nothing is to be typed.
    """

    exit_status = 1
    request_id: str | None = None

    def __init__(self, summary: str, *, next_step: str = "") -> None:
        self.summary = summary
        self.next_step = next_step
        super().__init__(summary)

    def __str__(self) -> str:
        known = f"{self.summary} (request {self.request_id})" if self.request_id else self.summary
        return f"{known}\nnext: {self.next_step}" if self.next_step else known


def why(error: OSError | UnicodeDecodeError) -> str:
    """Why a file cannot be read or written, without what the caller says already."""
    return getattr(error, "strerror", None) or str(error)


class WrongAddress(TunewellError):
    """What was given as the service's address is no http or https URL."""

    exit_status = 2

    def __init__(self, summary: str) -> None:
        super().__init__(summary, next_step="export TUNEWELL_URL=http://127.0.0.1:8700")


class WrongToken(TunewellError):
    """What was given as a token cannot be sent as one."""

    exit_status = 2


class NotInstalled(TunewellError):
    """A part of the product, or a library, that is needed here is not installed."""

    exit_status = 2


class Unreachable(TunewellError):
    """The service could not be reached, or the connection broke before it answered.

    Attributes:
        url: the address.
        reason: what the connection said.
        spool: where the results that it did not take are kept; None where there are none.
    """

    exit_status = 3

    def __init__(self, url: str, reason: str, *, spool: str | None = None) -> None:
        kept = f"; what it has not taken is kept in {spool} and sent by the next run" * bool(spool)
        said = re.sub(r"^\[Errno -?\d+\] ", "", reason)
        super().__init__(
            f"no answer from {url}: {said}{kept}",
            next_step="say where the service is with TUNEWELL_URL, or start one: tunewell serve",
        )
        self.url = url
        self.reason = reason
        self.spool = spool

    def __reduce__(self) -> tuple[Any, ...]:
        return _unreachable, (self.url, self.reason, self.spool)


def _unreachable(url: str, reason: str, spool: str | None) -> Unreachable:
    return Unreachable(url, reason, spool=spool)


class ApiError(TunewellError):
    """The service refused.

    Attributes:
        status: HTTP status.
        code: problem code, e.g. "invalid-study".
        detail: one sentence.
        problem: the whole problem document.
        retryable: whether the same call may succeed later.
        errors: what is wrong field by field: `pointer`, `code`, `detail` each.
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = dict(problem)
        self.code = str(problem.get("code", "unknown"))
        self.detail = str(problem.get("detail") or problem.get("title") or "no detail given")
        self.retryable = bool(problem.get("retryable", False))
        self.errors: list[dict[str, str]] = list(problem.get("errors") or [])
        super().__init__(f"{status} {self.code}: {self._said()}", next_step=self._next())
        self.request_id = problem.get("request_id")

    def _said(self) -> str:
        """The sentence, and each fault that it does not name itself."""
        faults = [f"{f.get('pointer') or '/'}: {f.get('detail', '')}" for f in self.errors]
        said = self.detail
        if self.errors and (first := str(self.errors[0].get("detail", ""))):
            # Where it ends with the first fault, that is said once, with its place.
            said = said.removesuffix(f" {first}") if said.endswith(f": {first}") else said
        return "\n  ".join([said, *(fault for fault in faults if fault != said)])

    def _next(self) -> str:
        found = self.problem.get("study_id") or "NAME"
        return _NEXT.get(self.code, "tunewell doctor").format(study=found)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status, self.problem)


class Retryable(ApiError):
    """The service, its database or a suggester is busy: the same call may succeed later."""

    def _next(self) -> str:
        return "the same again in a while, or see what is wrong: tunewell doctor"


class InvalidStudy(ApiError):
    """A definition, or a value that was sent, has faults; `errors` has the place of each."""

    def _next(self) -> str:
        return "mend what is named; to check a study's file: tunewell study plan FILE.json"


class NotFound(ApiError):
    """There is no such study, trial, worker or lease."""

    def _next(self) -> str:
        return "tunewell study list"


class Forbidden(ApiError):
    """The token is none of the service's, or may not do this.

    Attributes:
        required_role: the least role that would do; None where no token was accepted.
    """

    @property
    def required_role(self) -> str | None:
        """See the class."""
        needed = self.problem.get("needed") or ()
        return str(needed[0]) if needed else None

    def _next(self) -> str:
        role = self.required_role or "submitter"
        return (
            "set TUNEWELL_TOKEN to a token that may; where the service runs, one is made by: "
            f"tunewell token create --role {role} --name NAME"
        )


class StaleLease(ApiError):
    """The write came under a lease that is not the trial's current one; nothing was changed."""

    def _next(self) -> str:
        return "stop this training; who runs the trial now: tunewell trial show STUDY NUMBER"


class DefinitionMismatch(ApiError):
    """The study of that name has another definition.

    Attributes:
        diff: what differs: `pointer`, `stored`, `given` each.
    """

    @property
    def diff(self) -> list[dict[str, Any]]:
        """See the class."""
        return list(self.problem.get("diff") or [])

    def _said(self) -> str:
        changes = (
            f"{each.get('pointer')}: is {_given(each, 'stored')}, given {_given(each, 'given')}"
            for each in self.diff
        )
        return "\n  ".join([self.detail, *changes])

    def _next(self) -> str:
        found = self.problem.get("study_id") or "NAME"
        return f"give the study another name, or see what it is: tunewell study show {found}"


def _given(change: Mapping[str, Any], which: str) -> str:
    """One side of a difference, as it is typed in Python."""
    found = change.get(which)
    return "nothing" if found is None else repr(found)


_NEXT: Mapping[str, str] = {
    "already-exists": "give the study another name, or see it: tunewell study show {study}",
    "illegal-transition": "see where it stands: tunewell study show {study}",
    "budget-exhausted": "raise limits.max_trials; what is used up: tunewell study show {study}",
}
"""Code -> what to do next, where no class of its own says so."""

_BY_CODE: Mapping[str, type[ApiError]] = {
    "stale-lease": StaleLease,
    "study-definition-mismatch": DefinitionMismatch,
    "invalid-study": InvalidStudy,
    "invalid-value": InvalidStudy,
}
_BY_STATUS: Mapping[int, type[ApiError]] = {401: Forbidden, 403: Forbidden, 404: NotFound}


def refusal(status: int, problem: Mapping[str, Any]) -> ApiError:
    """The error that a problem document is.

    Args:
        status: HTTP status, 400 or more.
        problem: the document, or what was made up in its place.
    """
    kind = _BY_CODE.get(str(problem.get("code"))) or _BY_STATUS.get(status)
    if kind is None:
        is_passing = problem.get("retryable") is True or status in _ANY_STATUS
        kind = Retryable if is_passing else ApiError
    return kind(status, problem)

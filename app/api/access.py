"""Who calls and what they may do: the contract's rule on auth, its roles, and the checks while auth
is off.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.requests import Request

from ..domain.token import Role
from ..errors import Denied
from ..service.views import Caller
from .cookies import check_same_origin

READ = (Role.READER, Role.SUBMITTER, Role.ADMIN)
"""Reading of everything but tokens."""

READ_OWN = (Role.READER, Role.WORKER, Role.SUBMITTER, Role.ADMIN)
"""Reading that a worker may do too, of the trials that it was given."""

SUBMIT = (Role.SUBMITTER, Role.ADMIN)
"""Studies, trials and `:suggest`."""

WORK = (Role.WORKER, Role.ADMIN)
"""Registering and claiming."""

HOLD = (Role.WORKER, Role.SUBMITTER, Role.ADMIN)
"""Writes under a lease; the service sees to it that the lease was given to the same token."""

MANAGE = (Role.ADMIN,)
"""Tokens and workers."""


_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def secret_of(authorization: str | None) -> str:
    """The secret of an Authorization header.

    Raises:
        Denied: `unauthenticated`.
    """
    scheme, _, secret = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise Denied(
            "a token is needed: send Authorization: Bearer <token>", code="unauthenticated"
        )
    return secret.strip()


def check_role(caller: Caller, allowed: Iterable[Role]) -> None:
    """Sees to it that the caller's role is among the allowed ones.

    Raises:
        Denied: `forbidden`, naming the roles that would do.
    """
    roles = [role.value for role in allowed]
    if caller.role not in roles:
        raise Denied(
            f"a {caller.role.value} token may not do this; it needs one of: {', '.join(roles)}",
            members={"role": caller.role.value, "needed": roles},
        )


def check_origin(request: Request) -> None:
    """While auth is off: only this machine's own names, and no page of another site (DNS rebinding,
    CSRF).

    Raises:
        Denied: `forbidden`.
    """
    host = request.headers.get("host", "")
    if not _is_loopback(host):
        raise Denied("without a token the service answers to loopback names only (Host header)")
    # A proxy may call itself a loopback name; what came through one came from anywhere.
    if any(name in request.headers for name in _FORWARDED):
        raise Denied("without a token the service takes no calls through a proxy: make one first")
    check_same_origin(request)


@lru_cache(maxsize=64)
def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False

"""The dashboard's session cookie: how it is set, found and believed."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from ..domain.session import is_csrf_token
from ..errors import Denied
from ..service.sessions import SignedIn

CSRF_HEADER = "X-CSRF-Token"
_NAME = "tunewell_session"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def _name(request: Request) -> str:
    """Over https a name that no other host and no page over http can set."""
    return f"__Host-{_NAME}" if request.url.scheme == "https" else _NAME


def session_cookie(request: Request) -> str | None:
    """The cookie that the request brings."""
    return request.cookies.get(_name(request))


def set_cookie(request: Request, response: Response, signed_in: SignedIn, age_s: int) -> None:
    """Has the browser keep a session."""
    _write(request, response, signed_in.session.cookie, age_s)


def clear_cookie(request: Request, response: Response) -> None:
    """Has the browser forget its session."""
    _write(request, response, "", 0)


def _write(request: Request, response: Response, value: str, age_s: int) -> None:
    response.set_cookie(
        _name(request),
        value,
        max_age=age_s,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def check_csrf(request: Request, signed_in: SignedIn) -> None:
    """A browser sends the cookie by itself, so a write has to show that our own page made it.

    Raises:
        Denied: `forbidden`: a call of another site, or without the session's CSRF token.
    """
    if request.method in _SAFE_METHODS:
        return
    check_same_origin(request)
    if not is_csrf_token(signed_in.session, request.headers.get(CSRF_HEADER, "")):
        raise Denied(f"a write under a session needs its {CSRF_HEADER}: GET /v1/session has it")


def check_same_origin(request: Request) -> None:
    """No page of another site may make this call.

    Raises:
        Denied: `forbidden`.
    """
    host = request.headers.get("host", "")
    if not all(is_same_site(origin, host) for origin in request.headers.getlist("origin")):
        raise Denied("this call may not come from another site (Origin)")
    # A link on another site may lead here: reading changes nothing, and that site cannot read it.
    is_read = request.method in _SAFE_METHODS
    if not is_read and not _comes_from_here(request.headers.getlist("sec-fetch-site")):
        raise Denied("this call may not come from another site (Sec-Fetch-Site)")


def is_same_site(origin: str, host: str) -> bool:
    """Whether an Origin header names the host that the request was sent to."""
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _comes_from_here(said: Iterable[str]) -> bool:
    return all(value in ("same-origin", "none") for value in said)

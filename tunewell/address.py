"""Where a service is, and how it is spoken to."""

from __future__ import annotations

import ipaddress
import os
from typing import Any, TypeVar

import httpx

from .errors import TunewellError, WrongAddress, WrongToken

DEFAULT_URL = "http://127.0.0.1:8700"
RETRY_S = 60.0
"""For how long a call is tried again while the service is busy or away."""

_OF_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_OF_FILES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables of the environment that httpx goes by when a client is made."""

H = TypeVar("H", httpx.Client, httpx.AsyncClient)


class Address:
    """Where a service is, and how it is spoken to: what both kinds of connection have.

    Args:
        url: address of the service; `TUNEWELL_URL`, else http://127.0.0.1:8700.
        token: bearer token; `TUNEWELL_TOKEN`, else none. The empty one: none.
        timeout_s: how long one answer may take.
        retry_s: for how long a call is tried again when the service is busy or away.

    Attributes:
        url: the address.
        timeout_s, retry_s: as given; may be changed at any time.

    Raises:
        WrongAddress: the address is none.
        WrongToken: the token is none.
    """

    def __init__(
        self, url: str | None, token: str | None, *, timeout_s: float, retry_s: float
    ) -> None:
        self.url = (url or os.environ.get("TUNEWELL_URL") or DEFAULT_URL).strip().rstrip("/")
        self.timeout_s = timeout_s
        self.retry_s = retry_s
        self.token = (os.environ.get("TUNEWELL_TOKEN") or "" if token is None else token).strip()
        if not (self.token.isascii() and self.token.isprintable()):
            raise WrongToken(
                "what was given as the token has characters in it that no token has, such as a "
                "line's end; a token is tw_ and letters and digits"
            )
        self._host = _host(self.url)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.url}>"

    def made(self, kind: type[H], **more: Any) -> H:
        """An httpx client, of either kind.

        Raises:
            TunewellError: a variable of the environment that httpx goes by is of no use.
        """
        try:
            return kind(
                base_url=self.url,
                headers={"Authorization": f"Bearer {self.token}"} if self.token else {},
                timeout=self.timeout_s,
                # A proxy for the outer world cannot reach this machine's own addresses.
                trust_env=not _is_loopback(self._host),
                **more,
            )
        except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
            known = _OF_FILES if isinstance(error, OSError) else _OF_PROXIES
            names = " or ".join(name for name in os.environ if name.upper() in known)
            if not names:
                raise
            raise TunewellError(
                f"the environment's {names} cannot be used: {error}",
                next_step=f"mend or unset {names}",
            ) from None


def _host(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise WrongAddress(f"{url!r} is no address of a service: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise WrongAddress(f"{url!r} is no address of a service; one looks like {DEFAULT_URL}")
    return parsed.host


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

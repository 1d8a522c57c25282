"""Sends one webhook: the only place where the service opens a connection to somebody else.

What a study submits decides the URL, so the URL is not trusted (server-side request forgery):
the host has to be one that the settings list; its name is resolved here, once, and the connection
goes to an address that was looked at; a name that leads to a private address is refused; no
redirect is followed, no proxy of the environment is used, and nothing of the answer but its status
is kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import socket
import ssl
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

import httpx

from ..domain.delivery import Delivery
from ..domain.webhook import host_of, may_tell, refused_addresses

TOTAL_S = 10.0
"""How long one attempt may take, from the look-up of the name to the status of the answer."""

_PORTS = {"https": 443, "http": 80}


class NotDelivered(Exception):
    """The receiver did not take it; the text says why, for people."""


def signature(secret: str, timestamp: str, body: str) -> str:
    """`v1=` and HMAC-SHA256 over `timestamp.body`, in hex."""
    message = f"{timestamp}.{body}".encode()
    return f"v1={hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()}"


class Poster:
    """Posts to the hosts that the settings list, and to no others.

    Args:
        hosts: listed names and addresses, in lower case.
        secret: signs what is sent.
    """

    def __init__(self, hosts: Sequence[str], secret: str) -> None:
        self._hosts = tuple(hosts)
        self._secret = secret
        self._tls: ssl.SSLContext | None = None

    async def post(self, delivery: Delivery, now: datetime) -> None:
        """Sends a webhook; returns when the receiver has taken it.

        Raises:
            NotDelivered: it was not sent, or not answered with a status of 200 to 299.
        """
        try:
            async with asyncio.timeout(TOTAL_S):
                status = await self._status(delivery, now)
        except TimeoutError as error:
            raise NotDelivered(f"no answer within {TOTAL_S:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise NotDelivered(f"{type(error).__name__}: {error}"[:300]) from error
        if 300 <= status < 400:
            raise NotDelivered(f"answered {status}: redirects are not followed")
        if not 200 <= status < 300:
            raise NotDelivered(f"answered {status}")

    async def _status(self, delivery: Delivery, now: datetime) -> int:
        parts = urlsplit(delivery.url)
        host = host_of(parts)
        if not may_tell(host, self._hosts):
            raise NotDelivered(f"the settings do not list the host {host}")
        address = await _address_of(host, parts.port or _PORTS[parts.scheme])
        if self._tls is None:
            self._tls = await asyncio.to_thread(httpx.create_ssl_context)
        timestamp = str(int(now.timestamp()))
        headers = {
            "Host": parts.netloc,
            "Content-Type": "application/json",
            "User-Agent": "tunewell",
            "Tunewell-Event-Id": delivery.id,
            "Tunewell-Timestamp": timestamp,
            "Tunewell-Signature": signature(self._secret, timestamp, delivery.body),
        }
        url = httpx.URL(delivery.url).copy_with(host=address)
        async with (
            httpx.AsyncClient(verify=self._tls, trust_env=False, timeout=TOTAL_S) as client,
            client.stream(
                "POST",
                url,
                content=delivery.body.encode(),
                headers=headers,
                follow_redirects=False,
                # The certificate has to be the name's, though the connection goes to its address.
                extensions={"sni_hostname": host},
            ) as answer,
        ):
            return answer.status_code


async def _address_of(host: str, port: int) -> str:
    """An address of a host that may be told; all that it resolves to have to be such."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    refused = refused_addresses(host, addresses)
    if refused or not addresses:
        raise NotDelivered(
            f"{host} resolves to {', '.join(refused) or 'nothing'}: a private address is told only "
            "where the settings list the address itself"
        )
    return addresses[0]

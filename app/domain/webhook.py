"""Where a study sends word when it ends or pauses itself: the part of its definition, and the rule
on which addresses may be told.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

from .checking import Faults, Fields, as_object, as_text, shown

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An address that is told when the study ends or pauses itself."""

    url: str

    @property
    def host(self) -> str:
        """The host of the URL, in lower case, without brackets."""
        return host_of(urlsplit(self.url))


def host_of(parts: SplitResult) -> str:
    """The host of a URL, in lower case, without brackets and without a dot at its end."""
    return (parts.hostname or "").rstrip(".").lower()


def parse_webhook(raw: object, pointer: str, faults: Faults) -> Webhook | None:
    """`{"url": "https://..."}`; plain http for an address of this machine only."""
    item = as_object(raw, pointer, faults)
    if item is None:
        return None
    fields = Fields(item, pointer, faults, ("url",))
    url = fields.read("url", _as_url, is_required=True)
    return None if url is None else Webhook(url=url)


def _as_url(value: object, pointer: str, faults: Faults) -> str | None:
    url = as_text(value, pointer, faults, limit="url_chars")
    if url is None:
        return None
    rule = _broken_rule(url)
    if rule is not None:
        faults.add(pointer, "webhook-url", f"{rule}, found {shown(url)}.")
        return None
    return url


def _broken_rule(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "Must be a URL"
    host = host_of(parts)
    if not url.isascii() or " " in url or "\\" in url or not host:
        return "Must be a URL in ASCII with a host"
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "A webhook's URL has neither user nor password nor fragment"
    address = address_of(host)
    is_local = address is not None and address.is_loopback
    if parts.scheme != "https" and not (parts.scheme == "http" and is_local):
        return "Must begin with https:// (http:// for a loopback address only)"
    return None


def address_of(host: str) -> Address | None:
    """The address that a host is, None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def may_tell(host: str, listed: Collection[str]) -> bool:
    """Whether the service's settings list this host."""
    address = address_of(host)
    if address is None:
        return host in listed
    return any(address_of(each) == address for each in listed)


def refused_addresses(host: str, resolved: Iterable[str]) -> list[str]:
    """Addresses of a listed host that must not be told all the same.

    Whoever runs the name's DNS decides what it resolves to: a name must not lead into the network
    of the service. A private address is told only where the settings list the address itself.

    Args:
        host: the host of the URL, which the settings list.
        resolved: what it resolves to.
    """
    if address_of(host) is not None:
        return []
    return [each for each in resolved if not _is_public(each)]


def _is_public(text: str) -> bool:
    address = address_of(text.partition("%")[0])
    if address is None:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        address = _inner(address)
    return address.is_global and not address.is_multicast


def _inner(address: ipaddress.IPv6Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)

"""How often one caller may call: a token bucket each, in this process's memory.

A bucket holds `burst` calls and is filled again at `per_s` calls a second. It is found by the
caller's token, or by its address where there is none.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache

from starlette.requests import Request

from ..errors import Unavailable

MAX_CALLERS = 10_000
"""Buckets in memory at most; the one that was used least lately goes, and would be full again."""

_IPV6_PREFIX = 64
"""An IPv6 caller has a whole network to call from: it counts as one."""


class RateLimiter:
    """The buckets of one process. Used in its event loop only.

    Attributes:
        policy: the value of the `RateLimit-Policy` header.
    """

    def __init__(
        self, per_s: float, burst: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Makes it.

        Args:
            per_s: calls a second that a caller may make for ever; above 0.
            burst: calls that it may make at once.
            clock: seconds, steadily growing.
        """
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self.policy = f'"default";q={burst};w={math.ceil(burst / per_s)}'

    def __len__(self) -> int:
        """How many callers are remembered."""
        return len(self._buckets)

    def take(self, caller: str) -> Mapping[str, str]:
        """Counts one call.

        Returns:
            The headers that tell the caller what is left.

        Raises:
            Unavailable: `rate-limited`, with the time until the next call may succeed.
        """
        now = self._clock()
        left, seen_at = self._buckets.get(caller, (float(self._burst), now))
        left = min(self._burst, left + (now - seen_at) * self._per_s)
        if left < 1:
            raise self._refused((1 - left) / self._per_s)
        self._buckets[caller] = (left - 1, now)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > MAX_CALLERS:
            self._buckets.popitem(last=False)
        return self._headers(int(left - 1))

    def _headers(self, left: int) -> Mapping[str, str]:
        until_full = math.ceil((self._burst - left) / self._per_s)
        return {"RateLimit": f'"default";r={left};t={until_full}', "RateLimit-Policy": self.policy}

    def _refused(self, wait_s: float) -> Unavailable:
        return Unavailable(
            f"too many calls: {self._per_s:g} a second, {self._burst} at once",
            code="rate-limited",
            retry_after_s=round(wait_s, 3),
        )

    def headers_when_empty(self) -> Mapping[str, str]:
        """The headers of a refusal."""
        return self._headers(0)


@lru_cache(maxsize=1024)
def _network(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return host
    return str(ipaddress.ip_network((int(address), _IPV6_PREFIX), strict=False))


def count_call(request: Request, token_id: str | None) -> None:
    """Counts a request against its caller's bucket.

    Raises:
        Unavailable: `rate-limited`.
    """
    limiter: RateLimiter | None = request.app.state.rate_limiter
    if limiter is None:
        return
    host = request.client.host if request.client else ""
    caller = token_id if token_id is not None else f"at {_network(host)}"
    state = request.scope["state"]
    try:
        state["rate_headers"] = limiter.take(caller)
    except Unavailable:
        state["rate_headers"] = limiter.headers_when_empty()
        raise

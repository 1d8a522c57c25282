"""How many calls may wait at once: one more is told to come back, in place of piling up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import Unavailable

RETRY_AFTER_S = 5
"""When one that was refused may come again: waits of claims last longer, so that sooner is vain."""


class Crowd:
    """The claims and `:suggest` calls that one process holds.

    Args:
        most: at once, >= 1.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._n_inside = 0

    @contextmanager
    def entered(self) -> Iterator[None]:
        """One call, inside while the block runs.

        Raises:
            Unavailable: `most` are inside.
        """
        if self._n_inside >= self._most:
            raise Unavailable(
                f"{self._most} claims are waiting already, which is the most that this process "
                "holds (TUNEWELL_CLAIMS_LIMIT)",
                retry_after_s=RETRY_AFTER_S,
            )
        self._n_inside += 1
        try:
            yield
        finally:
            self._n_inside -= 1

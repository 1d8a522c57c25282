"""What a suggester need not work out again at every ask: arrays with a row a trial, keys of points.

A cache and nothing else: whatever it gives is the same as what it would give when new, so that a
suggestion depends on the request alone. It belongs to one study; a request carries it, or none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence, Set
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..domain.space import Params, point_key


class HasPoint(Protocol):
    """A trial, as far as its point goes."""

    @property
    def params(self) -> Params:
        """The active parameters."""
        ...


T = TypeVar("T")
P = TypeVar("P", bound=HasPoint)


class SuggestMemory:
    """Keeps what was made of the trials of one study, and makes only what is new.

    Trials are told apart by identity, so one that changed has to be another object. Those before
    the first change keep their rows; the ones after it, few as trials end in about their order,
    are made again.
    """

    def __init__(self) -> None:
        self._rows: dict[str, _Rows] = {}
        self._keys = _Keys()
        self._things: dict[str, tuple[object, Any]] = {}
        self._last = _Sequence()

    def rows(
        self,
        kind: str,
        about: object,
        make: Callable[[Sequence[T]], NDArray[Any]],
        trials: Sequence[T],
    ) -> NDArray[Any]:
        """An array with one row (or number) a trial, such as its encoded point.

        Args:
            kind: names the array in this memory.
            about: what the rows depend on besides the trials, such as the space; another object
                starts the array anew.
            make: rows of some trials, shape `(k, ...)`; of one dtype and width whatever k is, 0
                included, and the same for a trial whichever trials stand beside it.
            trials: by number.

        Returns:
            Shape `(n, ...)`, read-only, valid until the next call for this kind.
        """
        known = self._rows.get(kind)
        if known is None or known.about is not about:
            known = self._rows[kind] = _Rows(about)
        return known.of(make, self._sequence(trials))

    def keys(self, trials: Sequence[P]) -> Set[str]:
        """Keys of the trials' points (`point_key`): a view, valid until the next call."""
        return self._keys.of(self._sequence(trials))

    def thing(self, kind: str, about: object, make: Callable[[], T]) -> T:
        """What `make` makes, such as an encoder, kept for as long as `about` is the same object."""
        known = self._things.get(kind)
        if known is None or known[0] is not about:
            known = self._things[kind] = (about, make())
        made: T = known[1]
        return made

    def _sequence(self, trials: Sequence[Any]) -> _Sequence:
        """The trials with their identities, worked out once for all that is asked of them."""
        if trials is not self._last.items:
            self._last = _Sequence(trials)
        return self._last


class _Sequence:
    """The trials of one request, and their identities."""

    def __init__(self, items: Sequence[Any] = ()) -> None:
        self.items = tuple(items)  # held, or their ids could come to mean others
        self._ids = np.fromiter(map(id, self.items), dtype=np.int64, count=len(self.items))

    def n_common(self, other: _Sequence) -> int:
        """How many leading trials both have."""
        if other is self:
            return len(self.items)
        n = min(len(self.items), len(other.items))
        differs = np.flatnonzero(self._ids[:n] != other._ids[:n])
        return int(differs[0]) if differs.size else n


class _Rows:
    """One array that grows at its end."""

    def __init__(self, about: object) -> None:
        self.about = about
        self._known = _Sequence()
        self._buffer: NDArray[Any] | None = None

    def of(self, make: Callable[[Sequence[T]], NDArray[Any]], now: _Sequence) -> NDArray[Any]:
        trials, n = now.items, len(now.items)
        n_kept, self._known = now.n_common(self._known), now
        if self._buffer is None:
            self._buffer = np.array(make(trials))
        elif n_kept < n:
            self._buffer = _with_room(self._buffer, n_kept, n)
            self._buffer[n_kept:n] = make(trials[n_kept:])
        rows = self._buffer[:n]
        rows.flags.writeable = False
        return rows


def _with_room(buffer: NDArray[Any], n_kept: int, n: int) -> NDArray[Any]:
    """The buffer, or a larger one with the same first rows."""
    if buffer.shape[0] >= n:
        return buffer
    larger = np.empty((n + n // 2, *buffer.shape[1:]), dtype=buffer.dtype)
    larger[:n_kept] = buffer[:n_kept]
    return larger


class _Keys:
    """How many trials have each point, by its key."""

    def __init__(self) -> None:
        self._known = _Sequence()
        self._in_order: list[str] = []
        self._counts: Counter[str] = Counter()

    def of(self, now: _Sequence) -> Set[str]:
        n_kept, self._known = now.n_common(self._known), now
        for key in self._in_order[n_kept:]:
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]
        new = [point_key(trial.params) for trial in now.items[n_kept:]]
        self._in_order[n_kept:] = new
        self._counts.update(new)
        return self._counts.keys()

"""Imports trials in batches, each as a whole or not at all, and none that is there already."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..client import Client
from ..errors import ApiError
from ..exchange import sendable

BATCH = 1_000
"""Trials in one call; the service takes 2,500."""
BATCH_BYTES = 4 << 20
"""About the largest body of one call; the service takes 8 MiB."""

_POINTER = re.compile(r"/trials/(\d+)(/.*)?")
_TIMES = ("started_at", "ended_at")

Item = Mapping[str, Any]
Placed = tuple[str, Item]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A row that the service refuses: where it stands, and each fault with its pointer."""

    place: str
    faults: Sequence[tuple[str, str]]


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What an import has come to.

    Attributes:
        n_imported: trials that were added.
        refused: rows at fault.
        n_held_back: sound rows that were not added because their batch held one at fault.
    """

    n_imported: int = 0
    refused: list[Refused] = field(default_factory=list)
    n_held_back: int = 0


def new_ones(
    client: Client, study_id: str, places: Sequence[str], items: Sequence[Item]
) -> list[Placed]:
    """The items that the study does not have yet: an equal one that was imported counts as the
    item. Two equal items are two trials.
    """
    there = _Known(t for t in client.trials(study_id) if t["source"] == "import")
    return [
        (place, item) for place, item in zip(places, items, strict=True) if not there.take(item)
    ]


class _Known:
    """Imported trials of a study, each of which stands for one item."""

    def __init__(self, trials: Iterable[Item]) -> None:
        self._trials = list(trials)
        self._counts: dict[tuple[str, ...], Counter[str]] = {}

    def take(self, item: Item) -> bool:
        """Whether a trial is there that is the item, and none of the items before."""
        # What the item leaves out, such as its times, the service has filled in.
        told = tuple(name for name in ("step", *_TIMES) if item.get(name) is not None)
        if told not in self._counts:
            self._counts[told] = Counter(_key(trial, told) for trial in self._trials)
        key = _key(item, told)
        if self._counts[told][key] < 1:
            return False
        self._counts[told][key] -= 1
        return True


def _key(item: Item, told: Sequence[str]) -> str:
    """What makes two trials the same one: point, state, values, and what was told beside."""
    params = {name: _plain(value) for name, value in item["params"].items()}
    values = {name: _plain(value) for name, value in (item.get("values") or {}).items()}
    more = [_moment(item.get(n)) if n in _TIMES else _plain(item.get(n)) for n in told]
    return json.dumps([params, item["state"], values, more], sort_keys=True)


def _plain(value: Any) -> Any:
    """A number as one of one kind: 3 and 3.0 are the same."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number else value


def _moment(value: Any) -> Any:
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC).isoformat(timespec="milliseconds")
    except ValueError:
        return value


def send(
    client: Client,
    study_id: str,
    placed: Sequence[Placed],
    *,
    skip_refused: bool = False,
    told: Callable[[int], None] | None = None,
) -> Outcome:
    """Imports items batch by batch.

    Args:
        client: where the study is.
        study_id: the study.
        placed: where each item stands, and the item.
        skip_refused: leave out the rows at fault of a batch, and import the others of it.
        told: called after each batch with how many items have been looked at.

    Raises:
        ApiError: the study takes no trials at all.
    """
    outcome, n_seen = Outcome(), 0
    for batch in batches(placed):
        _send_batch(client, study_id, batch, outcome, skip_refused=skip_refused)
        n_seen += len(batch)
        if told is not None:
            told(n_seen)
    return outcome


def batches(placed: Sequence[Placed]) -> Iterator[list[Placed]]:
    """Parts that fit into one call each."""
    batch: list[Placed] = []
    size = 0
    for place, item in placed:
        length = len(json.dumps(sendable(item)))
        if batch and (len(batch) == BATCH or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((place, item))
        size += length
    if batch:
        yield batch


def _send_batch(
    client: Client,
    study_id: str,
    batch: Sequence[Placed],
    outcome: Outcome,
    *,
    skip_refused: bool,
) -> None:
    left = list(batch)
    while left:
        try:
            client.enqueue(study_id, [item for _, item in left])
        except ApiError as error:
            faults = _faults_by_row(error)
            if not faults:
                raise
            outcome.refused += [
                Refused(place=left[row][0], faults=found) for row, found in sorted(faults.items())
            ]
            left = [placed for row, placed in enumerate(left) if row not in faults]
            if not skip_refused:
                outcome.n_held_back += len(left)
                return
        else:
            outcome.n_imported += len(left)
            return


def _faults_by_row(error: ApiError) -> dict[int, list[tuple[str, str]]]:
    """The faults of a refusal by the row that they are in; none where it is of no row."""
    found: dict[int, list[tuple[str, str]]] = {}
    for fault in error.errors:
        at = _POINTER.fullmatch(fault.get("pointer") or "")
        if at is not None:
            found.setdefault(int(at[1]), []).append((at[2] or "/", fault.get("detail", "")))
    return found

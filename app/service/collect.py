"""Clears away the checkpoints that nothing will go on from.

A row is marked deleted first, then its content goes, then the row. So whatever a crash interrupts,
the next round ends; and a content without a row, whose study was purged or whose database was
restored from an older backup, is found by its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import islice

from ..blobs.base import Blobs
from ..settings import Settings
from ..store import checkpoints as checkpoint_rows
from ..store.engine import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Collecting:
    """When checkpoints go, in seconds: after their trial's end, and uploads by age."""

    grace_s: float
    upload_age_s: float

    @classmethod
    def of(cls, settings: Settings) -> Collecting:
        """What the settings say."""
        return cls(
            grace_s=settings.checkpoint_grace_s, upload_age_s=settings.checkpoint_upload_age_s
        )


class Collector:
    """The steps of one round."""

    def __init__(self, store: Store, blobs: Blobs | None, collecting: Collecting) -> None:
        self._store = store
        self._blobs = blobs
        self._collecting = collecting

    def steps(self) -> Iterator[str]:
        """Runs one step after another, each when the next item is asked for.

        Yields:
            What was done, as often as it took a step.
        """
        while self._give_up():
            yield "checkpoints"
        if self._blobs is None:
            return
        while self._remove(self._blobs):
            yield "contents"
        yield from self._orphans(self._blobs)

    def _give_up(self) -> bool:
        now = self._store.now()
        found = self._store.read(
            lambda conn: checkpoint_rows.needless(
                conn,
                ended_before=now - timedelta(seconds=self._collecting.grace_s),
                uploads_before=now - timedelta(seconds=self._collecting.upload_age_s),
                now=now,
            )
        )
        if not found:
            return False
        return self._store.write(lambda tx: checkpoint_rows.mark_deleted(tx, found)) > 0

    def _remove(self, blobs: Blobs) -> bool:
        found = self._store.read(checkpoint_rows.deleted)
        for checkpoint_id in found:
            blobs.remove(checkpoint_id)
        if found:
            self._store.write(lambda tx: checkpoint_rows.forget(tx, found))
        return bool(found)

    def _orphans(self, blobs: Blobs) -> Iterator[str]:
        # A row is there before its content: what was listed first and has none now is nobody's.
        keys = iter(sorted(set(blobs.keys())))
        while some := list(islice(keys, checkpoint_rows.BATCH)):
            known = self._store.read(partial(checkpoint_rows.known, ids=some))
            for key in some:
                if key not in known:
                    blobs.remove(key)
            yield "orphans"

"""What a trial's process prints: taken in under its lease, bounded, and read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from ..domain.lease import Lease, LeaseEnd
from ..errors import Fault, InvalidInput, NotFound
from ..store import leases as lease_rows
from ..store import logs as log_rows
from ..store import studies as study_rows
from ..store import trials as trial_rows
from ..store.engine import Store
from ..store.logs import Chunk
from ..store.transaction import Tx
from ..store.types import storable_text
from .fence import check_token, stale
from .views import Caller

HEAD_BYTES = 1024 * 1024
"""The first bytes of an attempt's output that are kept, to the end of the chunk that passes."""
TAIL_BYTES = 4 * 1024 * 1024
"""The last ones, from the beginning of the chunk that reaches so far back."""
MAX_CHUNK_BYTES = 256 * 1024
"""Most bytes of UTF-8 in one chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialLog:
    """An attempt's output as far as it is kept.

    Attributes:
        lease_id: the attempt, or None where none has printed anything.
        parts: (first byte, text) of each piece, in order; what lies between two was left out.
        size_bytes: how much was printed in all.
        omitted_bytes: how much of that is not kept.
    """

    trial_id: str
    lease_id: str | None
    parts: tuple[tuple[int, str], ...] = ()
    size_bytes: int = 0
    omitted_bytes: int = 0

    @property
    def text(self) -> str:
        """For people: the pieces, with a line that says how much was left out between them."""
        said, end = [], 0
        for start, text in self.parts:
            if start > end:
                said.append(f"\n... {start - end:,} bytes left out ...\n")
            said.append(text)
            end = start + len(text.encode())
        return "".join(said)


class LogService:
    """The use cases of output."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def append(
        self, trial_id: str, *, lease_id: str, offset: int, text: str, caller: Caller
    ) -> int:
        """Takes in a piece of output; the same piece again changes nothing.

        Args:
            offset: bytes of UTF-8 that the attempt had printed before. A larger one than is known
                leaves a gap: what the holder left out.

        Returns:
            Bytes that the attempt has printed so far, as far as is known.

        Raises:
            StaleLease: the lease is not the trial's current one.
            InvalidInput: it is too long, or begins within what is known.
        """
        chunk = Chunk(start=offset, n_bytes=len(text.encode()), content=text)
        if chunk.n_bytes > MAX_CHUNK_BYTES:
            raise _invalid(
                "/text",
                "too-long",
                f"at most {MAX_CHUNK_BYTES:,} bytes of UTF-8 at once, not {chunk.n_bytes:,}",
            )

        def append(tx: Tx) -> int:
            log_rows.lock(tx, lease_id)
            lease = _held(tx.conn, trial_id, lease_id, caller)
            last = log_rows.last(tx.conn, lease_id)
            end = 0 if last is None else last.end
            if offset < end:
                known = log_rows.at(tx.conn, lease_id, offset)
                if known is not None and known.content == storable_text(text):
                    return end
                raise _invalid(
                    "/offset",
                    "offset-before-end",
                    f"{end:,} bytes are there already: a further piece begins there or beyond, "
                    f"not at {offset:,}",
                )
            if chunk.n_bytes == 0:
                return end
            log_rows.insert(tx, lease, chunk)
            if chunk.end - TAIL_BYTES > HEAD_BYTES:
                log_rows.drop_between(tx, lease_id, HEAD_BYTES, chunk.end - TAIL_BYTES)
            return chunk.end

        return self._store.write(append)

    def read(
        self, trial_id: str, lease_id: str | None = None, tail_bytes: int | None = None
    ) -> TrialLog:
        """An attempt's output; that of the newest attempt with any, when no lease is named.

        Args:
            tail_bytes: only the pieces that the last so many bytes lie in.

        Raises:
            NotFound: no such trial, or no such attempt at it, or its study is deleted.
        """

        def read(conn: Connection) -> TrialLog:
            study_rows.get(conn, trial_rows.get(conn, trial_id).study_id)
            of = lease_id or log_rows.newest_lease(conn, trial_id)
            if of is None:
                return TrialLog(trial_id=trial_id, lease_id=None)
            lease = lease_rows.get(conn, of)
            if lease is None or lease.trial_id != trial_id:
                raise NotFound(f"trial {trial_id} has no attempt {of}")
            end = log_rows.last(conn, of) if tail_bytes else None
            start = 0 if tail_bytes is None or end is None else end.end - tail_bytes
            return _joined(trial_id, of, log_rows.of_lease(conn, of, start))

        return self._store.read(read)


def _held(conn: Connection, trial_id: str, lease_id: str, caller: Caller) -> Lease:
    """The lease, if the caller may write under it: as `fence.hold`, but the study is not locked and
    the lease neither renewed nor revived.

    What an attempt printed is its own, so a lease that ends meanwhile does no harm; the output of
    an expired one counts while nobody has re-claimed the trial, as its reports do.
    """
    lease = lease_rows.get(conn, lease_id)
    if lease is None or lease.trial_id != trial_id:
        raise NotFound(f"there is no lease {lease_id} of trial {trial_id}")
    check_token(lease, caller)
    is_waiting = lease.end is LeaseEnd.EXPIRED and (
        trial_rows.get(conn, trial_id).lease_id == lease.id
    )
    if lease.end is not None and not is_waiting:
        raise stale(lease)
    return lease


def _joined(trial_id: str, lease_id: str, chunks: Sequence[Chunk]) -> TrialLog:
    """Pieces that touch become one."""
    parts: list[tuple[int, str]] = []
    end = 0
    for chunk in chunks:
        if parts and chunk.start == end:
            start, text = parts[-1]
            parts[-1] = (start, text + chunk.content)
        else:
            parts.append((chunk.start, chunk.content))
        end = chunk.end
    kept = sum(chunk.n_bytes for chunk in chunks)
    return TrialLog(
        trial_id=trial_id,
        lease_id=lease_id,
        parts=tuple(parts),
        size_bytes=end,
        omitted_bytes=end - kept,
    )


def _invalid(pointer: str, code: str, detail: str) -> InvalidInput:
    return InvalidInput(detail, faults=[Fault(pointer=pointer, code=code, detail=detail)])

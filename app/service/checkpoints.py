"""Checkpoints: announced, uploaded piece by piece, then committed under the lease of the trial.

Only a committed one is ever gone on from: its content was read again as a whole and held against
the announced size and sha256 before one transaction, fenced by the lease, made it the trial's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Connection

from ..blobs.base import Blobs, ChunkWriter, Corrupt, Gap, Incomplete
from ..domain.checkpoint import Checkpoint, CheckpointState
from ..domain.lease import Lease, LeaseEnd
from ..domain.token import Role
from ..errors import AppError, Conflict, Denied, Fault, InvalidInput, NotFound, Unavailable
from ..settings import Settings
from ..store import checkpoints as checkpoint_rows
from ..store import leases as lease_rows
from ..store import trials as trial_rows
from ..store.engine import Store
from ..store.idempotency import Receipt
from ..store.transaction import Tx
from .fence import after, hold, renewed, stale
from .views import Caller

log = logging.getLogger(__name__)

_UPLOADING = (CheckpointState.UPLOADING,)
_ALL = (CheckpointState.UPLOADING, CheckpointState.COMMITTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """Largest sizes in bytes: of a study's checkpoints together, and of all."""

    study_bytes: int
    total_bytes: int

    @classmethod
    def of(cls, settings: Settings) -> Quotas:
        """What the settings say."""
        return cls(
            study_bytes=settings.checkpoint_study_quota_bytes,
            total_bytes=settings.checkpoint_total_quota_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A checkpoint and how much of its content is there, in bytes from its beginning."""

    checkpoint: Checkpoint
    received_bytes: int


class CheckpointService:
    """The use cases of checkpoints.

    Args:
        store: the database.
        blobs: where the contents lie, or None when nothing was set.
        quotas: how much is kept.
    """

    def __init__(self, store: Store, blobs: Blobs | None, quotas: Quotas) -> None:
        self._store = store
        self._given = blobs
        self._quotas = quotas

    @property
    def _blobs(self) -> Blobs:
        if self._given is None:
            raise Conflict(
                "this service keeps no checkpoints: on Postgres they need the setting "
                "TUNEWELL_CHECKPOINT_DIR, a folder that all replicas share or a "
                "protocol://place",
                code="checkpoints-off",
            )
        return self._given

    def create(
        self,
        trial_id: str,
        *,
        lease_id: str,
        step: int,
        size_bytes: int,
        sha256: str,
        caller: Caller,
        receipt: Receipt[Upload] | None = None,
    ) -> Upload:
        """Announces a checkpoint; the same one again gives the one that is there.

        Raises:
            StaleLease: the lease is not the trial's current one.
            AppError: `too-large`: a quota does not leave room for it.
            Conflict: `checkpoints-off`.
        """
        blobs = self._blobs
        given_up: list[str] = []

        def create(tx: Tx) -> Upload:
            given_up.clear()
            held = hold(tx, lease_id, trial_id, caller)
            known = checkpoint_rows.same(tx.conn, lease_id, step, sha256)
            if known is None:
                known = checkpoint_rows.insert(
                    held.study,
                    held.trial,
                    held.lease,
                    step=step,
                    size_bytes=size_bytes,
                    sha256=sha256,
                )
                # Who announces another one goes on with no upload from before.
                given_up.extend(checkpoint_rows.give_up_others(held.study, known, _UPLOADING))
                self._check_quotas(tx.conn, held.study.id, size_bytes)
            renewed(held)
            return Upload(checkpoint=known, received_bytes=0)

        made = self._store.write(create, receipt=receipt)
        self._remove(given_up)
        return replace(made, received_bytes=blobs.received(made.checkpoint.id))

    def _check_quotas(self, conn: Connection, study_id: str, size_bytes: int) -> None:
        """With the new one counted already: who fails here leaves nothing behind."""
        of_study, of_all = checkpoint_rows.used_bytes(conn, study_id)
        for what, used, limit in (
            ("this study's checkpoints", of_study, self._quotas.study_bytes),
            ("all checkpoints", of_all, self._quotas.total_bytes),
        ):
            if used > limit:
                raise AppError(
                    f"{what} may have {limit} bytes together; {used - size_bytes} are taken, "
                    f"{size_bytes} more were asked for",
                    code="too-large",
                    members={"limit_bytes": limit, "used_bytes": used - size_bytes},
                )

    def get(self, checkpoint_id: str, *, caller: Caller) -> Upload:
        """A checkpoint, and how much of it is there.

        Raises:
            NotFound: there is none, or no longer.
            Denied: a worker asks for one of a trial that it was never given.
        """
        found = self._store.read(partial(self._readable, checkpoint_id, caller))
        return Upload(checkpoint=found, received_bytes=self._blobs.received(found.id))

    def _readable(self, checkpoint_id: str, caller: Caller, conn: Connection) -> Checkpoint:
        found = checkpoint_rows.get(conn, checkpoint_id)
        if caller.role is Role.WORKER and all(
            lease.token_id != caller.token_id for lease in lease_rows.of_trial(conn, found.trial_id)
        ):
            raise Denied("a worker token reads only checkpoints of trials that were given to it")
        return found

    def chunk(
        self, checkpoint_id: str, offset: int, *, size_bytes: int | None, caller: Caller
    ) -> tuple[ChunkWriter, int]:
        """Where to write a chunk that begins at `offset`, and how many bytes it may have; what is
        there already stays.

        Args:
            size_bytes: of the whole content as it is said with the chunk; None: it is not.

        Raises:
            StaleLease: its attempt is over.
            InvalidInput: the chunk begins after what is there, or is one of another size.
        """
        found = self._store.read(partial(_writable, checkpoint_id, caller))
        if size_bytes not in (None, found.size_bytes):
            detail = (
                f"{found.size_bytes} bytes were announced, and Content-Range is of {size_bytes}"
            )
            fault = Fault(pointer="/Content-Range", code="other-size", detail=detail)
            raise InvalidInput(detail, faults=[fault])
        try:
            return self._blobs.chunk(found.id, offset), max(0, found.size_bytes - offset)
        except Gap as gap:
            raise gap_refused(gap) from gap

    def commit(
        self,
        checkpoint_id: str,
        *,
        lease_id: str,
        caller: Caller,
        receipt: Receipt[Upload] | None = None,
    ) -> Upload:
        """Makes an upload the checkpoint that the trial's next attempt goes on from; the same call
        again changes nothing.

        Raises:
            StaleLease: the lease is not the trial's current one.
            Conflict: `upload-incomplete`: bytes are missing.
            InvalidInput: the content is another one than announced; it is gone, to be sent anew.
        """
        known = self._store.read(lambda conn: _owned(conn, checkpoint_id, caller)[0])
        if known.lease_id != lease_id:
            raise NotFound(f"there is no checkpoint {checkpoint_id} of lease {lease_id}")
        if known.state is CheckpointState.UPLOADING:
            self._store.read(partial(_writable, checkpoint_id, caller))
            self._seal(known)

        given_up: list[str] = []

        def commit(tx: Tx) -> Upload:
            given_up.clear()
            present = checkpoint_rows.get(tx.conn, checkpoint_id)
            if present.state is CheckpointState.UPLOADING:
                held = hold(tx, lease_id, present.trial_id, caller)
                present = checkpoint_rows.get(tx.conn, checkpoint_id)
                if present.state is CheckpointState.UPLOADING:
                    present = checkpoint_rows.commit(held.study, held.trial, present)
                    # At once: a training that saves often must not fill its quota with old ones.
                    given_up.extend(checkpoint_rows.give_up_others(held.study, present, _ALL))
                renewed(held)
                after(held.study)
            return Upload(checkpoint=present, received_bytes=present.size_bytes)

        done = self._store.write(commit, receipt=receipt)
        self._remove(given_up)
        return done

    def _remove(self, given_up: Sequence[str]) -> None:
        """Removes the content of what was given up; what fails here the collector does later."""
        for checkpoint_id in given_up:
            try:
                self._blobs.remove(checkpoint_id)
            except OSError as error:
                log.warning(
                    "content_not_removed",
                    extra={"checkpoint_id": checkpoint_id, "reason": str(error)},
                )

    def _seal(self, checkpoint: Checkpoint) -> None:
        try:
            self._blobs.seal(checkpoint.id, checkpoint.size_bytes, checkpoint.sha256)
        except Incomplete as missing:
            raise Conflict(
                f"{missing.received_bytes} of {checkpoint.size_bytes} bytes are there",
                code="upload-incomplete",
                members={"received_bytes": missing.received_bytes},
            ) from missing
        except Corrupt as other:
            detail = (
                f"the content has not the announced size and sha256 (found {other.sha256}); "
                "send it again from its beginning"
            )
            fault = Fault(pointer="/sha256", code="content-differs", detail=detail)
            raise InvalidInput(detail, faults=[fault]) from other
        except OSError as error:
            raise cannot_keep(error) from error

    def content(self, checkpoint_id: str, *, caller: Caller) -> Checkpoint:
        """A checkpoint whose content may be read with `read`.

        Raises:
            NotFound: there is none that was committed.
        """
        found = self._store.read(partial(self._readable, checkpoint_id, caller))
        if found.state is not CheckpointState.COMMITTED or not self._blobs.is_sealed(found.id):
            raise NotFound(f"checkpoint {checkpoint_id} has no committed content")
        return found

    def read(self, checkpoint: Checkpoint, start: int, stop: int) -> Iterator[bytes]:
        """The bytes `start` to `stop` (not included) of a content."""
        return self._blobs.read(checkpoint.id, start, stop)


def _owned(conn: Connection, checkpoint_id: str, caller: Caller) -> tuple[Checkpoint, Lease]:
    """A checkpoint and the lease of its attempt, which the caller must have been given."""
    found = checkpoint_rows.get(conn, checkpoint_id)
    lease = lease_rows.get(conn, found.lease_id)
    if lease is None:
        raise NotFound(f"there is no checkpoint {checkpoint_id}")
    if caller.role is not Role.ADMIN and lease.token_id != caller.token_id:
        raise Denied("the checkpoint is of another token's lease")
    return found, lease


def _writable(checkpoint_id: str, caller: Caller, conn: Connection) -> Checkpoint:
    """A checkpoint whose attempt still holds its trial."""
    found, lease = _owned(conn, checkpoint_id, caller)
    is_current = trial_rows.get(conn, found.trial_id).lease_id == lease.id
    if not is_current or lease.end not in (None, LeaseEnd.EXPIRED):
        raise stale(lease)
    return found


def cannot_keep(error: OSError) -> Unavailable:
    """The refusal of a content that the disk, or the place behind fsspec, does not take now."""
    reason = error.strerror or type(error).__name__
    return Unavailable(
        f"the place for checkpoints does not take the content: {reason}",
        code="storage-busy",
        retry_after_s=5,
    )


def gap_refused(gap: Gap) -> InvalidInput:
    """The refusal of a chunk that does not continue what is there."""
    detail = f"the chunk has to begin at byte {gap.received_bytes} or before"
    fault = Fault(pointer="/Content-Range", code="gap", detail=detail)
    return InvalidInput(detail, faults=[fault], members={"received_bytes": gap.received_bytes})

"""Idempotency keys: the first answer to a POST, replayed when the call comes again within a day."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from sqlalchemy import Row, bindparam, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from ..errors import Conflict, InvalidInput
from .tables import idempotency_keys as table
from .transaction import Tx

T = TypeVar("T")

KEPT_FOR = timedelta(hours=24)
"""How long an answer is kept."""

PURGED_AT_ONCE = 500
"""Most rows that one transaction deletes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What names a call: who made it (`scope`), on what, under which key; its body by hash."""

    scope: str
    method: str
    path: str
    key: str
    body_hash: str

    def digest(self) -> bytes:
        """32 bytes that stand for all but the body."""
        parts = (self.scope, self.method, self.path, self.key)
        text = "".join(f"{len(part)}:{part}" for part in parts)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer as it was sent."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt(Generic[T]):
    """Has a write keep its answer: `keep` renders the result of the write."""

    key: Key
    keep: Callable[[T], Answer]


class Replay(Exception):
    """The call was answered before; `answer` is what was said then."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("answered before")
        self.answer = answer


_FIND = select(table).where(table.c.key_hash == bindparam("key_hash"))
_LOCK = select(func.pg_try_advisory_xact_lock(bindparam("lock")))


def _upsert(insert: Any) -> Any:
    statement = insert(table)
    return statement.on_conflict_do_update(
        index_elements=["key_hash"],
        set_={column.name: statement.excluded[column.name] for column in table.c},
        where=table.c.created_at <= bindparam("stale"),
    )


_UPSERTS = {"sqlite": _upsert(sqlite.insert), "postgresql": _upsert(postgresql.insert)}


def run(tx: Tx, fn: Callable[[Tx], T], receipt: Receipt[T] | None) -> T:
    """Runs `fn`, once for each idempotency key.

    Raises:
        Replay: the key was answered before.
        InvalidInput: the key was used with another body.
        Conflict: the first call under the key has not ended yet.
    """
    if receipt is None:
        return fn(tx)
    look_up(tx, receipt.key)
    result = fn(tx)
    keep(tx, receipt.key, receipt.keep(result))
    return result


def look_up(tx: Tx, key: Key) -> None:
    """Returns when the key is free, and holds it until the transaction ends.

    Raises:
        Replay, InvalidInput, Conflict: as `run`.
    """
    digest = key.digest()
    if tx.dialect == "postgresql":
        lock = int.from_bytes(digest[:8], "big", signed=True)
        if not tx.conn.execute(_LOCK, {"lock": lock}).scalar_one():
            raise Conflict(
                "a call with this Idempotency-Key is still running",
                code="idempotency-in-progress",
                retry_after_s=1,
            )
    row = tx.conn.execute(_FIND, {"key_hash": digest.hex()}).one_or_none()
    if row is not None and row.created_at > tx.now - KEPT_FOR:
        raise _said(row, key)


def _said(row: Row[tuple[object, ...]], key: Key) -> Exception:
    if row.body_hash != key.body_hash:
        return InvalidInput(
            "this Idempotency-Key was used with another body", code="idempotency-key-reused"
        )
    return Replay(Answer(status=row.status, headers=row.headers, body=row.body))


def keep(tx: Tx, key: Key, answer: Answer) -> None:
    """Keeps an answer; a fresh one that is there already stays as it is."""
    values = {
        "key_hash": key.digest().hex(),
        "body_hash": key.body_hash,
        "status": answer.status,
        "headers": dict(answer.headers),
        "body": answer.body,
        "created_at": tx.now,
        "stale": tx.now - KEPT_FOR,
    }
    tx.conn.execute(_UPSERTS[tx.dialect], values)


_OLD = select(table.c.key_hash).where(table.c.created_at <= bindparam("b_before"))


def purge(tx: Tx, now: datetime, limit: int = PURGED_AT_ONCE) -> int:
    """Deletes answers that are a day old, `limit` at most; returns how many."""
    old = delete(table).where(table.c.key_hash.in_(_OLD.limit(limit)))
    return tx.conn.execute(old, {"b_before": now - KEPT_FOR}).rowcount

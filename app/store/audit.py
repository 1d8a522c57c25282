"""The audit log: written in the transaction of the change itself, and never changed again."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert, select

from ..domain.audit import Action, AuditEntry
from .page import Page, bounded, cut, decode
from .rows import AnyRow
from .tables import audit
from .transaction import Tx

_ALL = select(audit)
_INSERT = insert(audit)


def add(tx: Tx, action: Action, target_id: str | None, **data: Any) -> None:
    """Notes a change of the transaction's actor.

    Args:
        action: what is done.
        target_id: what it is done to.
        data: further facts, JSON values; no secret.
    """
    row = {
        "occurred_at": tx.now,
        "token_id": tx.actor.token_id,
        "request_id": tx.actor.request_id,
        "action": action.value,
        "target_id": target_id,
        "data": data,
    }
    tx.conn.execute(_INSERT, row)


def page(conn: Connection, size: int, token: str | None = None) -> Page[AuditEntry]:
    """All entries, the newest first.

    Raises:
        InvalidInput: `token` does not belong here.
    """
    size, named = bounded(size), ["audit"]
    statement = _ALL.order_by(audit.c.id.desc()).limit(size + 1)
    if token is not None:
        [last_id] = decode(token, named, (int,))
        statement = statement.where(audit.c.id < last_id)
    rows = conn.execute(statement).all()
    kept, following = cut(rows, size, named, lambda row: (row.id,))
    return Page(items=tuple(_entry(row) for row in kept), next_page_token=following)


def _entry(row: AnyRow) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        occurred_at=row.occurred_at,
        token_id=row.token_id,
        request_id=row.request_id,
        action=row.action,
        target_id=row.target_id,
        data=row.data,
    )

"""The audit log as admins read it."""

from __future__ import annotations

from ..domain.audit import AuditEntry
from ..store import audit
from ..store.engine import Store
from ..store.page import Page


class AuditService:
    """The use cases of the audit log."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def page(self, size: int, token: str | None) -> Page[AuditEntry]:
        """A page of entries, the newest first."""
        return self._store.read(lambda conn: audit.page(conn, size, token))

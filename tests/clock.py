"""A database clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from app.store.transaction import DatabaseClock

START = datetime(2030, 1, 1, tzinfo=UTC)


class SetClock(DatabaseClock):
    """Says the instant that it was set to, whatever the database's own clock says.

    Attributes:
        elapsed_s: seconds since `START`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.elapsed_s = 0.0

    @property
    def instant(self) -> datetime:
        """The present instant."""
        return START + timedelta(seconds=self.elapsed_s)

    def now(self, conn: Connection) -> datetime:
        return self.instant

    def moved(self, instant: datetime) -> datetime:
        return self.instant

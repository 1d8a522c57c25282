"""The machine's clock, as a value that is handed in where an instant is needed."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """The clock of the machine. On SQLite it is the database's too."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        return datetime.now(UTC)

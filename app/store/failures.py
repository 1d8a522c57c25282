"""What the database says when it fails, in the words of the service's errors."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
)
from sqlalchemy.exc import (
    TimeoutError as PoolTimeout,
)

from ..errors import AppError, Conflict, InvalidInput, Unavailable

_SQLITE_BUSY_CODES = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
    }
)
_POSTGRES_BUSY_CLASSES = ("08", "53", "55", "57", "58")
"""Connection, resources, object in use, operator intervention, system error."""

_POSTGRES_RETRY_STATES = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: the same transaction may succeed when run again."""

_PRIMARY_CODE = 0xFF


def storage_busy(detail: str = "the database cannot answer now") -> Unavailable:
    """The error for a database that is busy or out of reach."""
    return Unavailable(detail, code="storage-busy", retry_after_s=1)


def is_retriable(error: Exception) -> bool:
    """Whether the transaction may be run again at once: it lost against another one."""
    return (
        isinstance(error, DBAPIError)
        and getattr(error.orig, "sqlstate", None) in _POSTGRES_RETRY_STATES
    )


def translate(error: Exception) -> AppError | None:
    """The service's error for what the database or its driver raised; None when it is a defect."""
    if isinstance(error, PoolTimeout):
        return storage_busy("every database connection is in use")
    if isinstance(error, OverflowError | DataError | UnicodeError):
        return InvalidInput(f"a value cannot be stored: {_first_line(error)}")
    if isinstance(error, IntegrityError):
        return _broken_rule(error)
    if isinstance(error, OperationalError | InterfaceError | sqlite3.Error) and _is_busy(error):
        return storage_busy()
    return None


def _broken_rule(error: IntegrityError) -> AppError | None:
    if "unique" in str(error.orig).lower():
        return Conflict(f"there is one already: {_first_line(error)}", code="already-exists")
    return None


def _is_busy(error: Exception) -> bool:
    raised = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(raised, sqlite3.Error):
        code: int | None = getattr(raised, "sqlite_errorcode", None)
        return code is not None and code & _PRIMARY_CODE in _SQLITE_BUSY_CODES
    state: str | None = getattr(raised, "sqlstate", None)
    return (
        state is None or state in _POSTGRES_RETRY_STATES or state.startswith(_POSTGRES_BUSY_CLASSES)
    )


def _first_line(error: Exception) -> str:
    shown = error.orig if isinstance(error, DBAPIError) else error
    return (str(shown).splitlines() or [""])[0]

"""What the database says when it fails, in the words of the service's errors."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
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

_POSTGRES_READ_ONLY_STATES = frozenset({"25006", "0A000"})
"""A write in a read-only transaction; and what a standby says when one that may write begins: we
ask for nothing else that Postgres does not support.
"""

_POSTGRES_FORBIDDEN_STATES = frozenset({"42501", "3F000"})
"""The role has not the privilege, or there is no schema that it may use."""

_SQLITE_FULL_CODES = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})
_POSTGRES_FULL_STATE = "53100"
_FULL = "its disk is full"

_PRIMARY_CODE = 0xFF


def storage_busy(detail: str = "the database cannot answer now") -> Unavailable:
    """The error for a database that is busy or out of reach."""
    return Unavailable(detail, code="storage-busy", retry_after_s=1)


def unwritable(path: Path, error: OSError) -> Unavailable:
    """The error for a file beside the database, or its folder, that cannot be written."""
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    return storage_busy(f"{path} cannot be written: {reason}")


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
    if _is_read_only(error):
        return storage_busy("the database takes no writes now: it is read-only")
    if _is_full(error):
        return storage_busy(f"the database takes no writes now: {_FULL}")
    if isinstance(error, OperationalError | InterfaceError | sqlite3.Error) and _is_busy(error):
        return storage_busy()
    return None


def _broken_rule(error: IntegrityError) -> AppError | None:
    if "unique" in str(error.orig).lower():
        return Conflict(f"there is one already: {_first_line(error)}", code="already-exists")
    return None


def unusable(error: Exception, url: URL) -> Unavailable | None:
    """For who opens a database at a start: the driver's reason, which names no password; None when
    it is a defect.
    """
    raised = _raised(error)
    if isinstance(raised, sqlite3.DatabaseError):
        no_database = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
        is_known = _primary_code(raised) in no_database
        is_known |= isinstance(raised, sqlite3.OperationalError)
    else:
        state = getattr(raised, "sqlstate", None)
        is_known = isinstance(error, OperationalError) or state in _POSTGRES_FORBIDDEN_STATES
        # The driver's own word, such as on an option of the address that it does not know.
        is_known |= isinstance(error, ProgrammingError) and state is None
    if not (is_known or _is_read_only(error)):
        return None
    what = url.database if url.get_backend_name() == "sqlite" else "the database"
    return storage_busy(f"{what} cannot be used: {reason(error)}")


def reason(error: Exception) -> str:
    """Why the database failed, in a few words of the driver's or of ours."""
    return _FULL if _is_full(error) else _first_line(error)


def _is_read_only(error: Exception) -> bool:
    raised = _raised(error)
    if isinstance(raised, sqlite3.Error):
        return _primary_code(raised) == sqlite3.SQLITE_READONLY
    return getattr(raised, "sqlstate", None) in _POSTGRES_READ_ONLY_STATES


def _is_full(error: Exception) -> bool:
    raised = _raised(error)
    if isinstance(raised, sqlite3.Error):
        # That the index of the write-ahead log cannot grow is told as an I/O error.
        return getattr(raised, "sqlite_errorcode", None) in _SQLITE_FULL_CODES
    return getattr(raised, "sqlstate", None) == _POSTGRES_FULL_STATE


def _is_busy(error: Exception) -> bool:
    raised = _raised(error)
    if isinstance(raised, sqlite3.Error):
        return _primary_code(raised) in _SQLITE_BUSY_CODES
    state: str | None = getattr(raised, "sqlstate", None)
    return (
        state is None or state in _POSTGRES_RETRY_STATES or state.startswith(_POSTGRES_BUSY_CLASSES)
    )


def _raised(error: Exception) -> BaseException | None:
    """What the driver raised."""
    return error.orig if isinstance(error, DBAPIError) else error


def _primary_code(error: sqlite3.Error) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & _PRIMARY_CODE


def _first_line(error: Exception) -> str:
    return (str(_raised(error)).splitlines() or [""])[0]

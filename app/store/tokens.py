"""Tokens: by the hash of their secret; the secret itself is never here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    exists,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy import insert as insert_into

from ..domain.ids import new_id
from ..domain.token import Role, Token
from ..errors import NotFound
from .page import Page, bounded, cut, decode
from .rows import AnyRow
from .signing_keys import HAS_SESSION_KEY
from .tables import tokens
from .transaction import POSTGRES_MICROS, Tx, clock_of, now_of
from .types import from_micros, to_micros

_ALL = select(tokens)
_BY_ID = _ALL.where(tokens.c.id == bindparam("b_id"))
# The key of the sessions is made with the first token and stays when somebody empties the table.
_ANY = select(or_(exists().select_from(tokens), HAS_SESSION_KEY))


def _timed(statement: Select[Any]) -> dict[str, Select[Any]]:
    """The statement with the database's clock: every call asks it, one statement has to do."""
    clocks: dict[str, ColumnElement[Any]] = {
        "sqlite": literal_column("NULL"),
        "postgresql": literal_column(POSTGRES_MICROS),
    }
    return {name: statement.add_columns(now.label("now_micros")) for name, now in clocks.items()}


_BY_HASH = _timed(_ALL.where(tokens.c.secret_hash == bindparam("b_key")))
_BY_ID_NOW = _timed(_ALL.where(tokens.c.id == bindparam("b_key")))
_ONE = update(tokens).where(tokens.c.id == bindparam("b_id"))
_REVOKE = _ONE.where(tokens.c.revoked_at.is_(None)).values(revoked_at=bindparam("b_now"))
_TOUCH = _ONE.values(last_used_at=bindparam("b_now"))


def insert(
    tx: Tx,
    *,
    name: str,
    role: Role,
    secret_hash: str,
    prefix: str,
    expires_at: datetime | None = None,
) -> Token:
    """Adds a token.

    Args:
        secret_hash: SHA-256 of the secret, hex.
        prefix: first characters of the secret, to tell tokens apart.
    """
    token = Token(
        id=new_id("tk", now_ms=to_micros(tx.now) // 1000),
        name=name,
        role=role,
        prefix=prefix,
        created_at=tx.now,
        expires_at=expires_at,
    )
    row = {name: getattr(token, name) for name in Token.__dataclass_fields__}
    tx.conn.execute(insert_into(tokens), {**row, "secret_hash": secret_hash})
    return token


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenNow:
    """A token, and the instant by the database's clock at which it was read."""

    token: Token
    now: datetime


def by_hash(conn: Connection, secret_hash: str) -> TokenNow | None:
    """The token of a secret, also one that has expired or was revoked; or None."""
    return _found(conn, _BY_HASH, secret_hash)


def by_id(conn: Connection, token_id: str) -> TokenNow | None:
    """The token of an id, also one that has expired or was revoked; or None."""
    return _found(conn, _BY_ID_NOW, token_id)


def _found(conn: Connection, statements: Mapping[str, Select[Any]], key: str) -> TokenNow | None:
    row = conn.execute(statements[conn.dialect.name], {"b_key": key}).one_or_none()
    if row is None:
        return None
    micros = row.now_micros
    now = now_of(conn) if micros is None else clock_of(conn).moved(from_micros(micros))
    return TokenNow(token=_token(row), now=now)


def any_ever(conn: Connection) -> bool:
    """Whether a token was ever made; revoked, expired and deleted ones count."""
    return bool(conn.execute(_ANY).scalar_one())


def page(conn: Connection, size: int, token: str | None = None) -> Page[Token]:
    """All tokens, newest first.

    Raises:
        InvalidInput: `token` does not belong here.
    """
    size, named = bounded(size), ["tokens"]
    statement = _ALL.order_by(tokens.c.created_at.desc(), tokens.c.id.desc()).limit(size + 1)
    if token is not None:
        micros, last_id = decode(token, named, (int, str))
        key = tuple_(tokens.c.created_at, tokens.c.id)
        statement = statement.where(key < (from_micros(micros), last_id))
    rows = conn.execute(statement).all()
    kept, following = cut(rows, size, named, lambda row: (to_micros(row.created_at), row.id))
    return Page(items=tuple(_token(row) for row in kept), next_page_token=following)


def revoke(tx: Tx, token_id: str) -> Token:
    """Revokes a token; doing so again changes nothing.

    Raises:
        NotFound: there is none.
    """
    tx.conn.execute(_REVOKE, {"b_id": token_id, "b_now": tx.now})
    row = tx.conn.execute(_BY_ID, {"b_id": token_id}).one_or_none()
    if row is None:
        raise NotFound(f"there is no token {token_id}")
    return _token(row)


def touch(tx: Tx, token_id: str) -> None:
    """Notes that a token was used now."""
    tx.conn.execute(_TOUCH, {"b_id": token_id, "b_now": tx.now})


def _token(row: AnyRow) -> Token:
    return Token(
        id=row.id,
        name=row.name,
        role=Role(row.role),
        prefix=row.prefix,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )

"""SQL is bound, never built: no statement of the service is put together from values."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Its triggers are put together from statements of SQLAlchemy, whose parameters stay parameters;
# tests/store/test_together.py looks at what it makes.
OF_STATEMENTS = ROOT / "app" / "store" / "together_sqlite.py"
ALL_FILES = sorted([*(ROOT / "app").rglob("*.py"), *(ROOT / "migrations").rglob("*.py")])
FILES = [path for path in ALL_FILES if path != OF_STATEMENTS]

RUNS_SQL = {
    "text",
    "execute",
    "exec_driver_sql",
    "scalar",
    "scalars",
    "literal_column",
    "executemany",
}
SQL = re.compile(
    r"\s*(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE|DROP|ALTER|PRAGMA|LISTEN|NOTIFY|COPY|WITH"
    r"|TRUNCATE|VACUUM|LOCK)\s",
)
BUILT = (ast.JoinedStr, ast.BinOp)


def is_constant_name(node: ast.expr) -> bool:
    """A name in capitals: a constant of ours, which no caller can choose."""
    return isinstance(node, ast.Name) and node.id.strip("_").isupper()


def is_built(node: ast.expr) -> bool:
    """Whether an expression puts text together from anything that is no constant."""
    if isinstance(node, ast.JoinedStr):
        parts = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
        return not all(is_constant_name(part) for part in parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mod)):
        is_text = any(
            isinstance(side, (ast.JoinedStr, ast.BinOp))
            or (isinstance(side, ast.Constant) and isinstance(side.value, str))
            for side in (node.left, node.right)
        )
        return is_text
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in ("format", "join", "replace", "format_map")
    return False


def literal_start(node: ast.expr) -> str:
    """The text that a built string begins with."""
    if isinstance(node, ast.JoinedStr) and node.values:
        return literal_start(node.values[0])
    if isinstance(node, ast.BinOp):
        return literal_start(node.left)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return literal_start(node.func.value)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return ""


def built_sql(source: str) -> Iterator[int]:
    """Lines on which SQL is put together from values."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
            if name in RUNS_SQL and is_built(node.args[0]):
                yield node.lineno
        if isinstance(node, ast.expr) and is_built(node) and SQL.match(literal_start(node)):
            yield node.lineno


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_statement_is_built_from_values(path: Path) -> None:
    assert list(built_sql(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "bad",
    [
        'conn.execute(f"SELECT * FROM t WHERE id = {given}")',
        'conn.execute("SELECT * FROM t WHERE id = %s" % given)',
        'conn.execute("SELECT * FROM t WHERE id = " + given)',
        'conn.execute("SELECT * FROM t WHERE id = {}".format(given))',
        'text("id = " + given)',
        'literal_column(f"{name} > 0")',
        'statement = f"DELETE FROM {table}"',
        'statement = "UPDATE t SET " + ", ".join(parts)',
        'raw.execute(f"PRAGMA {pragma}")',
        'conn.exec_driver_sql("; ".join(statements))',
    ],
)
def test_the_search_finds_each_way_to_build_one(bad: str) -> None:
    assert list(built_sql(bad))


@pytest.mark.parametrize(
    "good",
    [
        'conn.execute(text("SELECT 1"))',
        'conn.execute(_FIND, {"id": given})',
        '_NOW = text(f"SELECT {POSTGRES_MICROS}")',
        'cursor.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))',
        'raise NotFound(f"there is no study {study_id}")',
        'log.info("with " + name)',
    ],
)
def test_the_search_lets_bound_ones_be(good: str) -> None:
    assert not list(built_sql(good))

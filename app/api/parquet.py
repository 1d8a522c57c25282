"""A study's trials as Parquet: typed columns, row groups written as the rows come.

The one place that loads pyarrow, an extra, and only when a file is asked for.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from ..errors import Fault, InvalidInput
from ..service.exports import Column, Kind
from .answers import dumps

Row = Mapping[str, Any]

MEDIA_TYPE = "application/vnd.apache.parquet"

_BATCH = 500
"""Rows that are Python objects at a time."""
GROUP_ROWS, GROUP_BYTES = 20_000, 8 * 2**20
"""A row group ends with the batch that reaches either; it is what stays in memory."""


def parquet_pieces(columns: Sequence[Column], rows: Iterator[Row]) -> Iterator[bytes]:
    """A Parquet file in pieces, some of them empty; null where a trial has no value.

    Raises:
        InvalidInput: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        detail = (
            "this service cannot write parquet, its extra is not installed: where the service "
            "runs, pip install 'tunewell[parquet]'; available without it: csv, jsonl"
        )
        fault = Fault(pointer="/format", code="unknown-value", detail=detail)
        raise InvalidInput(detail, faults=[fault]) from error
    return _pieces(pyarrow, columns, rows)


def _pieces(arrow: Any, columns: Sequence[Column], rows: Iterator[Row]) -> Iterator[bytes]:
    sink, schema = _Sink(), _schema(arrow, columns)
    with arrow.parquet.ParquetWriter(sink, schema) as writer:
        for group in _groups(arrow, schema, columns, rows):
            if group is not None:
                writer.write_table(group, row_group_size=group.num_rows)
            yield sink.taken()
    yield sink.taken()


def _schema(arrow: Any, columns: Sequence[Column]) -> Any:
    types = {
        Kind.INTEGER: arrow.int64(),
        Kind.NUMBER: arrow.float64(),
        Kind.BOOLEAN: arrow.bool_(),
        Kind.TEXT: arrow.string(),
        Kind.INSTANT: arrow.timestamp("us", tz="UTC"),
    }
    return arrow.schema([(column.name, types[column.kind]) for column in columns])


def _groups(
    arrow: Any, schema: Any, columns: Sequence[Column], rows: Iterator[Row]
) -> Iterator[Any]:
    """The row groups as tables; None after a batch that fills none, so that no piece takes long."""
    kept: list[Any] = []
    while taken := list(islice(rows, _BATCH)):
        cells = [[_cell(row.get(c.name), c.kind) for row in taken] for c in columns]
        made = [arrow.array(each, f.type) for each, f in zip(cells, schema, strict=True)]
        kept.append(arrow.record_batch(made, schema=schema))
        if not _is_full(kept):
            yield None
            continue
        yield arrow.Table.from_batches(kept)
        kept.clear()
    if kept:
        yield arrow.Table.from_batches(kept)


def _is_full(group: Sequence[Any]) -> bool:
    n_rows, n_bytes = (sum(getattr(b, size) for b in group) for size in ("num_rows", "nbytes"))
    return bool(n_rows >= GROUP_ROWS or n_bytes >= GROUP_BYTES)


def _cell(value: Any, kind: Kind) -> Any:
    """A value as its column has it: a choice that is no text, among texts, as JSON spells it."""
    if value is None or kind is not Kind.TEXT or isinstance(value, str):
        return value
    return dumps(value)


class _Sink(io.RawIOBase):
    """What a writer has written, to be taken piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._n_bytes = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._n_bytes

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        self._n_bytes += len(data)
        return len(data)

    def taken(self) -> bytes:
        """What was written since the last call."""
        piece = b"".join(self._pieces)
        self._pieces.clear()
        return piece

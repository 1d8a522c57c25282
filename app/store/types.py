"""Column types that behave the same on SQLite and Postgres.

JSON is kept as text: Postgres' jsonb would turn 1e16 into an integer and change the order of keys.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import BigInteger, Dialect, Text
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROS_PER_S = 1_000_000
_MICROS_PER_DAY = 86_400 * _MICROS_PER_S


def to_micros(instant: datetime) -> int:
    """Microseconds since the epoch of an aware instant, exactly.

    Raises:
        ValueError: the instant has no time zone.
    """
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    delta = instant - _EPOCH
    return delta.days * _MICROS_PER_DAY + delta.seconds * _MICROS_PER_S + delta.microseconds


def from_micros(micros: int) -> datetime:
    """The aware UTC instant of microseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=micros)


T = TypeVar("T")


class _Lean(TypeDecorator[T]):
    """A type whose values go to the driver and come back by one call, not by three."""

    __abstract__ = True
    cache_ok = True
    to_driver: Callable[[Any], Any]
    from_driver: Callable[[Any], Any] | None = None

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        return self.to_driver

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        return self.from_driver

    def process_bind_param(self, value: T | None, dialect: Dialect) -> Any:
        return self.to_driver(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return value if self.from_driver is None else self.from_driver(value)


def _micros(value: datetime | None) -> int | None:
    return None if value is None else to_micros(value)


def _instant(value: int | None) -> datetime | None:
    return None if value is None else from_micros(value)


class Instant(_Lean[datetime]):
    """An aware UTC instant, stored as microseconds since the epoch."""

    impl = BigInteger
    cache_ok = True
    to_driver = staticmethod(_micros)
    from_driver = staticmethod(_instant)


def storable_text(text: str) -> str:
    """The text with what a database cannot hold replaced: NUL characters and lone surrogates."""
    if "\x00" in text:
        text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _text(value: str | None) -> str | None:
    return None if value is None else storable_text(str(value))


class SafeText(_Lean[str]):
    """Text from anywhere, ids out of a path included; see `storable_text`."""

    impl = Text
    cache_ok = True
    to_driver = staticmethod(_text)


def finite_json(value: Any) -> Any:
    """The value with floats that are not finite spelled out, and every mapping as a dict."""
    if isinstance(value, float):
        return value if math.isfinite(value) else spell_float(value)
    if isinstance(value, Mapping):
        return {str(key): finite_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite_json(item) for item in value]
    return value


def spell_float(value: float) -> str:
    """How JSON text spells a float that is not finite."""
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def dump_json(value: Any) -> str:
    """Compact ASCII JSON text that every reader accepts."""
    try:
        return _encode(value)
    except (TypeError, ValueError):  # a mapping that is no dict, or a float that is not finite
        return _encode(finite_json(value))


def _json(value: Any) -> str | None:
    return None if value is None else dump_json(value)


def _loaded(value: str | None) -> Any:
    return None if value is None else json.loads(value)


class Json(_Lean[Any]):
    """Any JSON value as text. Non-finite floats come back as the strings that stand for them."""

    impl = Text
    cache_ok = True
    to_driver = staticmethod(_json)
    from_driver = staticmethod(_loaded)


def _values(value: str | None) -> dict[str, float] | None:
    if value is None:
        return None
    raw: dict[str, Any] = json.loads(value)
    return {name: float(item) for name, item in raw.items()}


class MetricValues(_Lean[Mapping[str, float]]):
    """Values by metric as JSON text. Non-finite ones are strings there and floats again here."""

    impl = Text
    cache_ok = True
    to_driver = staticmethod(_json)
    from_driver = staticmethod(_values)


def _rungs(value: str | None) -> tuple[tuple[int, float], ...] | None:
    if value is None:
        return None
    return () if value == "[]" else tuple((step, float(v)) for step, v in json.loads(value))


class Rungs(_Lean[tuple[tuple[int, float], ...]]):
    """Steps with a value each, as JSON text; values that are not finite are strings there."""

    impl = Text
    cache_ok = True
    to_driver = staticmethod(_json)
    from_driver = staticmethod(_rungs)

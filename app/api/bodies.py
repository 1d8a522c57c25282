"""Request bodies: JSON as RFC 8259 has it and nothing else, read once, before any model sees it."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from ..domain.checking import child, is_storable, shown
from ..errors import AppError, Fault, InvalidInput, MalformedRequest
from ..logs import bind
from .problems import faults_of

M = TypeVar("M", bound=BaseModel)

MAX_DEPTH = 64
"""Levels of arrays and objects in a body."""

_TOO_DEEP = f"the body is nested deeper than {MAX_DEPTH} levels"

_MAX_DIGITS = 300
"""Digits of an integer: more would not fit any float."""

_NAMED_IN_LOG = ("worker_id", "lease_id")
"""Fields of a body that the lines of the log carry."""

_UNSAFE_ESCAPE = re.compile(r"\\u(?:d[89a-f]|0000)", re.IGNORECASE)
"""Escapes that may make a string no database can hold: lone surrogates and NUL."""


def check_media_type(request: Request) -> None:
    """A body has to be JSON in UTF-8, not compressed.

    Raises:
        AppError: `unsupported-media-type`.
    """
    if not _announces_body(request):
        return
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if kind.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
        raise AppError(
            "send the body as Content-Type: application/json", code="unsupported-media-type"
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise AppError("send the body without Content-Encoding", code="unsupported-media-type")


def _announces_body(request: Request) -> bool:
    length = request.headers.get("content-length", "0")
    return length != "0" or "transfer-encoding" in request.headers


def parse_json(raw: bytes, *, is_lenient: bool = False) -> Any:
    """Strict JSON: no NaN or Infinity, no key twice, no lone surrogate or NUL, bounded depth and
    digits.

    Args:
        raw: the body, UTF-8.
        is_lenient: put U+FFFD in the place of NUL and lone surrogates instead of refusing them
            (for text that a program printed and that must not be lost, such as a traceback).

    Raises:
        MalformedRequest: saying what is wrong and where, without repeating the body.
    """
    if not raw.strip():
        raise _malformed("empty", "the body is empty; this call needs a JSON object")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed("malformed", f"the body is not UTF-8 (byte {error.start})") from error
    strict = _Strict()
    try:
        value = json.loads(
            text,
            parse_constant=strict.constant,
            parse_float=strict.number,
            parse_int=strict.integer,
            object_pairs_hook=strict.members,
        )
    except json.JSONDecodeError as error:
        detail = f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        raise _malformed("malformed", detail) from error
    except RecursionError as error:
        raise _malformed("too-deep", _TOO_DEEP) from error
    _check_depth(value)
    if strict.has_refused:
        _refuse_first(value, _Wrong.why)
    if _UNSAFE_ESCAPE.search(text) or "\0" in text:
        if is_lenient:
            return _cleaned(value)
        _refuse_first(value, _why_unsafe)
    return value


def _malformed(code: str, detail: str, pointer: str = "") -> MalformedRequest:
    fault = Fault(pointer=pointer, code=code, detail=detail)
    return MalformedRequest(f"{pointer}: {detail}" if pointer else detail, faults=[fault])


@dataclass(frozen=True, slots=True)
class _Wrong:
    """What stands in a value in the place of what may not be there."""

    code: str
    detail: str

    @staticmethod
    def why(item: Any) -> _Wrong | None:
        """The item, if it is such a one."""
        return item if isinstance(item, _Wrong) else None


class _Strict:
    """What JSON is read with; `has_refused` where a `_Wrong` stands in it."""

    def __init__(self) -> None:
        self.has_refused = False

    def constant(self, name: str) -> _Wrong:
        detail = f"{name} is no JSON number; in measurements send it as the string {name!r}"
        return self._refused("not-finite", detail)

    def number(self, text: str) -> float | _Wrong:
        value = float(text)
        return self._refused("not-finite", "a number is too large") if math.isinf(value) else value

    def integer(self, text: str) -> int | _Wrong:
        if len(text) > _MAX_DIGITS:
            return self._refused("number-too-large", "a number has too many digits")
        return int(text)

    def members(self, pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Wrong:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        twice = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        return self._refused("repeated-key", f"an object has the same key twice: {shown(twice)}")

    def _refused(self, code: str, detail: str) -> _Wrong:
        self.has_refused = True
        return _Wrong(code, detail)


def _refuse_first(value: Any, why: Callable[[Any], _Wrong | None]) -> None:
    """Refuses the first item, in the order of the text, that there is a reason against.

    Raises:
        MalformedRequest: with its place; that of the object for one of its keys.
    """
    rest: list[tuple[str, Any]] = [("", value)]
    while rest:
        pointer, item = rest.pop()
        wrong = why(item)
        if wrong is not None:
            raise _malformed(wrong.code, wrong.detail, pointer)
        inner: list[tuple[str, Any]] = []
        if isinstance(item, dict):
            for key, each in item.items():
                inner += [(pointer, key), (child(pointer, key), each)]
        elif isinstance(item, list):
            inner = [(child(pointer, index), each) for index, each in enumerate(item)]
        rest += reversed(inner)


def _why_unsafe(item: Any) -> _Wrong | None:
    if not isinstance(item, str) or is_storable(item):
        return None
    return _Wrong("control-character", "a string has a NUL character or half of a surrogate pair")


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH + 1:
            raise _malformed("too-deep", _TOO_DEEP)
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(v for v in item.values() if isinstance(v, (dict, list)))
            elif isinstance(item, list):
                inner.extend(v for v in item if isinstance(v, (dict, list)))
        level = inner


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return re.sub("[\0\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    return value


def validate(model: type[M], value: Any) -> M:
    """A parsed body as a model.

    Raises:
        InvalidInput: with a pointer to each fault.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = faults_of(error.errors(include_url=False), fields=model.model_fields)
        raise InvalidInput(_summary(faults), faults=faults) from error


def _summary(faults: list[Fault]) -> str:
    first = faults[0]
    where = f"{first.pointer}: " if first.pointer else ""
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{where}{first.detail}{more}"


def body_of(
    model: type[M], *, is_lenient: bool = False, is_optional: bool = False
) -> Callable[[Request], Awaitable[M]]:
    """A dependency that reads the body as this model.

    Args:
        model: what the body has to be.
        is_lenient: as for `parse_json`.
        is_optional: whether no body at all counts as an empty object.
    """

    async def read(request: Request) -> M:
        raw = await request.body()
        if is_optional and not raw.strip():
            raw = b"{}"
        body = validate(model, parse_json(raw, is_lenient=is_lenient))
        bind(**{name: getattr(body, name, None) for name in _NAMED_IN_LOG})
        return body

    return read


def raw_object(code: str) -> Callable[[Request], Awaitable[Mapping[str, Any]]]:
    """A dependency that reads the body as a plain object, for the domain to check as a whole.

    Args:
        code: problem code for a body that is no object.
    """

    async def read(request: Request) -> Mapping[str, Any]:
        value = parse_json(await request.body())
        if not isinstance(value, dict):
            fault = Fault(pointer="", code="wrong-type", detail="the body has to be an object")
            raise InvalidInput("the body has to be a JSON object", code=code, faults=[fault])
        return value

    return read


async def no_body(request: Request) -> None:
    """A dependency for calls without a body; an empty object is let through.

    Raises:
        InvalidInput: the body says something.
    """
    raw = await request.body()
    if raw.strip() and parse_json(raw) != {}:
        fault = Fault(pointer="", code="unexpected-body", detail="this call takes no body")
        raise InvalidInput("this call takes no body", faults=[fault])

"""Types that several wire models share, and the problem document."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Strict,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_after_validator_function

from ...domain.checking import is_printable, shown

MAX_INT = 2**53
MAX_NAME_CHARS = 200
MAX_CHOICE_CHARS = 1_000
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _integral(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _measured(value: Any) -> Any:
    if isinstance(value, str):
        if value not in _WORDS:
            words = ", ".join(f"{word!r}" for word in _WORDS)
            raise PydanticCustomError("number", f"a number, or one of the strings {words}")
        return _WORDS[value]
    return value


def _final(value: Any) -> Any:
    if isinstance(value, str) and value in _WORDS:
        raise PydanticCustomError(
            "not_finite",
            "a final value has to be finite; report a trial that has none by "
            '`POST /v1/trials/{id}:fail` with kind "nan"',
        )
    return value


def _instant(value: Any) -> Any:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
        at = at.astimezone(UTC) if at is not None and at.tzinfo is not None else None
    except (ValueError, OverflowError):
        at = None
    if at is None:
        raise PydanticCustomError(
            "time", "an RFC 3339 time with its offset, e.g. 2026-11-23T20:00:00Z"
        )
    return at


def is_name(text: str) -> bool:
    """Whether a text has no control characters; most are told at once."""
    return (text.isascii() and text.isprintable()) or is_printable(text)


def _printable(text: str) -> str:
    if not is_name(text):
        raise PydanticCustomError("control_character", "may not contain control characters")
    return text


Integer = Annotated[int, Strict(), BeforeValidator(_integral), Field(ge=-MAX_INT, le=MAX_INT)]
Count = Annotated[int, Strict(), BeforeValidator(_integral), Field(ge=0, le=MAX_INT)]
Step = Annotated[int, Strict(), BeforeValidator(_integral), Field(ge=1, le=MAX_INT)]
Number = Annotated[float, Strict()]
Flag = Annotated[bool, Strict()]
Name = Annotated[
    str,
    Strict(),
    Field(min_length=1, max_length=MAX_NAME_CHARS),
    AfterValidator(_printable),
]
Line = Annotated[str, Field(max_length=MAX_NAME_CHARS), AfterValidator(_printable)]
"""A few words, maybe none."""
Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
MeasuredNumber = Annotated[
    float,
    BeforeValidator(_measured),
    Strict(),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "enum": list(_WORDS)}]}),
]
"""A number that may be non-finite: then one of three strings."""

FinalNumber = Annotated[float, BeforeValidator(_final), Strict()]
"""A number that has to be finite."""

Value = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": MAX_CHOICE_CHARS},
                {"type": "number"},
                {"type": "boolean"},
            ]
        }
    ),
]
"""A parameter's value."""


@dataclass(frozen=True, slots=True)
class Entries:
    """Bounds the number of entries of a mapping and the length of their names, and says so in the
    JSON schema. Names that people are shown have no control characters.
    """

    most: int
    are_shown: bool = True

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        bounds = {"maxProperties": self.most, "propertyNames": {"maxLength": MAX_NAME_CHARS}}
        return {**handler(schema), **bounds}

    def _check(self, value: dict[str, Any]) -> dict[str, Any]:
        if len(value) > self.most:
            raise PydanticCustomError("too_many", "at most {limit} entries", {"limit": self.most})
        if any(len(name) > MAX_NAME_CHARS for name in value):
            raise PydanticCustomError(
                "too_long", "names of at most {limit} characters", {"limit": MAX_NAME_CHARS}
            )
        wrong = next((n for n in value if not is_name(n)), None) if self.are_shown else None
        if wrong is not None:
            raise PydanticCustomError(
                "control_character",
                "names without control characters, not {name}",
                {"name": shown(wrong)},
            )
        return value


def at_most(limit: int, *, are_shown: bool = True) -> Entries:
    """Bounds the number of entries of a mapping.

    Args:
        are_shown: whether their names are names of something; else they are part of a text of JSON.
    """
    return Entries(limit, are_shown)


def small(limit_bytes: int = 65_536) -> AfterValidator:
    """Bounds what an object of any content takes as JSON."""

    def check(value: dict[str, Any]) -> dict[str, Any]:
        if len(json.dumps(value)) > limit_bytes:
            raise PydanticCustomError("too_long", "at most {limit} bytes", {"limit": limit_bytes})
        return value

    return AfterValidator(check)


class Wire(BaseModel):
    """A wire model: unknown fields are faults."""

    model_config = ConfigDict(extra="forbid")


class ProblemError(Wire):
    """One thing that is wrong with the input."""

    pointer: str = Field(
        description="JSON pointer (RFC 6901) into the body, or `/name` of a query parameter.",
        examples=["/space/0/low"],
    )
    code: str = Field(description="Name of the broken rule.", examples=["low-not-below-high"])
    detail: str = Field(
        description="One sentence with the rule and the value found.",
        examples=["low (0.1) has to be below high (0.01)"],
    )


class Problem(BaseModel):
    """A problem document (RFC 9457). Some codes add members of their own."""

    type: str = Field(description="Where the code is explained: a path of this service.")
    title: str = Field(description="The code in words; the same for each problem of the code.")
    status: int = Field(description="The HTTP status.", ge=400, le=599)
    detail: str = Field(description="What is wrong in this very case.")
    instance: str = Field(description="Path of the request.")
    code: str = Field(description="The problem code, fixed for programs to look at.")
    retryable: bool = Field(description="Whether the same request may succeed later, unchanged.")
    request_id: str = Field(description="The request's id in the service's log.")
    retry_after_s: float = Field(
        default=0, description="Seconds after which a retry makes sense; absent where unknown."
    )
    errors: list[ProblemError] = Field(
        default_factory=list, description="Everything that is wrong with the input, where it is."
    )
    current_state: str = Field(
        default="", description="With `illegal-transition`: the state that the resource is in."
    )
    allowed: list[str] = Field(
        default_factory=list,
        description="With `illegal-transition`: states that it may go to from there.",
    )
    action: str = Field(default="", description="With `stale-lease`: `abort`.")
    study_id: str = Field(
        default="",
        description="With `already-exists`: the study of that name; with `illegal-transition` and "
        "`budget-exhausted`: the study that it is about.",
    )
    diff: list[dict[str, Any]] = Field(
        default_factory=list,
        description="With `study-definition-mismatch`: `pointer`, `stored` and `given` of each.",
    )

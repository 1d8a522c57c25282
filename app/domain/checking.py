"""Reading untyped JSON values: each function notes what is wrong in a `Faults` and goes on.

Nothing here raises for odd data, recurses into it, or prints more of it than a line.
"""

from __future__ import annotations

import difflib
import functools
import json
import math
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NoReturn, TypeVar

from ..errors import Fault, InvalidInput
from .sizes import limit_of

T = TypeVar("T")
_SHOWN_CHARS = 60
_POINTER_CHARS = 200
_MOST_SEARCHED = 20_000_000  # pairs of characters compared: about a second
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control, surrogate, line, paragraph
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Faults:
    """What is wrong with one input, in the order of finding; bounded by the size limit `faults`.

    Args:
        searched: work already spent on near misses for this input.
    """

    def __init__(self, searched: int = 0) -> None:
        self._items: list[Fault] = []
        self.searched = searched

    def __len__(self) -> int:
        return len(self._items)

    @property
    def items(self) -> tuple[Fault, ...]:
        """The faults found so far."""
        return tuple(self._items)

    @property
    def is_full(self) -> bool:
        """Whether further faults are dropped: long loops may end."""
        return len(self._items) >= limit_of("faults")

    def add(self, pointer: str, code: str, detail: str) -> None:
        """Note a fault; past the bound it is dropped, and the last one kept says so."""
        bound = limit_of("faults")
        if len(self._items) < bound - 1:
            self._items.append(Fault(pointer=pointer, code=code, detail=encodable(detail)))
        elif len(self._items) == bound - 1:
            rest = f"Only the first {bound - 1} faults are named; there are more."
            self._items.append(Fault(pointer="", code="too-many-faults", detail=rest))

    def extend(self, faults: Iterable[Fault]) -> None:
        """Note faults that were found elsewhere."""
        for fault in faults:
            self.add(fault.pointer, fault.code, fault.detail)

    def near_miss(self, word: object, known: Iterable[str]) -> str:
        """As `near_miss`, but it gives up once too much work was spent on this input."""
        words = tuple(known)
        if isinstance(word, str):
            self.searched += min(len(word), _POINTER_CHARS) * sum(map(len, words))
        return "." if self.searched > _MOST_SEARCHED else near_miss(word, words)

    def refuse(self, what: str, *, code: str) -> NoReturn:
        """Raise all faults as one error.

        Raises:
            InvalidInput: always, with `code` and the faults.
        """
        count = len(self._items)
        summary = f"The {what} has {count} fault{'' if count == 1 else 's'}"
        raise InvalidInput(f"{summary}: {self._items[0].detail}", code=code, faults=self._items)


def encodable(text: str) -> str:
    """The text with lone surrogates written as escapes, so that it can be sent as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def child(pointer: str, token: object) -> str:
    """The JSON pointer (RFC 6901) of a member; a very long name is cut."""
    name = encodable(str(token)[:_POINTER_CHARS])
    return f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"


def shown(value: object) -> str:
    """A value as a person may read it in a sentence: JSON for a scalar, its size for the rest."""
    if isinstance(value, str):
        cut = value if len(value) <= _SHOWN_CHARS else value[:_SHOWN_CHARS] + "..."
        # Marks that turn text, and the like, are spelled out: a terminal or a page may show this.
        quoted = json.dumps(cut, ensure_ascii=False)
        return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in quoted)
    if value is None or isinstance(value, (bool, float)):
        return json.dumps(value)
    if isinstance(value, int):
        # Python refuses to print integers of more than 4,300 digits.
        bits = value.bit_length()
        return str(value) if bits <= 128 else f"an integer of {bits} bits"
    if isinstance(value, Mapping):
        return f"an object of {len(value)} fields"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)} values"
    return f"a value of type {type(value).__name__}"


def listed(words: Iterable[object], most: int = 12) -> str:
    """Values in one line, the first `most` of them."""
    parts = [shown(word) for word in words]
    return ", ".join(parts[:most]) + (", ..." if len(parts) > most else "")


def near_miss(word: object, known: Iterable[str]) -> str:
    """`; did you mean "..."?` when a known word is close, else a full stop. Ends a sentence."""
    close = _closest(word[:_POINTER_CHARS], tuple(known)) if isinstance(word, str) else None
    return "." if close is None else f"; did you mean {shown(close)}?"


@functools.lru_cache(maxsize=4_096)  # the same slip often stands in every one of many points
def _closest(word: str, known: tuple[str, ...]) -> str | None:
    by_folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), list(by_folded), n=1, cutoff=0.6)
    return by_folded[close[0]] if close else None


def is_printable(text: str) -> bool:
    """Whether a text has no control characters (line breaks and text-direction controls too)."""
    return not any(
        unicodedata.category(char) in _REFUSED_CATEGORIES or char in _BIDI_CONTROLS for char in text
    )


def is_storable(text: str) -> bool:
    """Whether both databases can keep a text: no NUL and no lone surrogate."""
    return not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text)


def as_text(
    value: object,
    pointer: str,
    faults: Faults,
    *,
    limit: str = "name_chars",
    is_name: bool = True,
    may_be_empty: bool = False,
) -> str | None:
    """A string within its size limit; a name also has no control characters and is not blank."""
    if not isinstance(value, str):
        faults.add(pointer, "wrong-type", f"Must be a string, found {shown(value)}.")
        return None
    bound = limit_of(limit)
    if len(value) > bound:
        rule = f"May have {bound:,} characters at most, found {len(value):,}."
        faults.add(pointer, "too-long", rule)
        return None
    if not may_be_empty and not value.strip():
        faults.add(pointer, "empty", f"May not be empty, found {shown(value)}.")
        return None
    if not (is_printable(value) if is_name else is_storable(value)):
        rule = "May not contain control characters" if is_name else "May not contain U+0000"
        faults.add(pointer, "control-character", f"{rule}, found {shown(value)}.")
        return None
    return value


def as_number(value: object, pointer: str, faults: Faults) -> float | int | None:
    """A finite number; an integer stays one. Booleans are no numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        faults.add(pointer, "wrong-type", f"Must be a number, found {shown(value)}.")
        return None
    bound = limit_of("integer")
    if isinstance(value, int):
        if abs(value) > bound:
            rule = f"An integer must lie within +-2^53 ({bound}), found {shown(value)}."
            faults.add(pointer, "number-too-large", rule)
            return None
        return int(value)
    if not math.isfinite(value):
        faults.add(pointer, "not-finite", f"Must be a finite number, found {shown(value)}.")
        return None
    return float(value)


def as_float(value: object, pointer: str, faults: Faults) -> float | None:
    """A finite number as a float."""
    number = as_number(value, pointer, faults)
    return None if number is None else float(number)


def as_integer(value: object, pointer: str, faults: Faults) -> int | None:
    """An integer; 3.0 is one, 3.5 and true are not."""
    number = as_number(value, pointer, faults)
    if number is None:
        return None
    if isinstance(number, float) and not number.is_integer():
        faults.add(pointer, "not-an-integer", f"Must be an integer, found {shown(number)}.")
        return None
    whole = int(number)  # a float past the bound on integers is refused like an integer
    return None if as_number(whole, pointer, faults) is None else whole


def as_bool(value: object, pointer: str, faults: Faults) -> bool | None:
    """True or false; 0, 1 and strings are neither."""
    if isinstance(value, bool):
        return value
    faults.add(pointer, "wrong-type", f"Must be true or false, found {shown(value)}.")
    return None


def as_object(value: object, pointer: str, faults: Faults) -> Mapping[object, object] | None:
    """A JSON object."""
    if isinstance(value, Mapping):
        return value
    faults.add(pointer, "wrong-type", f"Must be an object, found {shown(value)}.")
    return None


def as_list(value: object, pointer: str, faults: Faults, *, limit: str) -> Sequence[object] | None:
    """A JSON list, cut at its size limit (with a fault) so that the checks stay bounded."""
    if not isinstance(value, (list, tuple)):
        faults.add(pointer, "wrong-type", f"Must be a list, found {shown(value)}.")
        return None
    bound = limit_of(limit)
    if len(value) > bound:
        faults.add(pointer, "too-many", f"May have {bound:,} items at most, found {len(value):,}.")
    return value[:bound]


def one_of(
    value: object, known: Iterable[str], pointer: str, faults: Faults, *, code: str, what: str
) -> str | None:
    """One of the known words; a near miss is named."""
    words = tuple(known)
    if isinstance(value, str) and value in words:
        return value
    miss = faults.near_miss(value, words)
    detail = f"Unknown {what} {shown(value)}{miss} Known: {', '.join(words)}."
    faults.add(pointer, code, detail)
    return None


def names_of(items: Sequence[object]) -> list[str | None]:
    """The `name` of each object of a list; None where there is none or it is no string."""
    names = [item.get("name") if isinstance(item, Mapping) else None for item in items]
    return [name if isinstance(name, str) else None for name in names]


def note_repeats(names: Sequence[str | None], pointer: str, faults: Faults, *, what: str) -> None:
    """Note a fault for every name that stands in the list before."""
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name is not None and first.setdefault(name, index) != index:
            rule = f"{what} names are unique; {shown(name)} stands at index {first[name]} already."
            faults.add(f"{child(pointer, index)}/name", "repeated-name", rule)


def word(
    known: Iterable[object], *, what: str, code: str = "unknown-value"
) -> Callable[[object, str, Faults], str | None]:
    """A reader of one of a few words, for `Fields.read`."""
    words = tuple(str(item) for item in known)

    def read(value: object, pointer: str, faults: Faults) -> str | None:
        return one_of(value, words, pointer, faults, code=code, what=what)

    return read


class Fields:
    """One JSON object under reading. An optional field that is null counts as left out.

    Args:
        raw: the object as it came.
        pointer: where it stands.
        faults: where faults go.
        known: its field names; any other is a fault.
    """

    def __init__(
        self, raw: Mapping[object, object], pointer: str, faults: Faults, known: Sequence[str]
    ) -> None:
        self._raw = raw
        self.pointer = pointer
        self.faults = faults
        for name in raw:
            if faults.is_full:
                break
            if name not in known:
                miss = faults.near_miss(name, known)
                detail = f"Unknown field {shown(name)}{miss} Known: {', '.join(known)}."
                faults.add(child(pointer, name), "unknown-field", detail)

    def at(self, name: str) -> str:
        """The pointer of a field."""
        return child(self.pointer, name)

    def raw(self, name: str) -> object:
        """The field as it came; None when left out or null."""
        return self._raw.get(name)

    def has(self, name: str) -> bool:
        """Whether the field was given and is not null."""
        return self.raw(name) is not None

    def read(
        self,
        name: str,
        reader: Callable[[object, str, Faults], T | None],
        *,
        is_required: bool = False,
    ) -> T | None:
        """The field through a reader, or None when it is left out or wrong (then with a fault)."""
        if self.has(name):
            return reader(self.raw(name), self.at(name), self.faults)
        if is_required:
            self.faults.add(self.at(name), "missing-field", f'The field "{name}" is required.')
        return None

    def flag(self, name: str) -> bool:
        """A boolean field, false when left out or wrong."""
        return bool(self.read(name, as_bool))

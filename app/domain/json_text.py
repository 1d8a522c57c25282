"""Compact JSON text by an encoder that is made once; the standard library makes one a text."""

from __future__ import annotations

import json
from collections.abc import Callable
from json import encoder
from typing import Any

Encode = Callable[[Any], str]


def json_encoder(*, is_ascii: bool) -> Encode:
    """What turns a value into compact JSON text.

    It raises ValueError for a number that is not finite and TypeError for what JSON does not have.

    Args:
        is_ascii: whether other characters are escaped.
    """
    plain = json.JSONEncoder(ensure_ascii=is_ascii, allow_nan=False, separators=(",", ":"))
    make: Any = getattr(encoder, "c_make_encoder", None)
    if make is None:  # an interpreter without the C part
        return plain.encode
    text: Any = encoder.encode_basestring_ascii if is_ascii else encoder.encode_basestring
    parts = make({}, plain.default, text, None, ":", ",", False, False, False)

    def encode(value: Any) -> str:
        return "".join(parts(value, 0))

    return encode

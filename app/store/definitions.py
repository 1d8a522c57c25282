"""Study definitions as the text that the database keeps; the same text is parsed once."""

from __future__ import annotations

import json
from functools import lru_cache

from ..domain.definition import definition_from_json, definition_to_json
from ..domain.study import StudyDefinition
from .types import dump_json

_KEPT_DEFINITIONS = 512


def definition_text(definition: StudyDefinition) -> str:
    """The normalised JSON text of a definition."""
    return dump_json(definition_to_json(definition))


@lru_cache(maxsize=_KEPT_DEFINITIONS)
def definition_of(text: str) -> StudyDefinition:
    """The definition of a stored text; a shared value, as definitions are never changed."""
    return definition_from_json(json.loads(text))

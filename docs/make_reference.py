"""Writes the tables of docs/reference from the code's own tables, between their markers.

Run it as `python docs/make_reference.py`; a test compares the committed pages with what it makes.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app.api.problems import PROBLEMS  # noqa: E402
from app.domain.catalog import (  # noqa: E402
    EARLY_STOPPING,
    SUGGESTERS,
    OptionSpec,
    SuggesterInfo,
)
from app.domain.fault_codes import FAULT_CODES  # noqa: E402
from app.domain.limit_fields import (  # noqa: E402
    FAILURE_FIELDS,
    LIMIT_FIELDS,
    NO_PROGRESS_FIELDS,
    RESOURCE_FIELDS,
    TOP_FIELDS,
)
from app.domain.objectives import BUILT_IN  # noqa: E402
from app.domain.schema import range_rule  # noqa: E402
from app.domain.settings_parsing import range_text  # noqa: E402
from app.domain.sizes import SIZE_LIMITS  # noqa: E402
from app.domain.study import STUDY_TRANSITIONS  # noqa: E402
from app.domain.trial import TRIAL_TRANSITIONS  # noqa: E402
from app.settings import Settings  # noqa: E402
from docs.reference_commands import commands, shared_options  # noqa: E402

PAGES = ("study-definition.md", "states.md", "settings.md", "calls.md", "cli.md", "errors.md")
_MARKED = re.compile(r"(<!-- begin: ([a-z-]+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _json(value: Any) -> str:
    return "true" if value is True else "false" if value is False else f"{value}"


def _accepts(spec: OptionSpec) -> str:
    if spec.type == "str":
        return ", ".join(f"`{word}`" for word in spec.choices or ())
    if spec.type == "bool":
        return "true, false"
    return f"{spec.type}, {range_text(spec)}"


def _default(spec: OptionSpec) -> str:
    return "-" if spec.default is None else f"`{_json(spec.default)}`"


def fields(specs: Mapping[str, OptionSpec]) -> str:
    """A table of scalar fields."""
    rows = [
        (f"`{name}`", _accepts(spec), _default(spec), spec.help) for name, spec in specs.items()
    ]
    return table(("field", "accepts", "default", "meaning"), rows)


def entries(infos: Mapping[str, SuggesterInfo]) -> str:
    """A table of suggesters or rules."""
    rows = [(f"`{info.name}`", info.summary) for info in infos.values()]
    return table(("name", "what it does"), rows)


def options(infos: Mapping[str, SuggesterInfo], what: str) -> str:
    """A table of the options of all suggesters or rules; `what` heads their names."""
    rows = [
        (f"`{info.name}`", f"`{name}`", _accepts(spec), _default(spec), spec.help)
        for info in infos.values()
        for name, spec in info.options.items()
    ]
    return table((what, "option", "accepts", "default", "meaning"), rows)


def objectives() -> str:
    """A table of what the built-in objectives take."""
    rows = []
    for offer in BUILT_IN.values():
        for what, schema in (("parameter", offer.params_schema), ("option", offer.options_schema)):
            known: dict[str, Any] = dict((schema or {}).get("properties", {}))
            known |= (schema or {}).get("patternProperties", {})
            for name, inner in known.items():
                default = f"`{_json(inner['default'])}`" if "default" in inner else "-"
                rows.append((f"`{offer.name}`", what, f"`{name}`", _schema(inner), default))
    return table(("objective", "what", "name", "accepts", "default"), rows)


def _schema(inner: Mapping[str, Any]) -> str:
    if "enum" in inner:
        return ", ".join(f"`{_json(value)}`" for value in inner["enum"])
    rule = range_rule(inner).removeprefix("must be ")
    return inner["type"] if rule == "a number" else f"{inner['type']}, {rule}"


def metrics() -> str:
    """A table of what the built-in objectives report."""
    rows = [
        (
            f"`{offer.name}`",
            ", ".join(f"`{name}` ({better})" for name, better in offer.metrics.items()),
            offer.steps,
        )
        for offer in BUILT_IN.values()
    ]
    return table(("objective", "metrics", "steps"), rows)


def sizes() -> str:
    """A table of the size limits."""
    rows = [(f"`{name}`", f"{item.value:,}", item.help) for name, item in SIZE_LIMITS.items()]
    return table(("bound", "at most", "of what"), rows)


def codes() -> str:
    """A table of the fault codes."""
    return table(("code", "rule"), [(f"`{code}`", rule) for code, rule in FAULT_CODES.items()])


def transitions(legal: Mapping[Any, frozenset[Any]]) -> str:
    """A table of states and what each may become, in the order of their enum."""
    rows = []
    for state, targets in legal.items():
        order: list[StrEnum] = [item for item in type(state) if item in targets]
        shown = ", ".join(f"`{item}`" for item in order) or "an end: never changes"
        rows.append((f"`{state}`", shown))
    return table(("state", "may become"), rows)


def settings() -> str:
    """A table of the service's settings."""
    rows = [
        (f"`TUNEWELL_{name.upper()}`", _setting(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    return table(("setting", "default", "meaning"), rows)


def _setting(default: Any) -> str:
    is_plain = isinstance(default, (bool, int, float)) or (isinstance(default, str) and default)
    return f"`{_json(default)}`" if is_plain else "-"


def calls() -> str:
    """A table of calls for each group of them."""
    described = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    groups = []
    for tag in described["tags"]:
        rows = [
            (f"`{method.upper()} {path}`", call["description"].split("\n\n")[0], _roles(call))
            for path, entry in described["paths"].items()
            for method, call in entry.items()
            if call["tags"][0] == tag["name"]
        ]
        heading = f"## {tag['name'].capitalize()}\n\n{tag['description']}\n\n"
        groups.append(heading + table(("call", "what it does", "roles"), rows))
    return "\n".join(groups)


def _roles(call: Mapping[str, Any]) -> str:
    return ", ".join(call["x-roles"]) or "no token needed"


def problems() -> str:
    """A table of the codes that a refusal has."""
    rows = [
        (f"`{code}`", str(kind.status), kind.title, "yes, unchanged" if kind.is_retryable else "no")
        for code, kind in PROBLEMS.items()
    ]
    return table(("code", "status", "means", "worth a retry"), rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "calls": calls,
    "problems": problems,
    "top": lambda: fields(TOP_FIELDS),
    "limits": lambda: fields(LIMIT_FIELDS),
    "no-progress": lambda: fields(NO_PROGRESS_FIELDS),
    "failure-policy": lambda: fields(FAILURE_FIELDS),
    "resources": lambda: fields(RESOURCE_FIELDS),
    "suggesters": lambda: entries(SUGGESTERS),
    "options": lambda: options(SUGGESTERS, "suggester"),
    "early-stopping-options": lambda: options(EARLY_STOPPING, "rule"),
    "early-stopping": lambda: entries(EARLY_STOPPING),
    "objectives": objectives,
    "metrics": metrics,
    "sizes": sizes,
    "codes": codes,
    "settings": settings,
    "study-transitions": lambda: transitions(STUDY_TRANSITIONS),
    "trial-transitions": lambda: transitions(TRIAL_TRANSITIONS),
    "commands": commands,
    "shared-options": shared_options,
}
"""Marker -> its table."""


def filled(text: str) -> str:
    """A page with the table between each pair of markers made anew.

    Raises:
        KeyError: a marker names no table.
    """
    return _MARKED.sub(lambda m: f"{m[1]}\n{TABLES[m[2]]()}\n{m[3]}", text)


def page(name: str) -> Path:
    """Where a page of the reference lies."""
    return ROOT / "docs" / "reference" / name


def main() -> None:
    """Rewrite the pages."""
    for name in PAGES:
        path = page(name)
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

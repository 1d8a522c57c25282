"""What the commands share: options, connections, and how they print.

Tables and lines for people, JSON for programs, talk on standard error.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from textwrap import wrap
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._parts import part
from ..errors import ApiError, NotInstalled, TunewellError, Unreachable
from ..lines import ago, cell, clean, reason
from ..tables import Column, print_table
from ..terminal import clear_note, complain, may_ask, note, say, width

if TYPE_CHECKING:
    from ..client import Client

__all__ = [
    "Column", "DatabaseRefused", "Json", "NotInstalled", "TokenOption", "Url", "Yes", "action_on",
    "complain", "confirmed", "connect", "go_on_or_leave", "load", "opened", "print_facts",
    "print_json", "print_table", "problem_lines", "refusals", "say", "unreachable_lines",
    "usage_lines",
]  # fmt: skip


_NEEDS = {
    "pause": "active",
    "stop": "active or paused",
    "cancel": "active, paused or stopping",
}
"""The states that a study has to be in for an action; of a resume the service knows more."""

RETRY_S = 1.0
"""For how long one command tries to reach the service."""

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="TUNEWELL_URL",
        help="Address of the service; http://127.0.0.1:8700 by default.",
        show_default=False,
    ),
]
TokenOption = Annotated[
    str | None,
    typer.Option("--token", envvar="TUNEWELL_TOKEN", help="Bearer token.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without a question.")]


class DatabaseRefused(TunewellError):
    """What the service's part says of a call straight to the database."""

    def __init__(self, detail: str, code: str) -> None:
        super().__init__(detail)
        self.exit_status = _STATUS.get(code, 1)


_STATUS = {"storage-busy": 3, "invalid-value": 2}


@contextmanager
def refusals() -> Iterator[None]:
    """What the service's part refuses in the block, as our errors."""
    errors = load("app", "errors", extra="server")
    try:
        yield
    except errors.AppError as error:
        raise DatabaseRefused(str(error.detail), str(error.code)) from error


@contextmanager
def opened(what: str, database_url: str | None) -> Iterator[Any]:
    """What a function of `offline` opens of a database; its refusals as our errors."""
    offline = load("app", "offline", extra="server")
    with refusals():
        found = getattr(offline, what)(database_url)
        try:
            yield found
        finally:
            found.close()


@contextmanager
def connect(url: str | None, token: str | None) -> Iterator[Client]:
    """A client for one command: it tries a few times, then says that nobody answers."""
    note(f"asking {clean(url or 'the service')} ...")
    # httpx loads its own command line, with all that this needs to paint, where it finds it.
    modules: dict[str, Any] = sys.modules
    modules.setdefault("httpx._main", None)
    from ..client import Client

    try:
        with Client(url, token, retry_s=RETRY_S) as client:
            yield client
    finally:
        clear_note()


def load(name: str, module: str, *, extra: str) -> ModuleType:
    """A module of the service or the worker.

    Raises:
        NotInstalled: it, or something that it needs, is not installed.
    """
    try:
        return part(name, module)
    except ModuleNotFoundError as error:
        raise NotInstalled(
            f"this command needs {error.name or error}, which is not installed: "
            f"pip install 'tunewell[{extra}]'"
        ) from error


def print_json(value: Any) -> None:
    """Data: one JSON document on one line of standard output."""
    print(json.dumps(value), flush=True)


def confirmed(question: str, *, yes: bool) -> bool:
    """Whether to go on: asked on a terminal only, and not where `yes` was given."""
    if yes or not may_ask():
        return True
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def go_on_or_leave(question: str, *, yes: bool) -> None:
    """Asks, and ends the command with 1 where the answer is no."""
    if not confirmed(question, yes=yes):
        complain("nothing was done")
        raise typer.Exit(1)


def unreachable_lines(error: Unreachable) -> list[str]:
    """Where nobody answers, and what to do about it."""
    return [
        f"error: no service at {clean(error.url)} ({reason(error.reason)})",
        "  start one: tunewell serve     or point elsewhere: --url URL, or TUNEWELL_URL",
    ]


def usage_lines(error: Any) -> list[str]:
    """What is wrong with a command line, and which help tells its use."""
    is_ours = type(error) is typer.BadParameter and error.param is None
    near = getattr(error, "possibilities", None)
    said = str(error.message if is_ours or near else error.format_message()).rstrip(".")
    said = said.replace(". Did you mean", ", did you mean").replace(": Value error, ", ": ")
    said = said.replace("No such option: ", "no such option ")
    said = said.replace(": Input should be", ": it should be")
    # What pydantic and click say beside it.
    said = re.sub(r", unable to parse string as an? \w+$", "", said)
    said = re.sub(r"\. Choose from:\s+(?=\S)", ": ", said)
    said = re.sub(r",\s*\n\s*", ", ", said)
    said += f", did you mean {' or '.join(near)}?" if near else ""
    context = getattr(error, "ctx", None)
    if hasattr(error, "option_name") and hasattr(getattr(context, "command", None), "commands"):
        said = f"no such option {error.option_name} here: a command's options go behind its name"
    path = context.command_path if context is not None else "tunewell"
    first = said[:1].lower() + said[1:]
    return [f"error: {clean(first)}", f"  {path} -h tells what it takes"]


def problem_lines(error: ApiError) -> list[str]:
    """A refusal with each of its faults, and what to do next."""
    faults = [_fault_line(fault) for fault in error.errors]
    file = f"{clean(str(error.problem['file']))} " if "file" in error.problem else ""
    said = f"{_detail_of(error)}{_request_of(error)}"
    lines = [f"error: {file}{faults[0]}{_request_of(error)}"] if len(faults) == 1 else []
    lines += [] if lines else [f"error: {file}{said}", *(f"  {fault}" for fault in faults)]
    for change in error.problem.get("diff") or ():
        there, given = json.dumps(change.get("stored")), json.dumps(change.get("given"))
        lines.append(f"  {clean(str(change.get('pointer')))}: is {there}, given {given}")
    return lines + _next_steps(error)


def _fault_line(fault: Mapping[str, str]) -> str:
    return f"{clean(fault.get('pointer') or '/')}: {clean(fault.get('detail', ''))}"


def _detail_of(error: ApiError) -> str:
    """What is wrong; of an action that the state does not allow, which one it needs."""
    verb, state = error.problem.get("verb"), error.problem.get("current_state")
    if error.code == "illegal-transition" and verb in _NEEDS and state:
        return f"study is {clean(str(state))}; {verb} needs {_NEEDS[verb]}"
    return clean(error.detail)


@contextmanager
def action_on(verb: str) -> Iterator[None]:
    """A refusal in the block is of this action on a study."""
    try:
        yield
    except ApiError as error:
        error.problem["verb"] = verb
        raise


def _request_of(error: ApiError) -> str:
    """The request's id, by which the service's log has it."""
    found = error.problem.get("request_id")
    return f" (request {clean(str(found))})" if found else ""


def _next_steps(error: ApiError) -> list[str]:
    if error.code == "unauthenticated":
        return ["  give a token with --token or TUNEWELL_TOKEN"]
    if error.code == "already-exists" and "study_id" in error.problem:
        found = clean(str(error.problem["study_id"]))
        return [f"  follow it with `tunewell study watch {found}`, or give --name another one"]
    if "hint" in error.problem:
        return [f"  {error.problem['hint']}"]
    return []


def print_facts(facts: Iterable[tuple[str, Any]]) -> None:
    """Names and values, one a line; those without a value are left out. On a terminal long values
    go on below where they began.
    """
    is_terminal = sys.stdout.isatty()
    for name, value in facts:
        if value is None or value == "":
            continue
        text = _fact(value, is_terminal=is_terminal)
        if is_terminal:
            text = f"\n{'':<13}".join(wrap(text, max(20, width() - 13))) or text
        print(f"{name:<12} {text}")


def _fact(value: Any, *, is_terminal: bool) -> str:
    """A value; a time also by how long ago it was, or for programs in full."""
    if not isinstance(value, datetime):
        return cell(value)
    if is_terminal:
        return f"{cell(value)} UTC, {ago(value)}"
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")

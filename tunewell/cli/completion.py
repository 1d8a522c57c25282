"""What the shell offers after Tab: names that the service knows, or nothing after 300 ms.

Loads neither the HTTP client nor anything else that takes long: a Tab has to answer at once.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer

LIMIT_S = 0.3
_MOST = 50
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_DEFAULT_URL = "http://127.0.0.1:8700"


def study_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of studies that begin so."""
    from urllib.parse import quote

    found = _in_time(lambda: _names(context, f"studies?name_prefix={quote(incomplete)}", "studies"))
    return [name for name in found if name.startswith(incomplete)]


def worker_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of workers that begin so."""
    found = _in_time(lambda: _names(context, "workers?", "workers"))
    return [name for name in found if name.startswith(incomplete)]


def study_files(incomplete: str) -> list[str]:
    """JSON files and folders that begin so, and the examples' names."""
    from ..studies import example_names

    folder, _, _ = incomplete.rpartition("/")
    paths = Path(folder or ("/" if incomplete.startswith("/") else ".")).glob("*")
    here = [f"{folder}/{p.name}" if folder else p.name for p in paths
            if p.suffix == ".json" or p.is_dir()]  # fmt: skip
    return [name for name in sorted(here) + example_names() if name.startswith(incomplete)]


def _in_time(ask: Callable[[], Sequence[str]]) -> list[str]:
    """What is answered within the limit; nothing when nobody answers, or too late."""
    answer: list[str] = []
    asking = threading.Thread(target=lambda: answer.extend(_or_nothing(ask)), daemon=True)
    asking.start()
    asking.join(LIMIT_S)
    return list(answer)


def _or_nothing(ask: Callable[[], Sequence[str]]) -> Sequence[str]:
    try:
        return ask()
    except (OSError, ValueError, KeyError, TypeError):
        # No service, a refusal, or another program: there is nobody to tell it to.
        return []


def _names(context: typer.Context, query: str, what: str) -> list[str]:
    # Loads sockets and TLS, which no other command needs at its start.
    import urllib.request
    from urllib.parse import urlsplit

    given = context.params
    url = str(given.get("url") or os.environ.get("TUNEWELL_URL") or _DEFAULT_URL).rstrip("/")
    token = str(given.get("token") or os.environ.get("TUNEWELL_TOKEN") or "").strip()
    if urlsplit(url).scheme not in ("http", "https"):
        return []
    request = urllib.request.Request(f"{url}/v1/{query}&page_size={_MOST}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    # A proxy for the outer world cannot reach this machine's own addresses.
    direct = [urllib.request.ProxyHandler({})] if urlsplit(url).hostname in _LOOPBACK else []
    with urllib.request.build_opener(*direct).open(request, timeout=LIMIT_S) as answer:
        found: Any = json.load(answer)[what]
    return [str(each["name"]) for each in found if str(each["name"]).isprintable()]

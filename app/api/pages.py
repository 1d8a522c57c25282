"""The pages' routes: empty shells without data, which the page's own module fills from the API.

So no page needs a token, a hostile name never meets a template, and what a reader sees is what the
API lets it see.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

_HERE = Path(__file__).parent.parent / "dashboard"
_STATIC = _HERE / "static"
_MEDIA_TYPES: Mapping[str, str] = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content security policy of every page: own files only, nothing inline."""

_templates = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
)


def _code(text: str) -> Markup:
    """Text in which what stands between backticks is shown as code."""
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if k % 2 else part for k, part in enumerate(parts)
    )


_templates.filters["code"] = _code


def _page(name: str, **values: Any) -> Response:
    text = _templates.get_template(name).render(**values)
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    return HTMLResponse(text, headers=headers)


PAGES: Mapping[str, str] = {
    "/": "studies.html",
    "/new": "new.html",
    "/studies/{study_id}": "study.html",
    "/trials/{trial_id}": "trial.html",
    "/compare": "compare.html",
    "/workers": "workers.html",
    "/sign-in": "sign-in.html",
}
"""The template of each page, by its path."""


def _shown(path: str, name: str) -> Any:
    async def serve(request: Request) -> Response:
        return _page(name, here=path)

    return serve


class _File:
    """A file that pages load, read and packed once: a page loads thirty of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content = path.read_bytes()
        self._tag = f'"{sha256(self._content).hexdigest()[:20]}"'
        is_vendored = path.parent.name == "vendor"  # its version is in its name
        self._age = "public, max-age=31536000, immutable" if is_vendored else "no-cache"

    @cached_property
    def _packed(self) -> bytes:
        return gzip.compress(self._content, mtime=0)

    async def serve(self, request: Request) -> Response:
        """The file, packed for who takes that; nothing where the reader has it."""
        headers = {"Cache-Control": self._age, "ETag": self._tag, "Vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == self._tag:
            return Response(status_code=304, headers=headers)
        content = self._content
        if "gzip" in request.headers.get("accept-encoding", ""):
            content, headers["Content-Encoding"] = self._packed, "gzip"
        return Response(content, media_type=_MEDIA_TYPES[self._path.suffix], headers=headers)


def docs_page(page: Mapping[str, Any], problems: Sequence[Mapping[str, Any]]) -> Response:
    """The description of the API for people.

    Args:
        page: the OpenAPI document.
        problems: `code`, `status`, `title` and `retryable` of each problem code.
    """
    operations = [
        {
            "tag": operation["tags"][0],
            "id": operation["operationId"],
            "method": method.upper(),
            "path": path,
            "told": operation.get("description", ""),
            "roles": operation["x-roles"],
            "answers": list(operation["responses"]),
        }
        for path, entry in page["paths"].items()
        for method, operation in entry.items()
    ]
    return _page("docs.html", here="/docs", page=page, operations=operations, problems=problems)


def add_pages(app: FastAPI) -> None:
    """Adds the pages, and the files that they load."""
    for path, name in PAGES.items():
        app.add_route(path, _shown(path, name), methods=["GET"], include_in_schema=False)
    for file in sorted(_STATIC.rglob("*")):
        if file.suffix in _MEDIA_TYPES:
            where = f"/static/{file.relative_to(_STATIC).as_posix()}"
            app.add_route(where, _File(file).serve, methods=["GET"], include_in_schema=False)

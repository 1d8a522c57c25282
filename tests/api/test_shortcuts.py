"""Routes found by the shape of a path: the same as by trying them one after another."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.routing import Match

from app.api.application import build
from app.api.route import ServiceRoute
from app.api.shortcuts import Shortcuts
from app.settings import Settings

_APP = build(Settings(database_url="sqlite:///unused.db"))
_ALL = [route for route in _APP.router.routes if isinstance(route, ServiceRoute)]
_CALLS = [(method, route) for route in _ALL for method in sorted(route.methods)]


def scope_of(method: str, path: str, **more: Any) -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "root_path": "", **more}


@pytest.mark.parametrize(("method", "route"), _CALLS, ids=lambda it: getattr(it, "name", it))
def test_each_call_gets_to_its_route(method: str, route: ServiceRoute) -> None:
    path = route.path_format
    for name in route.param_convertors:
        path = path.replace(f"{{{name}}}", "x-1%2F")
    scope = scope_of(method, path)
    [by_trying, *_] = [each for each in _ALL if each.matches(scope)[0] is Match.FULL]
    match, found = Shortcuts(_ALL).matches(scope)
    assert (match, found["route"]) == (Match.FULL, by_trying)
    assert found["path_params"] == by_trying.matches(scope)[1]["path_params"]


@pytest.mark.parametrize(
    "path", ["", "/", "/v1", "/v1/", "/v1/studies/", "/v1/trials/a:complete:b", "/v1/nothing/a"]
)
def test_what_is_no_path_of_ours_is_left_to_the_router(path: str) -> None:
    for method in ("GET", "POST", "BREW"):
        assert Shortcuts(_ALL).matches(scope_of(method, path)) == (Match.NONE, {})


def test_an_application_below_another_path_is_left_to_the_router() -> None:
    scope = scope_of("GET", "/v1/studies", root_path="/below")
    assert Shortcuts(_ALL).matches(scope)[0] is Match.NONE

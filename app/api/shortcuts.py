"""Finds the route of a call by the shape of its path, where the router tries one after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

_Shape: TypeAlias = tuple[str, int, str, str]


class Shortcuts(BaseRoute):
    """Stands before the routes that it leads to; what it does not find is left to the router.

    Args:
        routes: those whose path is a noun of `/v1` and segments behind it, in the router's order.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes: dict[_Shape, list[Route]] = {}
        for route in routes:
            for method in route.methods or ():
                self._routes.setdefault(_shape(method, route.path_format), []).append(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As the route whose path and method these are; NONE without one."""
        if scope["type"] == "http" and not scope.get("root_path"):
            for route in self._routes.get(_shape(scope["method"], scope["path"]), ()):
                match, found = route.matches(scope)
                if match is Match.FULL:
                    return match, found
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Has the route that was found answer."""
        await scope["route"].handle(scope, receive, send)


def _shape(method: str, path: str) -> _Shape:
    """Method, number of segments, the noun, and the verb: what all paths of a route share.

    A parameter has neither a slash nor a colon, so that a template has the shape of its paths.
    """
    segments = path.split("/", 3)
    noun = segments[2] if len(segments) > 2 else ""
    return (
        method,
        path.count("/"),
        noun.partition(":")[0],
        path.rpartition("/")[2].partition(":")[2],
    )

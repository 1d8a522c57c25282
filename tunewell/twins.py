"""Makes the methods of a handle of its calls: one kind that blocks, one to be awaited."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from .exchange import Call

P = ParamSpec("P")
R = TypeVar("R")


def blocking(
    call: Callable[Concatenate[Any, P], Call[R]],
) -> Callable[Concatenate[Any, P], R]:
    """A method that carries a call out."""

    @functools.wraps(call)
    def method(self: Any, /, *args: P.args, **given: P.kwargs) -> R:
        done: R = self._client.run(call(self, *args, **given))
        return done

    method.__name__ = call.__name__.lstrip("_")
    return method


def awaiting(
    call: Callable[Concatenate[Any, P], Call[R]],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """A method that carries a call out, to be awaited."""

    @functools.wraps(call)
    async def method(self: Any, /, *args: P.args, **given: P.kwargs) -> R:
        done: R = await self._client.run(call(self, *args, **given))
        return done

    method.__name__ = call.__name__.lstrip("_")
    return method

"""HEAD as GET without the body (RFC 9110, 9.3.2): every path that takes GET takes it."""

from __future__ import annotations

import anyio
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_IS_HEAD = "tunewell.is_head"


def is_head(request: Request) -> bool:
    """Whether no body will be sent, so that no file has to be opened for it."""
    return _IS_HEAD in request.scope


class Head:
    """ASGI middleware that has a HEAD answered as a GET, up to where the body begins: a stream ends
    there.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        # A range is of a GET alone (RFC 9110, 14.2).
        headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
        asked = {**scope, "method": "GET", "headers": headers, _IS_HEAD: True}
        with anyio.CancelScope() as rest:

            async def begin(message: Message) -> None:
                if message["type"] == "http.response.start":
                    await send(message)
                    await send({"type": "http.response.body", "body": b""})
                    rest.cancel()

            await self._app(asked, receive, begin)
        if "route" in asked:
            scope["route"] = asked["route"]  # what the request is counted under

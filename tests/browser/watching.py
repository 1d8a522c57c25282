"""Everything that goes wrong in a page, noted: a test whose page complains fails."""

from __future__ import annotations

import re

from playwright.sync_api import ConsoleMessage, Error, Page, Request, Response

LEFT = "net::ERR_ABORTED"
"""What a request fails with when its page is left or takes it back: nothing is wrong then."""

_TWICE = "Failed to load resource"
"""How the console repeats what is noted from the answer itself."""


class Watch:
    """Notes console errors and warnings, uncaught exceptions, broken policy, failed requests.

    A breach of the content security policy is an error in the console.
    """

    def __init__(self, page: Page) -> None:
        self._faults: list[str] = []
        self._expected: list[re.Pattern[str]] = []
        page.on("console", self._console)
        page.on("pageerror", self._thrown)
        page.on("response", self._answered)
        page.on("requestfailed", self._failed)

    def expect(self, pattern: str) -> None:
        """Faults that match are part of the test."""
        self._expected.append(re.compile(pattern))

    @property
    def faults(self) -> list[str]:
        """What went wrong so far and was not expected."""
        known = self._expected
        return [said for said in self._faults if not any(one.search(said) for one in known)]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and _TWICE not in message.text:
            self._faults.append(f"console {message.type}: {message.text}")

    def _thrown(self, error: Error) -> None:
        self._faults.append(f"uncaught: {error.message}\n{error.stack or ''}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            request = response.request
            self._faults.append(f"answered {response.status}: {request.method} {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != LEFT:
            self._faults.append(f"failed ({request.failure}): {request.method} {request.url}")

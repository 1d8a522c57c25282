"""A page opened in headless Chromium: what came over the wire, and when all its plots were drawn.

The study page sets `performance.mark("tunewell:drawn")` once, when each panel that it begins with
is drawn or says that it is empty. Without the mark there is no figure: a page that never settles
has not been measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, TimeoutError, sync_playwright

MARK = "tunewell:drawn"
VENDORED = "/static/vendor/"
WAIT_MS = 30_000
_WAIT = f"() => performance.getEntriesByName('{MARK}').length > 0"
_TIME = f"() => performance.getEntriesByName('{MARK}')[0].startTime / 1000"


@dataclass(slots=True)
class Opened:
    """What was seen.

    Attributes:
        drawn_s: seconds from the navigation to the mark; None: it was never set.
        n_bytes: over the wire, heads included, by path and query; the chart library apart.
        library_bytes: the vendored files; 0 from the browser's cache.
    """

    drawn_s: float | None = None
    n_bytes: dict[str, int] = field(default_factory=dict)
    library_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """Everything but the chart library."""
        return sum(self.n_bytes.values())

    def calls(self) -> list[str]:
        """What the page asked of the API, the stream of events left out."""
        return [path for path in self.n_bytes if path.startswith("/v1/studies/")]


@contextmanager
def chromium(path: Path) -> Iterator[Browser]:
    """A headless browser while the block runs."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path)
        yield launched
        launched.close()


@contextmanager
def window(browser: Browser, base: str) -> Iterator[BrowserContext]:
    """A window of 1440 x 900 with a cache of its own."""
    context = browser.new_context(base_url=base, viewport={"width": 1440, "height": 900})
    yield context
    context.close()


def open_page(context: BrowserContext, path: str, mark: str | None = MARK) -> tuple[Page, Opened]:
    """Opens a page and waits for its mark.

    Args:
        context: where.
        path: of the page.
        mark: None does not wait for one.
    """
    page = context.new_page()
    found = Opened()
    _count(context, page, found)
    page.goto(path, wait_until="load")
    if mark is not None:
        try:
            page.wait_for_function(_WAIT, timeout=WAIT_MS)
            found.drawn_s = float(page.evaluate(_TIME))
        except TimeoutError:
            found.drawn_s = None
    return page, found


def _count(context: BrowserContext, page: Page, found: Opened) -> None:
    asked: dict[str, str] = {}

    def sent(event: dict[str, Any]) -> None:
        parts = urlsplit(event["request"]["url"])
        asked[event["requestId"]] = parts.path + (f"?{parts.query}" if parts.query else "")

    def loaded(event: dict[str, Any]) -> None:
        path, size = asked.get(event["requestId"], "?"), int(event["encodedDataLength"])
        if path.startswith(VENDORED):
            found.library_bytes += size
        else:
            found.n_bytes[path] = found.n_bytes.get(path, 0) + size

    devtools = context.new_cdp_session(page)
    devtools.on("Network.requestWillBeSent", sent)
    devtools.on("Network.loadingFinished", loaded)
    devtools.send("Network.enable")


def heap_bytes(page: Page) -> int:
    """What the page's scripts hold after a full collection."""
    devtools = page.context.new_cdp_session(page)
    for _ in range(3):
        devtools.send("HeapProfiler.collectGarbage")
    used = devtools.send("Runtime.getHeapUsage")["usedSize"]
    devtools.detach()
    return int(used)

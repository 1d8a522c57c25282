"""One person's browser window: its size and theme, who is signed in, and what is seen."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Locator, Page, expect

from app.domain.token import Role

from .site import Site
from .watching import Watch

PICTURES = "TUNEWELL_PICTURES"
"""Environment variable: the folder that pictures are written to; without it there are none."""

Theme = Literal["light", "dark"]
HEIGHTS = {1440: 900, 390: 844, 320: 640}
"""Heights of the windows, by width; in CSS pixels."""

_SETTLED = """() => (document.querySelector("#sign-in:not([hidden])") ||
    document.querySelector("h1").innerText !== "...") &&
  [...document.querySelectorAll('[aria-busy="true"], #loading')].every((node) => {
  const { top, bottom } = node.getBoundingClientRect();
  return node.offsetParent === null || bottom < 0 || top > innerHeight;
})"""


class Visitor:
    """A window on a site. `page` is playwright's, `watch` what went wrong in it."""

    def __init__(
        self, browser: Browser, site: Site, role: Role | None, width: int, theme: Theme
    ) -> None:
        self.site = site
        self.context = browser.new_context(
            base_url=site.url,
            viewport={"width": width, "height": HEIGHTS[width]},
            color_scheme=theme,
            has_touch=width < 1000,
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="UTC",
        )
        self.context.set_default_timeout(15_000)
        if role is not None:
            self._sign_in(site.tokens[role])
        self.page: Page = self.context.new_page()
        self.watch = Watch(self.page)

    def _sign_in(self, secret: str) -> None:
        answer = self.context.request.put("/v1/session", data={"token": secret})
        assert answer.ok, answer.text()

    def open(self, path: str) -> Page:
        """Goes to a page and waits until nothing on screen is still being filled."""
        self.page.goto(path)
        self.settled()
        return self.page

    def settled(self) -> None:
        """Waits until the page has its title or asks for a token, and nothing seen is busy."""
        self.page.wait_for_function(_SETTLED)

    def live(self, timeout_s: float = 15.0) -> None:
        """Waits until the page says that it is live."""
        expect(self.says("live")).to_be_visible(timeout=1000 * timeout_s)

    def says(self, text: str) -> Locator:
        """The word about the connection, when it is exactly this or begins with it and a blank."""
        return self.page.get_by_role("status").filter(has_text=re.compile(rf"^\W*{text}(\s|$)"))

    def resize(self, width: int) -> None:
        """Makes the window as wide."""
        self.page.set_viewport_size({"width": width, "height": HEIGHTS[width]})

    def picture(self, name: str) -> None:
        """Writes what the window shows to `NAME.png`, when a folder for pictures is given."""
        if folder := os.environ.get(PICTURES):
            self.page.screenshot(path=Path(folder) / f"{name}.png", animations="disabled")

    def kept(self) -> dict[str, Any]:
        """What scripts of the page can read and what stands in its address."""
        found: dict[str, Any] = self.page.evaluate(
            """() => ({
                address: location.href, cookie: document.cookie, title: document.title,
                local: {...localStorage}, session: {...sessionStorage},
                html: document.documentElement.outerHTML,
                typed: [...document.querySelectorAll("input, textarea")].map((node) => node.value),
            })"""
        )
        return found

    def close(self) -> None:
        """Closes the window."""
        self.context.close()

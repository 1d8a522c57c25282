"""A person without a mouse: Tab, Enter, Space, arrow keys and Escape, and what the focus shows."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page, expect

_WATCH = """
window.unseenFocus = [];
addEventListener("focusin", ({ target }) => {
  const { outlineStyle, outlineWidth } = getComputedStyle(target);
  const { width, height } = target.getBoundingClientRect();
  if (outlineStyle === "none" || parseFloat(outlineWidth) < 1 || !width || !height)
    window.unseenFocus.push(target.outerHTML.slice(0, 160));
});
"""
_REACHABLE = """() => {
  const all = [...document.querySelectorAll(
    "a[href], button, input, select, textarea, summary, [tabindex]")];
  window.wanted = new Set(all.filter((node) => node.tabIndex >= 0 && !node.disabled
    && node.checkVisibility({ visibilityProperty: true })));
  const taken = ({ target }) => window.wanted.delete(target);
  window.wanted.delete(document.activeElement);
  addEventListener("focusin", taken);
  return window.wanted.size;
}"""
_IS_THERE = "node => (node.isConnected ? node === document.activeElement : null)"
_LEFT = "() => [...window.wanted].filter((node) => node.isConnected).map(told => told.outerHTML)"


class Keyboard:
    """What can be done to a page without a mouse."""

    def __init__(self, page: Page) -> None:
        self.page = page
        page.add_init_script(_WATCH)
        page.evaluate(_WATCH)

    def press(self, *keys: str) -> None:
        """Presses keys one after another."""
        for key in keys:
            self.page.keyboard.press(key)

    def to(self, target: Locator, *, back: bool = False, most: int = 150) -> None:
        """Moves the focus with Tab alone, or with Shift and Tab, until it is there."""
        expect(target).to_be_visible()
        node = target.element_handle()
        for _ in range(most):
            is_there = self.page.evaluate(_IS_THERE, node)
            if is_there:
                return
            if is_there is None:  # drawn anew
                node = target.element_handle()
                continue
            self.press("Shift+Tab" if back else "Tab")
        raise AssertionError(f"{most} times Tab do not lead to {target}; the focus is {self.at()}")

    def use(self, target: Locator, key: str = "Enter", *, back: bool = False) -> None:
        """Goes there and presses a key."""
        self.to(target, back=back)
        self.press(key)

    def write(self, target: Locator, text: str, *, back: bool = False) -> None:
        """Goes to a field and types over what is in it."""
        self.to(target, back=back)
        self.press("Control+a")
        self.page.keyboard.type(text)

    def choose(self, target: Locator, value: str, *, back: bool = False) -> None:
        """Goes to a select and takes arrow keys until it has a value; from the first option again
        where a key was quicker than what it shows.
        """
        self.to(target, back=back)
        for _ in range(3):
            self.press("Home")
            for _ in range(target.locator("option").count()):
                if target.input_value() == value:
                    return
                self.press("ArrowDown")
        found = f"they lead to {target.input_value()!r}, the focus is {self.at()}"
        raise AssertionError(f"arrow keys do not lead to {value} in {target}: {found}")

    def at(self) -> Any:
        """What has the focus."""
        return self.page.evaluate("() => document.activeElement.outerHTML.slice(0, 160)")

    def focus_was_seen(self) -> None:
        """Fails when something had the focus and did not show it since the page was opened."""
        assert self.page.evaluate("() => window.unseenFocus") == []

    def everything_is_reached(self) -> None:
        """Tabs through the page once: every control is reached, and the focus leaves each."""
        for _ in range(self.page.evaluate(_REACHABLE) + 12):
            self.press("Tab")
        assert self.page.evaluate(_LEFT) == []
        self.focus_was_seen()

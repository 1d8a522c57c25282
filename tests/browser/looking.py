"""What is held of every page: it is accessible, and it does not scroll sideways."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from playwright.sync_api import Page

SERIOUS = ("serious", "critical")

_WIDE = """() => {
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= wide) return [];
  const over = [...document.body.querySelectorAll("*")].filter((node) => {
    const { right, width } = node.getBoundingClientRect();
    return width > 0 && right > wide + 0.5;
  });
  return [`the page is ${document.documentElement.scrollWidth} wide, the window ${wide}`,
    ...over.slice(0, 8).map((node) => node.outerHTML.slice(0, 120))];
}"""


@cache
def _axe() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


def no_serious_violation(page: Page) -> None:
    """Fails when axe-core finds anything serious or critical in what the page shows.

    The checker is evaluated through the browser's own protocol: the page's policy stays in force.
    """
    page.evaluate(_axe())
    found = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    bad = [one for one in found["violations"] if one["impact"] in SERIOUS]
    told = [
        f"{one['id']} ({one['impact']}): {one['help']}\n  {node['html'][:200]}\n"
        f"  {node['failureSummary']}"
        for one in bad
        for node in one["nodes"][:3]
    ]
    assert not bad, "\n".join(told)


def no_sideways_scroll(page: Page) -> None:
    """Fails when the page is wider than the window; names what sticks out.

    Charts follow a window's new size a frame or more later: the page has a second for it.
    """
    for _ in range(20):
        over = page.evaluate(_WIDE)
        if not over:
            return
        page.wait_for_timeout(50)
    raise AssertionError("\n".join(over))

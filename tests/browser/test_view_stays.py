"""What a reader has set up stays while a hundred events come in; and each panel says how much of
what it shows.
"""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page, expect

from app.domain.token import Role

from .conftest import Visit
from .seeding import ask, box, bring, complete, create, finished, report
from .site import Site

N_EVENTS = 100
PLOTS = {
    "overview": ("history", "importance", "curves", "slice", "parallel"),
    "parameters": ("contour",),
}

_SET_UP = """async () => {
  const { getInstanceByDom } = await import("/static/vendor/echarts-6.1.0.min.js");
  const chart = getInstanceByDom(document.querySelector("#history .chart"));
  const { startValue, endValue } = chart.getOption().dataZoom[0];
  return {
    zoom: [startValue, endValue], address: location.href, scroll: scrollY,
    focus: document.activeElement.getAttribute("aria-label"), typed: document.activeElement.value,
    selected: document.querySelector("#trials-title").textContent.match(/[0-9]+ selected/)[0],
  };
}"""
_NODES = "() => document.querySelectorAll('*').length"


def test_brush_zoom_scroll_and_focus_stay_while_events_come(site: Site, visit: Visit) -> None:
    call = site.service.call
    study = create(call, "much happens", box(3), limits={"max_trials": 60})
    bring(call, study, finished(30, 3, 5))
    trial, other = ask(call, study, 2)
    visitor = visit(site, role=Role.READER)
    page = visitor.open(f"/studies/{study}?sel=value:0.01..0.3")
    visitor.live()
    expect(page.locator("#history")).to_have_attribute("data-drawn", "true")
    expect(page.locator("#trials-title")).to_contain_text(re.compile(r"[0-9]+ selected"))
    _zoom(page)
    field = page.get_by_role("textbox", name="x0 from").first
    field.scroll_into_view_if_needed()
    field.fill("0.1")  # not sent yet: it has no Enter
    before: dict[str, Any] = page.evaluate(_SET_UP)
    assert before["zoom"][1] - before["zoom"][0] < 25
    assert before["scroll"] > 0
    n_nodes = page.evaluate(_NODES)
    for step in range(1, N_EVENTS):
        report(call, trial, [(step, {"value": 1 / step})])
    complete(call, other, value=0.9)
    expect(page.locator("#counts")).to_contain_text("31 of 60")
    expect(page.locator("#history .caption")).to_contain_text("32 of 32")
    assert page.evaluate(_SET_UP) == before
    assert page.evaluate(_NODES) <= 1.1 * n_nodes


def _zoom(page: Page) -> None:
    found = page.locator("#history .chart").bounding_box()
    assert found is not None
    page.mouse.move(found["x"] + found["width"] / 2, found["y"] + found["height"] / 2)
    page.keyboard.down("Control")
    for _ in range(3):
        page.mouse.wheel(0, -240)
    page.keyboard.up("Control")
    page.mouse.move(0, 0)


def test_every_panel_says_of_how_many_it_shows_how_many(site: Site, visit: Visit) -> None:
    study = create(site.service.call, "captions", box(2))
    bring(site.service.call, study, finished(12, 2, 3))
    visitor = visit(site, role=Role.READER)
    for tab, names in PLOTS.items():
        page = visitor.open(f"/studies/{study}?tab={tab}")
        for name in names:
            caption = page.locator(f"#{name} .caption").first
            caption.scroll_into_view_if_needed()
            expect(caption).to_contain_text(re.compile(r"\d+ of \d+ (lines )?shown|on \d+ trials"))

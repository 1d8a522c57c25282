"""Every action of the pages by keyboard alone: the focus is seen, is never caught, and returns."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from app.domain.token import Role

from .conftest import Visit
from .keyboard import Keyboard
from .looking import no_sideways_scroll
from .seeding import ask, box, bring, create, fail, finished
from .site import Site


def button(page: Page, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


def closes(keys: Keyboard, opener: Any) -> None:
    """Escape closes the dialog, and the focus is where it was."""
    expect(keys.page.get_by_role("dialog")).to_be_visible()
    keys.press("Escape")
    expect(keys.page.get_by_role("dialog")).to_have_count(0)
    expect(opener).to_be_focused()


def agrees(keys: Keyboard, keep: str, go: str) -> None:
    """Opens the question again, whose focus is on keeping, and goes on."""
    question = keys.page.get_by_role("dialog")
    keys.press("Enter")
    expect(question.get_by_role("button", name=keep, exact=True)).to_be_focused()
    keys.press("Tab")
    expect(question.get_by_role("button", name=go, exact=True)).to_be_focused()
    keys.press("Enter")


def test_signing_in_making_a_study_and_signing_out(site: Site, visit: Visit) -> None:
    visitor = visit(site, role=None)
    visitor.watch.expect("answered 401: ")
    visitor.watch.expect("answered 422: ")
    page = visitor.open("/new")
    keys = Keyboard(page)
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    page.keyboard.type(site.tokens[Role.SUBMITTER])
    keys.press("Enter")
    keys.write(page.get_by_label("Name", exact=True).first, "made by keys")
    keys.choose(page.get_by_label("Evaluated by"), "function")
    parameters = page.get_by_role("group", name="Parameters", exact=True)
    for name, text in (("Name", "x0"), ("Low", "1"), ("High", "2")):
        keys.write(parameters.get_by_label(name, exact=True).first, text)
    keys.use(button(page, "Create study"))
    expect(page).to_have_url(re.compile(r"/studies/st_\w+$"))
    visitor.settled()
    keys.use(button(page, "Sign out"))
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    keys.focus_was_seen()


def test_studies_are_found_sorted_chosen_and_compared(site: Site, visit: Visit) -> None:
    visitor = visit(site)
    page = visitor.open("/")
    keys = Keyboard(page)
    keys.everything_is_reached()
    keys.choose(page.get_by_label("State"), "active")
    expect(page).to_have_url(re.compile("state=active"))
    keys.write(page.get_by_label("Name", exact=True), "n")
    expect(page).to_have_url(re.compile("name=n"))
    keys.choose(page.locator("#sort"), "name")
    expect(page).to_have_url(re.compile("sort=name"))
    keys.use(page.locator("#studies thead").get_by_role("button", name="Name"))
    expect(page).to_have_url(re.compile("sort=-name"))
    boxes = [page.get_by_role("checkbox", name=f"Choose {name} to compare") for name in CHOSEN]
    for box_ in boxes:
        keys.use(box_, "Space")
        expect(box_).to_be_checked()
    keys.use(page.get_by_role("link", name="Compare 2 studies"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Compare 2 studies")
    visitor.settled()
    keys.everything_is_reached()
    keys.use(button(page, "by time"))
    expect(page).to_have_url(re.compile("x=elapsed"))
    keys.choose(page.get_by_label("Add"), site.studies["fifty_parameters"])
    keys.use(button(page, "Add"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Compare 3 studies")
    keys.focus_was_seen()


def test_a_list_put_in_another_order_leaves_the_focus_where_it_is(site: Site, visit: Visit) -> None:
    page = visit(site).open("/?name=n")
    box_ = page.get_by_role("checkbox", name=f"Choose {CHOSEN[0]} to compare")
    box_.focus()
    before = page.locator("#studies tbody tr").evaluate_all(_IDS)
    # Not by a click, which would take the focus.
    page.locator("#studies thead").get_by_role("button", name="Name").evaluate("it => it.click()")
    expect(page.locator("#studies tbody tr").first).not_to_have_attribute("data-id", before[0])
    assert sorted(page.locator("#studies tbody tr").evaluate_all(_IDS)) == sorted(before)
    expect(box_).to_be_focused()


_IDS = "rows => rows.map((row) => row.dataset.id)"
CHOSEN = ("one parameter", "minimised")
"""Studies with "n" in their names, in the order in which Tab comes to them."""


def test_a_study_is_looked_through(site: Site, visit: Visit) -> None:
    study = create(site.service.call, "walked", box(2), metrics=METRICS)
    bring(site.service.call, study, (walked(k) for k in range(12)))
    visitor = visit(site, role=Role.READER)
    page = visitor.open(f"/studies/{study}")
    keys = Keyboard(page)
    keys.choose(page.get_by_label("Plots are of"), "cost")
    expect(page.locator("#history h2")).to_contain_text("cost")
    keys.choose(page.get_by_label("Plots are of"), "value", back=True)
    keys.use(page.locator("#history").get_by_role("button", name="over time"), "Space")
    pauses = page.locator("#history").get_by_role("button", name="without pauses")
    keys.use(pauses, "Space")
    expect(pauses).to_have_attribute("aria-pressed", "true")
    expect(page).to_have_url(re.compile("over=work"))
    keys.to(page.locator("#history .chart"))
    keys.press("ArrowRight")
    expect(page.locator("#history .tip")).to_contain_text("trial")
    keys.press("Escape")
    expect(page.locator("#history .tip")).to_be_hidden()
    keys.use(page.locator("#history .as-table summary"))
    expect(page.locator("#history .as-table tbody tr")).to_have_count(12)
    keys.press("Enter")
    keys.use(page.locator("#parallel .ranges summary"))
    keys.write(page.locator("#parallel").get_by_label("x0 from"), "0.5")
    keys.press("Tab")
    expect(page).to_have_url(re.compile("sel="))
    expect(page.locator("#trials .chip.picked")).to_have_count(1)
    keys.use(page.locator("#trials .chip.picked"))
    expect(page.locator("#trials .chip.picked")).to_have_count(0)
    summary = page.locator("#trials .menu summary")
    keys.use(summary)
    keys.use(page.locator("#trials .menu-body input").last, "Space")
    expect(page).to_have_url(re.compile("cols="))
    keys.press("Escape")
    expect(summary).to_be_focused()
    keys.use(page.locator('#trials [data-sort="number"]'))
    expect(page.locator('#trials [data-sort="number"]')).to_be_focused()
    visitor.settled()
    keys.everything_is_reached()


METRICS = [{"name": name, "direction": "minimize"} for name in ("value", "cost")]


def walked(k: int) -> dict[str, Any]:
    values = {"value": k % 7 + 1.0, "cost": 9.0 - k % 5}
    return {"params": {"x0": k / 12, "x1": k * 7 % 12 / 12}, "values": values}


def test_tabs_and_pages_of_the_table(site: Site, visit: Visit) -> None:
    visitor = visit(site, role=Role.READER)
    page = visitor.open(f"/studies/{site.studies['conditional']}")
    keys = Keyboard(page)
    table = page.locator("#trials")
    keys.use(table.get_by_role("button", name="Next"), back=True)
    expect(table).to_contain_text("26 to 45")
    keys.use(table.get_by_role("button", name="Previous"))
    expect(table).to_contain_text("1 to 25")
    keys.use(page.locator('[data-tab="trials"]'))
    expect(page.locator('[data-tab="trials"]')).to_be_focused()
    expect(table.locator("tbody tr").first).to_be_visible()
    for name in ("parameters", "timeline", "suggester", "failures", "definition"):
        keys.use(page.locator(f'[data-tab="{name}"]'))
        visitor.settled()
        keys.focus_was_seen()
    expect(page.locator("#view")).to_contain_text("Provenance")


def test_a_study_is_acted_on(site: Site, visit: Visit) -> None:
    study = create(site.service.call, "by keys", box(2), failure_policy={"max_attempts": 1})
    bring(site.service.call, study, finished(4, 2, 0))
    visitor = visit(site)
    page = visitor.open(f"/studies/{study}?tab=definition")
    keys = Keyboard(page)
    keys.use(button(page, "Pause"))
    expect(button(page, "Resume")).to_be_focused()
    keys.press("Enter")
    expect(button(page, "Pause")).to_be_focused()
    keys.use(button(page, "Stop"))
    closes(keys, button(page, "Stop"))
    more = page.locator("#actions summary")
    keys.use(more)
    keys.press("Tab", "Enter")
    closes(keys, more)
    keys.press("Enter", "Tab", "Enter")
    keys.write(page.get_by_role("dialog").get_by_label("Trials at most"), "70")
    keys.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(more).to_be_focused()
    keys.use(button(page, "Stop"), back=True)
    keys.use(button(page, "Stop study"))
    expect(page.locator("#state")).to_contain_text(re.compile("stopp|completed"))
    assert page.evaluate("() => document.activeElement !== document.body")
    keys.focus_was_seen()


def test_trials_are_enqueued_retried_noted_and_cancelled(site: Site, visit: Visit) -> None:
    call = site.service.call
    study = create(call, "trials by keys", box(2), failure_policy={"max_attempts": 1})
    broken, running = ask(call, study, 2)
    fail(call, broken, "user_error", "broke")
    visitor = visit(site)
    page = visitor.open(f"/trials/{broken['id']}")
    keys = Keyboard(page)
    enqueue = button(page, "Enqueue a point like this")
    keys.use(enqueue)
    closes(keys, enqueue)
    keys.press("Enter")
    keys.write(page.get_by_role("dialog").get_by_label("x1"), "0.25")
    keys.press("Enter")
    expect(page.locator("#toasts")).to_contain_text("is enqueued")
    expect(enqueue).to_be_focused()
    keys.write(page.locator("#note textarea"), "odd")
    keys.use(button(page, "Save note"))
    expect(page.locator("#toasts")).to_contain_text("The note is saved")
    expect(page.locator("#note textarea")).to_be_focused()
    keys.everything_is_reached()
    keys.use(button(page, "Retry"))
    expect(page.locator("#state")).to_contain_text("pending")
    page.goto(f"/trials/{running['id']}")
    visitor.settled()
    keys.use(button(page, "Cancel trial"))
    closes(keys, button(page, "Cancel trial"))
    agrees(keys, "Keep it", "Cancel trial")
    expect(page.locator("#state")).to_contain_text("cancelled")
    keys.focus_was_seen()


_AT_ONCE_AGAIN = """async (name) => {
  const named = ({ textContent }) => textContent === name;
  const button = [...document.querySelectorAll("button")].find(named);
  button.click();
  document.querySelector("dialog[open]").requestClose();
  // No task comes between: the event `close` is one.
  for (let k = 0; k < 100; k += 1) await null;
  button.click();
  return document.querySelectorAll("dialog[open]").length;
}"""


@pytest.mark.parametrize("name", ["Cancel trial", "Enqueue a point like this"])
def test_a_key_right_after_escape_finds_the_button_ready(
    site: Site, visit: Visit, name: str
) -> None:
    study = create(site.service.call, f"left and opened: {name}", box(2))
    (running,) = ask(site.service.call, study, 1)
    visitor = visit(site)
    page = visitor.open(f"/trials/{running['id']}")
    expect(button(page, name)).to_be_visible()
    assert page.evaluate(_AT_ONCE_AGAIN, name) == 1
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_worker_is_drained(site: Site, visit: Visit) -> None:
    site.service.call("POST", "/v1/workers", {"name": "drained by keys", "boot_id": "1"})
    visitor = visit(site)
    page = visitor.open("/workers")
    keys = Keyboard(page)
    card = page.get_by_role("region", name="drained by keys")
    drain = card.get_by_role("button", name="Drain")
    keys.use(drain)
    closes(keys, drain)
    agrees(keys, "Keep it working", "Drain")
    expect(card).to_contain_text("draining")
    again = card.get_by_role("button", name="Give it trials again")
    expect(again).to_be_focused()
    keys.everything_is_reached()


def test_the_seventh_tab_opens_as_the_first_and_nothing_scrolls_sideways_at_200_percent(
    site: Site, visit: Visit
) -> None:
    visitor = visit(site, role=Role.READER)
    study = site.studies["ordinary"]
    # A window of 1440 px at 200 %: as many CSS pixels as one of 720.
    visitor.page.set_viewport_size({"width": 720, "height": 450})
    page = visitor.open(f"/studies/{study}")
    seventh = page.locator("[data-tab]").nth(6)
    page.evaluate("() => performance.mark('asked')")
    seventh.click()
    expect(seventh).to_have_attribute("aria-current", "page")
    page.wait_for_function("() => !document.querySelector('#view .loading')")
    visitor.settled()
    took_ms = page.evaluate("() => performance.measure('took', 'asked').duration")
    assert took_ms < 5_000  # a second on a quiet machine
    for path in (f"/studies/{study}", "/", "/workers", "/new"):
        visitor.open(path)
        no_sideways_scroll(page)

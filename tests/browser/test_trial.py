"""The page of one trial: what it shows, its keys, its note, what it lets one do."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from app.domain.token import Role

from .conftest import Visit
from .looking import no_serious_violation, no_sideways_scroll
from .seeding import ask, report
from .site import Site
from .visiting import Theme


def trial(site: Site, study: str, number: int) -> Any:
    """A trial of a seeded study."""
    path = f"/v1/studies/{site.studies[study]}/trials?where=number:{number}"
    return site.service.call("GET", path)["trials"][0]


def change(site: Site, path: str, body: dict[str, Any]) -> None:
    """What somebody else changes meanwhile."""
    headers = {"If-Match": "*"}
    answer = site.service.http.patch(site.url + path, json=body, headers=headers)
    assert answer.is_success, answer.text


@pytest.mark.parametrize(
    ("study", "number", "width", "theme"),
    [
        ("ordinary", 4, 1440, "light"),
        ("ordinary", 6, 390, "dark"),
        ("several_workers", 3, 390, "light"),
        ("wild_values", 13, 1440, "dark"),
        ("hostile_name", 3, 390, "light"),
    ],
)
def test_a_trial_is_whole_accessible_and_fits(
    site: Site, visit: Visit, study: str, number: int, width: int, theme: Theme
) -> None:
    visitor = visit(site, width=width, theme=theme)
    page = visitor.open(f"/trials/{trial(site, study, number)['id']}")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Trial {number}")
    expect(page.locator("#why .why")).not_to_be_empty()
    expect(page.locator("#attempts")).to_be_visible()
    visitor.settled()
    visitor.picture(f"trial-{study}-{width}-{theme}")
    no_sideways_scroll(page)
    no_serious_violation(page)
    said = page.inner_text("body")
    assert "undefined" not in said
    assert "[object Object]" not in said


def test_the_curve_says_what_it_shows_and_its_table_holds_the_reports(
    site: Site, visit: Visit
) -> None:
    visitor = visit(site)
    page = visitor.open(f"/trials/{trial(site, 'ordinary', 4)['id']}")
    expect(page.locator("#curve .caption")).to_contain_text("9 of 9 reports shown")
    expect(page.locator("#curve .chart")).to_have_attribute(
        "aria-label", re.compile("^accuracy of trial 4 is 0.96")
    )
    page.locator("#curve summary").click()
    expect(page.locator("#curve tbody tr")).to_have_count(9)


def test_brackets_go_to_the_neighbours(site: Site, visit: Visit) -> None:
    visitor = visit(site, role=Role.READER)
    page = visitor.open(f"/trials/{trial(site, 'ordinary', 4)['id']}")
    expect(page.get_by_role("link", name=re.compile("^5 .$"))).to_be_visible()
    page.keyboard.press("]")
    expect(page.get_by_role("heading", level=1)).to_have_text("Trial 5")
    expect(page.get_by_role("link", name=re.compile("^. 4$"))).to_be_visible()
    page.keyboard.press("[")
    expect(page.get_by_role("heading", level=1)).to_have_text("Trial 4")
    expect(page.get_by_role("button", name="Enqueue a point like this")).to_have_count(0)
    expect(page.get_by_role("textbox", name="Note")).to_have_count(0)


def test_a_note_meets_that_of_another(site: Site, visit: Visit) -> None:
    found = trial(site, "maximised", 2)
    visitor = visit(site)
    visitor.watch.expect("answered 412")
    page = visitor.open(f"/trials/{found['id']}")
    visitor.live()
    page.get_by_role("textbox", name="Note").fill("mine <b>")
    with page.expect_response(re.compile(f"/v1/trials/{found['id']}$")):  # the page has seen theirs
        change(site, f"/v1/trials/{found['id']}", {"note": "theirs"})
    page.get_by_role("button", name="Save note").click()
    expect(page.locator("#note .fault")).to_contain_text('The note is now: "theirs"')
    expect(page.get_by_role("textbox", name="Note")).to_have_value("mine <b>")
    page.get_by_role("button", name="Save note").click()
    expect(page.locator("#note .fault")).to_be_empty()
    expect(page.locator("#toasts")).to_contain_text("The note is saved.")
    assert trial(site, "maximised", 2)["note"] == "mine <b>"


def test_a_running_trial_is_followed_and_cancelled(site: Site, visit: Visit) -> None:
    [running] = ask(site.service.call, site.studies["one_parameter"])
    visitor = visit(site)
    page = visitor.open(f"/trials/{running['id']}")
    visitor.live()
    expect(page.locator("#curve")).to_contain_text("No step is reported yet")
    report(site.service.call, running, [(1, {"value": 0.5}), (2, {"value": 0.25})])
    expect(page.locator("#curve .caption")).to_contain_text("2 of 2 reports shown")
    page.get_by_role("button", name="Cancel trial").click()
    expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    page.get_by_role("dialog").get_by_role("button", name="Cancel trial").click()
    expect(page.locator("#state")).to_contain_text("cancelled")
    expect(page.get_by_role("button", name="Cancel trial")).to_be_hidden()


def test_a_point_like_it_is_enqueued_with_faults_at_their_fields(site: Site, visit: Visit) -> None:
    visitor = visit(site)
    visitor.watch.expect("answered 422")
    page = visitor.open(f"/trials/{trial(site, 'conditional', 3)['id']}")
    page.get_by_role("button", name="Enqueue a point like this").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("model")).to_have_value("2")
    expect(dialog.get_by_label("trees")).to_be_disabled()
    dialog.get_by_label("penalty").fill("9")
    dialog.get_by_role("button", name="Enqueue").click()
    expect(dialog.locator(".field", has_text="penalty").locator(".fault")).to_contain_text("must")
    expect(dialog.get_by_label("penalty")).to_be_focused()
    dialog.get_by_label("penalty").fill("0.25")
    dialog.get_by_role("button", name="Enqueue").dblclick()
    expect(dialog).to_have_count(0)
    listed = site.service.call(
        "GET", f"/v1/studies/{site.studies['conditional']}/trials?state=pending"
    )
    assert [each["params"]["penalty"] for each in listed["trials"]] == [0.25]

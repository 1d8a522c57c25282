"""The list of studies: what is asked stands in the address, rows stay put, two can be compared."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from app.domain.token import Role

from .conftest import Visit
from .looking import no_serious_violation, no_sideways_scroll
from .seeding import box, create
from .site import Site


def names(page: Page) -> list[str]:
    found: list[str] = page.locator("#studies tbody .study-link").all_inner_texts()
    return found


def test_filters_stand_in_the_address_and_come_back_from_it(site: Site, visit: Visit) -> None:
    page = visit(site).open("/")
    page.keyboard.press("/")
    page.keyboard.type("IMISED")
    expect(page).to_have_url(re.compile(r"name=IMISED"))
    expect(page.locator("#studies tbody tr")).to_have_count(2)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Name").click()
    expect(page.get_by_role("columnheader", name="Name")).to_have_attribute(
        "aria-sort", "ascending"
    )
    expect(page.locator("#studies tbody tr").first).to_contain_text("maximised")
    other = visit(site).open(page.url)
    expect(other.locator("#studies tbody tr")).to_have_count(2)
    assert names(other) == ["maximised", "minimised"]
    other.get_by_role("button", name="Name").click()
    expect(other.locator("#studies tbody tr").first).to_contain_text("minimised")
    other.get_by_label("State").select_option("failed")
    expect(other.get_by_role("heading", name="No study fits these filters")).to_be_visible()
    other.get_by_role("button", name="Clear the filters").click()
    expect(other.get_by_role("link", name="ordinary", exact=True)).to_be_visible()


def test_two_studies_are_chosen_by_keyboard_and_compared(site: Site, visit: Visit) -> None:
    page = visit(site).open("/?name=imised&sort=name")
    expect(page.locator("#studies tbody tr")).to_have_count(2)
    for key in "jxjx":
        page.keyboard.press(key)
    page.get_by_role("link", name="Compare 2 studies").click()
    both = f"{site.studies['maximised']},{site.studies['minimised']}"
    expect(page).to_have_url(f"{site.url}/compare?ids={both}")


def test_rows_stay_where_they_are_until_they_are_asked_to_move(
    own_site: Site, visit: Visit
) -> None:
    call = own_site.service.call
    first = create(call, "first", box(1), limits={"max_trials": 4}, labels={"team": "vision"})
    create(call, "second", box(1))
    visitor = visit(own_site)
    page = visitor.open("/")
    visitor.live()
    expect(page.locator("#studies tbody tr")).to_have_count(2)
    assert names(page) == ["second", "first"]
    call(
        "POST",
        f"/v1/studies/{first}/trials",
        {"trials": [{"params": {"x0": 0.5}, "values": {"value": 0.25}}]},
    )
    row = page.locator(f'tr[data-id="{first}"]')
    expect(row).to_contain_text("0.25")
    create(call, "third", box(1))
    expect(page.locator("#count")).to_contain_text("2 of 3 studies")
    expect(page.locator("#changed")).to_contain_text("changed place or are new")
    assert names(page) == ["second", "first"]
    page.locator("#changed").get_by_role("button", name="Show").click()
    expect(page.locator("#studies tbody tr")).to_have_count(3)
    assert names(page) == ["third", "first", "second"]
    row.get_by_role("link", name="team=vision").click()
    expect(page.locator("#studies tbody tr")).to_have_count(1)


def test_without_a_study_the_page_says_what_to_type(own_site: Site, visit: Visit) -> None:
    page = visit(own_site, width=390, theme="dark").open("/")
    expect(page.get_by_text(re.compile(r"^tunewell study run .*" + own_site.url))).to_be_visible()
    no_serious_violation(page)
    page.get_by_role("link", name="Try a test function").click()
    expect(page).to_have_url(f"{own_site.url}/new?template=function")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_filters_are_a_sheet_on_a_narrow_screen(site: Site, visit: Visit, theme: str) -> None:
    visitor = visit(site, role=Role.READER, width=390, theme=theme)  # type: ignore[arg-type]
    page = visitor.open("/")
    expect(page.get_by_role("link", name="ordinary", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="New study")).to_be_hidden()
    page.get_by_role("button", name="Filter and sort").click()
    expect(page.get_by_label("State")).to_be_focused()
    visitor.picture(f"studies-sheet-{theme}")
    page.get_by_label("State").select_option("failed")
    no_sideways_scroll(page)
    no_serious_violation(page)
    page.get_by_role("button", name=re.compile(r"^Show \d")).click()
    expect(page.get_by_label("State")).to_be_hidden()
    expect(page).to_have_url(re.compile("state=failed"))

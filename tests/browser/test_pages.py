"""Every page in a real browser: at both widths, in both themes, with every kind of study."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from app.domain.token import Role

from .conftest import Visit
from .looking import no_serious_violation, no_sideways_scroll
from .seeding import HOSTILE, STUDIES
from .site import Site
from .visiting import Theme

PAGES = {
    "studies": "/",
    "new": "/new",
    "study": "/studies/{study}",
    "trial": "/trials/{trial}",
    "compare": "/compare?ids={study},{other}",
    "workers": "/workers",
    "api": "/docs",
}
"""Every page; pictures have these names."""


def address(site: Site, page: str) -> str:
    """Where the page of the ordinary study, of one of its trials, or without one, is."""
    study = site.studies["ordinary"]
    listed = site.service.call("GET", f"/v1/studies/{study}/trials?order_by=number&page_size=1")
    trial = listed["trials"][0]["id"]
    return PAGES[page].format(study=study, other=site.studies["maximised"], trial=trial)


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_whole_accessible_and_fits(
    site: Site, visit: Visit, page: str, width: int, theme: Theme
) -> None:
    visitor = visit(site, width=width, theme=theme)
    shown = visitor.open(address(site, page))
    expect(shown.get_by_role("heading", level=1)).to_be_visible()
    visitor.picture(f"{page}-{width}-{theme}")
    no_sideways_scroll(shown)
    no_serious_violation(shown)
    other: Theme = "dark" if theme == "light" else "light"
    shown.emulate_media(color_scheme=other)
    visitor.settled()
    visitor.picture(f"{page}-{width}-{other}")
    if width < 1000:
        visitor.resize(320)
        no_sideways_scroll(shown)


@pytest.mark.parametrize(
    ("database", "width", "theme"), [("site", 1440, "light"), ("postgres_site", 390, "dark")]
)
@pytest.mark.parametrize("part", [0, 1])
def test_a_study_of_any_kind_is_shown(
    request: pytest.FixtureRequest,
    visit: Visit,
    database: str,
    width: int,
    theme: Theme,
    part: int,
) -> None:
    site: Site = request.getfixturevalue(database)
    visitor = visit(site, role=Role.READER, width=width, theme=theme)
    for name in list(STUDIES)[part::2]:
        study = site.service.study(site.studies[name])
        page = visitor.open(f"/studies/{study['id']}")
        expect(page.get_by_role("heading", level=1)).to_contain_text(study["name"])
        visitor.live()
        visitor.settled()
        no_sideways_scroll(page)
        said = page.inner_text("body")
        assert "undefined" not in said, name
        assert "[object Object]" not in said, name
        assert visitor.watch.faults == [], name


def test_every_study_is_listed_and_opens_by_click(site: Site, visit: Visit) -> None:
    visitor = visit(site)
    page = visitor.open("/")
    for id_ in site.studies.values():
        name = site.service.study(id_)["name"]
        expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
    page.get_by_role("link", name="ordinary", exact=True).click()
    expect(page).to_have_url(f"{site.url}/studies/{site.studies['ordinary']}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("ordinary")


def test_a_study_opens_by_keyboard(site: Site, visit: Visit) -> None:
    visitor = visit(site)
    page = visitor.open("/")
    link = page.get_by_role("link", name="ordinary", exact=True)
    expect(link).to_be_visible()
    for _ in range(80):
        page.keyboard.press("Tab")
        if link.evaluate("(node) => node === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{site.url}/studies/{site.studies['ordinary']}")


@pytest.mark.parametrize("path", ["/", "/studies/{}"])
def test_a_hostile_name_is_text(site: Site, visit: Visit, path: str) -> None:
    visitor = visit(site, width=390)
    dialogs: list[str] = []
    visitor.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page = visitor.open(path.format(site.studies["hostile_name"]))
    expect(page.get_by_text(HOSTILE, exact=True).first).to_be_visible()
    assert page.locator("img[src=x], img[onerror]").count() == 0
    assert not dialogs
    no_sideways_scroll(page)


@pytest.mark.parametrize("path", ["studies/st_0", "trials/tr_0"])
def test_what_does_not_exist_is_said_and_nothing_is_offered_for_it(
    site: Site, visit: Visit, path: str
) -> None:
    visitor = visit(site)
    visitor.watch.expect(f"answered 404: GET .*/{path}")
    visitor.page.goto(f"/{path}0000000000000000000000000")
    said = visitor.page.get_by_role("alert").filter(has_text=path.split("/")[1])
    expect(said).to_contain_text("There is no")
    expect(visitor.page.locator("#main")).to_be_hidden()


def test_in_a_narrow_window_the_open_tab_is_in_sight(site: Site, visit: Visit) -> None:
    page = visit(site, width=390).open(f"/studies/{site.studies['ordinary']}?tab=definition")
    tab = page.locator("#tabs").get_by_role("link", name="Definition")
    expect(tab).to_be_in_viewport(ratio=1)
    assert page.evaluate("scrollY") == 0


def test_an_address_may_name_a_tab_that_the_study_has_not(site: Site, visit: Visit) -> None:
    page = visit(site, width=390).open(f"/studies/{site.studies['ordinary']}?tab=pareto")
    expect(page.locator("#tabs [aria-current]")).to_have_count(0)

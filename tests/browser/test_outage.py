"""The service is killed under an open page: it is said, it heals, no row is lost or doubled."""

from __future__ import annotations

import re
from time import monotonic

from playwright.sync_api import Page, expect

from .conftest import Visit
from .seeding import ask, box, complete, create
from .site import Site

SAID_S = 3.0
"""After that long a lost service is said."""

LOST = """() => [...document.querySelectorAll('[role="status"]')].some(
  (node) => node.innerText.startsWith("not live since"))"""
GONE = r"^failed \(net::ERR_(CONNECTION_\w+|INCOMPLETE_CHUNKED_ENCODING|EMPTY_RESPONSE)\)"


def names(page: Page) -> list[str]:
    """Names of the studies listed, as often as they are listed."""
    links = page.get_by_role("main").get_by_role("link").all()
    is_study = re.compile(r"/studies/[^/?]+$")
    return [one.inner_text() for one in links if is_study.search(one.get_attribute("href") or "")]


def show(page: Page) -> None:
    """New rows wait until the reader asks for them: none moves under the mouse."""
    page.get_by_role("button", name="Show").click()


def test_a_killed_service_is_said_and_heals_without_lost_or_double_rows(
    own_site: Site, visit: Visit
) -> None:
    call = own_site.service.call
    wanted = [f"study {k}" for k in range(5)]
    ids = [create(call, name, box(1)) for name in wanted]
    listing, looking = visit(own_site), visit(own_site)
    for visitor in (listing, looking):
        visitor.watch.expect(GONE)
    listing.open("/")
    page = looking.open(f"/studies/{ids[0]}")
    listing.live()
    looking.live()
    expect(listing.page.locator("#studies tbody tr")).to_have_count(len(wanted))
    assert sorted(names(listing.page)) == wanted

    own_site.service.kill()
    began = monotonic()
    for visitor in (listing, looking):
        visitor.page.wait_for_function(LOST)  # looks at each frame
    assert monotonic() - began < SAID_S
    for visitor in (listing, looking):
        expect(visitor.says("not live since")).to_be_visible()
    assert sorted(names(listing.page)) == wanted

    own_site.service.start()
    [trial] = ask(call, ids[0])
    complete(call, trial, value=0.4321)
    wanted.append("after the outage")
    create(call, wanted[-1], box(1))
    for visitor in (listing, looking):
        visitor.live(timeout_s=40.0)
    show(listing.page)
    expect(listing.page.get_by_role("link", name=wanted[-1])).to_be_visible()
    told = page.get_by_text("0.4321").or_(page.get_by_role("img", name=re.compile("0.4321")))
    expect(told.first).to_be_visible()
    assert sorted(names(listing.page)) == sorted(wanted)
    create(call, "live again", box(1))
    show(listing.page)
    expect(listing.page.get_by_role("link", name="live again")).to_be_visible()
    assert sorted(names(listing.page)) == sorted([*wanted, "live again"])

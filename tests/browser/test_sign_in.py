"""Signing in and out in a real browser, and what a token leaves behind: nothing."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from app.domain.token import Role

from .conftest import Visit
from .seeding import box, create
from .site import Site
from .visiting import Visitor

UNSIGNED = r"answered 401: (GET|PUT) "


def sign_in(page: Page, secret: str) -> None:
    page.get_by_label("Token", exact=True).fill(secret)
    page.get_by_role("button", name="Sign in", exact=True).click()


def form(page: Page) -> object:
    return expect(page.get_by_role("button", name="Sign in", exact=True))


def leaks_nothing(visitor: Visitor, *secrets: str) -> None:
    """No secret can be read by a script, stands in the address, or was sent in one."""
    kept = json.dumps(visitor.kept())
    for secret in secrets:
        assert secret not in kept
    cookies = visitor.context.cookies()
    assert all(one["httpOnly"] and one["sameSite"] == "Strict" for one in cookies)
    assert not any(secret in one["value"] for one in cookies for secret in secrets)


@pytest.mark.parametrize("path", ["/", "/studies/{}"])
@pytest.mark.parametrize("width", [1440, 390])
def test_a_stranger_signs_in_and_sees_the_page_they_came_for(
    site: Site, visit: Visit, path: str, width: int
) -> None:
    visitor = visit(site, role=None, width=width)
    visitor.watch.expect(UNSIGNED)
    asked: list[str] = []
    visitor.page.on("request", lambda request: asked.append(request.url))
    page = visitor.open(path.format(site.studies["ordinary"]))
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    assert "ordinary" not in page.inner_text("body")
    visitor.picture(f"sign-in-{width}")
    secret = site.tokens[Role.READER]
    sign_in(page, secret)
    expect(page.get_by_text("ordinary", exact=True).first).to_be_visible()
    expect(page.get_by_label("Token", exact=True)).to_be_hidden()
    visitor.live()
    expect(page).to_have_url(site.url + path.format(site.studies["ordinary"]))
    leaks_nothing(visitor, secret)
    assert not any(secret in url for url in asked)


def test_a_bad_and_an_expired_token_are_refused_plainly(site: Site, visit: Visit) -> None:
    expired = site.token(Role.ADMIN, expires_in_s=0.01)["secret"]
    visitor = visit(site, role=None)
    visitor.watch.expect(UNSIGNED)
    page = visitor.open("/")
    for secret in ("tw_" + "x" * 40, expired, "<img src=x onerror=alert(1)>"):
        before = page.get_by_role("alert").all_inner_texts()
        sign_in(page, secret)
        expect(page.get_by_role("alert").filter(has_text=re.compile("token"))).to_be_visible()
        expect(page.get_by_label("Token", exact=True)).to_have_value("")
        assert secret not in "".join([*before, page.inner_text("body")])
        leaks_nothing(visitor, secret)
    assert visitor.context.cookies() == []
    sign_in(page, site.tokens[Role.READER])
    expect(page.get_by_text("ordinary", exact=True).first).to_be_visible()
    assert page.get_by_role("alert").all_inner_texts() == []


def test_a_token_revoked_under_an_open_page_is_said_and_another_goes_on(
    own_site: Site, visit: Visit
) -> None:
    study = create(own_site.service.call, "kept", box(1))
    token = own_site.token(Role.SUBMITTER)
    visitor = visit(own_site, role=None)
    visitor.watch.expect(UNSIGNED)
    page = visitor.open(f"/studies/{study}")
    sign_in(page, token["secret"])
    expect(page.get_by_role("heading", level=1)).to_contain_text("kept")
    visitor.live()
    own_site.service.call("DELETE", f"/v1/tokens/{token['id']}")
    create(own_site.service.call, "news", box(1))  # ends a wait, as any change does
    own_site.service.call("POST", f"/v1/studies/{study}:pause")
    expect(page.get_by_label("Token", exact=True)).to_be_visible(timeout=20_000)
    leaks_nothing(visitor, token["secret"])
    sign_in(page, own_site.tokens[Role.READER])
    expect(page.get_by_label("Token", exact=True)).to_be_hidden()
    expect(page.get_by_text("paused").first).to_be_visible()
    visitor.live()


def test_signing_out_forgets_everything(site: Site, visit: Visit) -> None:
    visitor = visit(site)
    visitor.watch.expect(UNSIGNED)
    page = visitor.open("/")
    expect(page.get_by_text("ordinary", exact=True).first).to_be_visible()
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_label("Token", exact=True)).to_be_visible()
    assert "ordinary" not in page.inner_text("body")
    assert visitor.context.cookies() == []
    page.go_back(wait_until="load")
    page.goto(site.url)
    expect(page.get_by_label("Token", exact=True)).to_be_visible()


def test_a_reader_is_not_offered_what_they_may_not_do(site: Site, visit: Visit) -> None:
    verbs = re.compile(r"^(Pause|Stop|Cancel|Resume|Delete|New study)\b(?! view)")
    visitor = visit(site, role=Role.READER)
    page = visitor.open(f"/studies/{site.studies['ordinary']}")
    visitor.live()
    visitor.settled()
    assert page.get_by_role("button", name=verbs).all_inner_texts() == []

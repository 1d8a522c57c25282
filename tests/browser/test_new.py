"""A new study: faults at their fields, JSON pasted, copies made, and nothing typed is ever lost."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

from playwright.sync_api import Page, Route, expect

from app.domain.token import Role

from .conftest import Visit
from .looking import no_serious_violation, no_sideways_scroll
from .site import Site

REFUSED = r"answered (409|422): POST .*/v1/studies"
COPIED = """() => { navigator.clipboard.writeText = (text) => { window.copied = text;
  return Promise.resolve(); }; }"""


def field(page: Page, name: str, part: str) -> Any:
    return page.get_by_role("group", name=part, exact=True).get_by_label(name, exact=True).first


def fill(page: Page, name: str) -> None:
    field(page, "Name", "Study").fill(name)
    page.get_by_label("Evaluated by").select_option("function")
    field(page, "Name", "Parameters").fill("x0")
    field(page, "Low", "Parameters").fill("5")
    field(page, "High", "Parameters").fill("1")


def test_a_fault_stands_at_its_field_and_the_study_is_made_when_it_is_gone(
    site: Site, visit: Visit
) -> None:
    visitor = visit(site, role=Role.SUBMITTER)
    visitor.watch.expect(REFUSED)
    page = visitor.open("/new")
    fill(page, "by-form")
    low = field(page, "Low", "Parameters")
    expect(low).to_have_attribute("aria-invalid", "true")
    expect(page.locator(f"#{low.get_attribute('aria-describedby')}")).to_contain_text("below high")
    no_serious_violation(page)
    field(page, "High", "Parameters").fill("9")
    expect(page.get_by_text("No fault found.")).to_be_visible()
    expect(page.locator("#warnings")).to_contain_text("max_trials")
    page.reload()
    expect(field(page, "High", "Parameters")).to_have_value("9")
    page.get_by_role("button", name="Create study").click()
    expect(page).to_have_url(re.compile(r"/studies/st_\w+$"))
    made = site.service.study(page.url.rpartition("/")[2])
    assert made["definition"]["space"][0] | {"high": 9.0} == made["definition"]["space"][0]
    assert made["definition"]["metrics"][0]["name"] == "value"


def test_a_name_that_is_taken_is_said_and_json_goes_both_ways(site: Site, visit: Visit) -> None:
    visitor = visit(site, role=Role.SUBMITTER, width=390, theme="dark")
    visitor.watch.expect(REFUSED)
    page = visitor.open("/new?template=mnist-asha&tab=json")
    text = page.get_by_label("The definition as JSON; paste one here, or change it")
    expect(text).to_have_value(re.compile("mnist-asha"))
    pasted = json.loads(text.input_value()) | {"name": "ordinary"}
    text.fill(json.dumps(pasted)[:-1])
    expect(page.locator("#json-fault")).to_contain_text("no JSON yet")
    text.fill(json.dumps(pasted))
    page.get_by_role("button", name="Create study").click()
    expect(field(page, "Name", "Study")).to_be_focused()
    expect(page.locator("#faults")).to_contain_text("already")
    expect(field(page, "is one of", "Parameters")).to_have_value("batchnorm")
    no_sideways_scroll(page)
    no_serious_violation(page)


def test_a_check_that_answers_late_does_not_take_a_refusal_away(site: Site, visit: Visit) -> None:
    visitor = visit(site, role=Role.SUBMITTER)
    visitor.watch.expect(REFUSED)
    page = visitor.open("/new?template=function")
    expect(page.get_by_text("No fault found.")).to_be_visible()
    held: list[Route] = []
    page.route(re.compile("dry_run"), lambda route: held.append(route))
    with page.expect_request(re.compile("dry_run")):
        field(page, "Name", "Study").fill("ordinary")
    page.get_by_role("button", name="Create study").click()
    expect(page.locator("#faults")).to_contain_text("already")
    with page.expect_response(re.compile("dry_run")):
        held[0].continue_()
    page.evaluate("() => new Promise((shown) => setTimeout(shown, 0))")
    expect(page.locator("#faults")).to_contain_text("already")
    expect(page.locator("#checked")).to_have_text("1 fault.")
    assert len(held) == 1


def test_a_copy_of_a_study_runs_from_the_copied_command(site: Site, visit: Visit) -> None:
    visitor = visit(site, role=Role.SUBMITTER)
    page = visitor.open(f"/new?from={site.studies['conditional']}")
    expect(field(page, "Name", "Study")).to_have_value("mixed conditional-2")
    expect(page.get_by_text("No fault found.")).to_be_visible()
    page.evaluate(COPIED)
    page.get_by_role("button", name="Copy as curl").click()
    command = page.evaluate("window.copied")
    assert site.tokens[Role.SUBMITTER] not in command
    ran = subprocess.run(
        ["bash", "-c", command],
        env={"TUNEWELL_TOKEN": site.tokens[Role.SUBMITTER], "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert json.loads(ran.stdout)["name"] == "mixed conditional-2"


def test_what_was_typed_outlives_a_revoked_token_and_a_lost_service(
    own_site: Site, visit: Visit
) -> None:
    token = own_site.token(Role.SUBMITTER)
    visitor = visit(own_site, role=None)
    visitor.watch.expect(r"answered 401|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE|ERR_EMPTY|ERR_FAILED")
    page = visitor.open("/new?template=function")
    page.get_by_label("Token", exact=True).fill(token["secret"])
    page.get_by_role("button", name="Sign in", exact=True).click()
    field(page, "Name", "Study").fill("typed")
    own_site.service.call("DELETE", f"/v1/tokens/{token['id']}")
    page.get_by_role("button", name="Create study").click()
    expect(page.get_by_role("alert").filter(has_text="revoked")).to_be_visible()
    expect(field(page, "Name", "Study")).to_have_value("typed")
    page.get_by_label("Token", exact=True).fill(own_site.tokens[Role.SUBMITTER])
    own_site.service.call("GET", "/v1/meta")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page).to_have_url(re.compile(r"/studies/st_\w+$"))
    page = visitor.open("/new?template=function")
    field(page, "Name", "Study").fill("typed again")
    own_site.service.end()
    page.get_by_role("button", name="Create study").click()
    expect(page.locator("#outcome")).to_contain_text("Nothing typed is lost")
    expect(field(page, "Name", "Study")).to_have_value("typed again")


def test_a_reader_is_told_that_this_takes_another_token(site: Site, visit: Visit) -> None:
    page = visit(site, role=Role.READER).open("/new")
    expect(page.get_by_text("that takes a submitter's")).to_be_visible()
    expect(page.get_by_role("button", name="Create study")).to_be_hidden()

"""The study's page by hand: what is picked, sorted, typed, copied and shared; live news."""

from __future__ import annotations

import ast
import json
import shlex
import subprocess
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from app.domain.token import Role

from .conftest import Visit
from .looking import no_serious_violation, no_sideways_scroll
from .seeding import ask, box, bring, complete, create, finished
from .site import Site
from .visiting import Theme


def numbers(page: Page) -> list[int]:
    """Numbers of the trials in the table, from above."""
    rows: list[int] = page.locator("#trials tbody tr").evaluate_all(
        "(rows) => rows.map((row) => Number(row.dataset.number))"
    )
    return rows


def drag(chart: Locator, begin: tuple[float, float], end: tuple[float, float]) -> None:
    """Draws from one place of a chart to another, in shares of its width and height."""
    chart.scroll_into_view_if_needed()
    expect(chart.locator("xpath=ancestor::section")).to_have_attribute("data-drawn", "true")
    found = chart.bounding_box()
    assert found is not None
    mouse = chart.page.mouse
    places = [
        (found["x"] + x * found["width"], found["y"] + y * found["height"]) for x, y in (begin, end)
    ]
    mouse.move(*places[0])
    mouse.down()
    mouse.move(*places[1], steps=5)
    mouse.up()


def test_what_is_drawn_over_or_typed_picks_trials_everywhere(site: Site, visit: Visit) -> None:
    visitor = visit(site, role=Role.READER)
    page = visitor.open(f"/studies/{site.studies['minimised']}")
    drag(page.locator("#slice .chart"), (0.3, 0.4), (0.6, 0.5))
    expect(page.locator("#trials-title")).to_contain_text("selected of 40")
    low = float(page.get_by_role("textbox", name="x0 from").first.input_value())
    high = float(page.get_by_role("textbox", name="x0 to").first.input_value())
    assert 0 < low < high < 1
    path = f"/v1/studies/{site.studies['minimised']}/trials"
    wanted = site.service.call("GET", f"{path}?where=x0:{low}..{high}&order_by=value")["trials"]
    expect(page.locator("#trials tbody tr")).to_have_count(len(wanted))
    assert numbers(page) == [trial["number"] for trial in wanted]

    page.get_by_role("textbox", name="x0 from").first.fill("0.5")
    page.get_by_role("textbox", name="x0 to").first.fill("")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="x0 from 0.5")).to_be_visible()
    page.get_by_role("button", name="x2", exact=True).click()
    expect(page.get_by_role("columnheader", name="x2")).to_have_attribute("aria-sort", "ascending")
    expect(page.get_by_role("button", name="x2")).to_be_focused()

    csv = page.get_by_role("link", name="CSV").get_attribute("href")
    lines = visitor.context.request.get(csv or "").text().splitlines()
    assert [int(line.split(",")[0]) for line in lines[1:]] == numbers(page)

    other = visit(site, role=Role.READER, width=390).open(page.url)
    expect(other.locator("#trials tbody tr")).to_have_count(len(lines) - 1)
    assert numbers(other) == numbers(page)


def test_the_copied_call_returns_what_is_shown(
    site: Site, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = visit(site, role=Role.READER)
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visitor.open(
        f"/studies/{site.studies['conditional']}?tab=trials&sel=model:linear,penalty:0.2.."
    )
    expect(page.locator("#trials tbody tr").first).to_be_visible()
    wanted = numbers(page)
    line = _copied(page, "curl")
    assert "$TUNEWELL_TOKEN" in line
    told = shlex.split(line.replace("$TUNEWELL_TOKEN", site.tokens[Role.READER]))
    answer = subprocess.run(told, capture_output=True, text=True, check=True, timeout=20)
    assert [trial["number"] for trial in json.loads(answer.stdout)["trials"]] == wanted
    monkeypatch.setenv("TUNEWELL_TOKEN", site.tokens[Role.READER])
    found: dict[str, Any] = {}
    exec(_copied(page, "Python"), found)
    found["client"].close()
    assert [trial["number"] for trial in found["trials"]] == wanted


def _copied(page: Page, what: str) -> str:
    page.get_by_role("button", name=f"Copy {what}").click()
    expect(page.get_by_text(f"Copied {what}.")).to_be_visible()
    return str(page.evaluate("() => navigator.clipboard.readText()"))


def test_a_charts_table_holds_its_columns(site: Site, visit: Visit) -> None:
    study = site.studies["minimised"]
    page = visit(site, role=Role.READER).open(f"/studies/{study}")
    columns = site.service.call("GET", f"/v1/studies/{study}/analysis/history")["columns"]
    page.locator("#history summary").click()
    expect(page.locator("#history tbody tr")).to_have_count(len(columns["number"]))
    cells = page.locator("#history tbody tr").evaluate_all(
        "(rows) => rows.map((row) => [row.cells[0].textContent, row.cells[2].textContent])"
    )
    shown = [(int(number), float(value)) for number, value in cells]
    assert shown == list(zip(columns["number"], columns["value"], strict=True))


def test_the_call_that_a_plot_copies_brings_its_columns(
    site: Site, visit: Visit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = site.studies["minimised"]
    visitor = visit(site, role=Role.READER)
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visitor.open(f"/studies/{study}?tab=parameters&x=x1")
    expect(page.locator("#slice").first).to_have_attribute("data-drawn", "true")
    page.locator("#slice summary").first.click()
    page.locator("#slice").get_by_role("button", name="Copy Python").click()
    expect(page.get_by_text("Copied Python.")).to_be_visible()
    monkeypatch.setenv("TUNEWELL_TOKEN", site.tokens[Role.READER])
    exec(str(page.evaluate("() => navigator.clipboard.readText()")), {})
    found = ast.literal_eval(capsys.readouterr().out)
    assert [each["param"] for each in found["slices"]] == ["x1"]
    path = f"/v1/studies/{study}/analysis/slice?param=x1"
    assert found["slices"] == site.service.call("GET", path)["slices"]


def test_a_maximised_study_looks_like_its_negated_twin(site: Site, visit: Visit) -> None:
    page = visit(site, role=Role.READER).open(f"/studies/{site.studies['maximised']}")
    said = [_said(page)]
    page.goto(f"/studies/{site.studies['minimised']}")
    said.append(_said(page))
    assert said[0] == said[1]


def _said(page: Page) -> list[Any]:
    """The best trial, the table's order and where the best fifth lies, as the page says them."""
    expect(page.locator("#slice")).to_have_attribute("data-drawn", "true")
    expect(page.locator("#trials tbody tr").first).to_be_visible()
    said = page.locator("#slice .chart").get_attribute("aria-label")
    return [page.locator("#best a").inner_text(), numbers(page), said]


def test_new_trials_wait_while_the_pointer_is_in_the_table(site: Site, visit: Visit) -> None:
    call = site.service.call
    study = create(call, "while one looks", box(2), limits={"max_trials": 30})
    bring(call, study, finished(12, 2, 0))
    visitor = visit(site, role=Role.READER)
    page = visitor.open(f"/studies/{study}?tab=trials")
    visitor.live()
    row = page.locator("#trials tbody tr").nth(2)
    row.hover()
    before = numbers(page)
    for trial in ask(call, study, 2):
        complete(call, trial, value=0.0)
    waiting = page.get_by_role("button", name="2 changed trials: show")
    expect(waiting).to_be_visible()
    expect(page.locator("#counts")).to_contain_text("14 of 30")
    assert numbers(page) == before
    waiting.click()
    expect(page.locator("#trials tbody tr")).to_have_count(14)
    assert set(numbers(page)[:2]) == {13, 14}
    expect(page.locator("#best")).to_contain_text("best 0")


def test_rows_are_walked_and_picked_by_keys_and_found_by_number(site: Site, visit: Visit) -> None:
    page = visit(site, role=Role.READER).open(
        f"/studies/{site.studies['minimised']}?tab=trials&sort=number"
    )
    expect(page.locator("#trials tbody tr").first).to_be_visible()
    for key in "jjx":
        page.keyboard.press(key)
    expect(page).to_have_url(
        f"{site.url}/studies/{site.studies['minimised']}?tab=trials&sort=number&at=2"
    )
    page.keyboard.press("/")
    page.keyboard.type("#7")
    page.keyboard.press("Enter")
    expect(page.locator("#trials tbody tr")).to_have_count(1)
    assert numbers(page) == [7]
    page.get_by_role("link", name="Parameters").click()
    expect(page.locator("#contour")).to_have_attribute("data-drawn", "true")
    page.go_back()
    expect(page.locator("#trials tbody tr")).to_have_count(1)


def test_what_cannot_be_drawn_says_why(site: Site, visit: Visit) -> None:
    visitor = visit(site, role=Role.READER)
    page = visitor.open(f"/studies/{site.studies['one_parameter']}")
    expect(page.get_by_text("The parallel view needs two parameters")).to_be_attached()
    page = visitor.open(f"/studies/{site.studies['wild_values']}")
    expect(page.locator("#history").get_by_role("button", name="2 outside")).to_be_visible()
    log = page.locator("#history").get_by_role("button", name="log")
    log.press("Enter")
    expect(
        page.get_by_role("status").filter(has_text="A log axis needs values above 0")
    ).to_be_visible()
    expect(log).to_have_attribute("aria-pressed", "false")
    page = visitor.open(f"/studies/{site.studies['all_failed']}?wat=1")
    expect(page.get_by_text("10 trials failed. The Failures tab says why.")).to_be_visible()
    expect(page.get_by_text("does not know wat in its address")).to_be_visible()


@pytest.mark.parametrize(("width", "theme"), [(1440, "dark"), (390, "light")])
def test_table_and_parameters_are_accessible_and_fit(
    site: Site, visit: Visit, width: int, theme: Theme
) -> None:
    visitor = visit(site, role=Role.READER, width=width, theme=theme)
    picked = "sel=model:boosting,rate:0.01..&state=completed&x=model&y=rate"
    for tab in ("trials", "parameters"):
        page = visitor.open(f"/studies/{site.studies['conditional']}?tab={tab}&{picked}")
        panel = page.locator("#trials tbody tr, #contour[data-drawn]").first
        expect(panel).to_be_attached()
        no_sideways_scroll(page)
        no_serious_violation(page)

"""Tabs of a study beside its plots of values, and what one may do to a study."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from app.domain.token import Role

from .conftest import Visit
from .looking import no_serious_violation, no_sideways_scroll
from .seeding import box, create, finished
from .site import Site
from .test_trial import change
from .visiting import Theme

TABS = {
    "timeline": ("several_workers", "14 of 14 attempts shown"),
    "rungs": ("ordinary", "of 16 trials shown"),
    "pareto": ("two_metrics", "30 of 30 trials shown"),
    "suggester": ("ordinary", ""),
    "failures": ("all_failed", "2 groups shown"),
    "definition": ("conditional", "Versions are those"),
}
"""A study that fills each tab, and what its caption says."""

EMPTY = {
    "timeline": "Nothing has run yet",
    "rungs": "No early stopping in this study",
    "pareto": "A front takes two objectives",
    "suggester": "not active in any trial",
    "failures": "Nothing has failed",
}
"""What a tab says of a study without a trial."""


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_tabs_are_whole_accessible_and_fit(
    site: Site, visit: Visit, width: int, theme: Theme
) -> None:
    visitor = visit(site, role=Role.READER, width=width, theme=theme)
    for tab, (study, said) in TABS.items():
        page = visitor.open(f"/studies/{site.studies[study]}?tab={tab}")
        expect(page.locator("#view")).to_contain_text(said)
        visitor.settled()
        visitor.picture(f"study-{tab}-{width}-{theme}")
        no_sideways_scroll(page)
        no_serious_violation(page)
        assert "undefined" not in page.inner_text("body"), tab
        assert visitor.watch.faults == [], tab


def test_empty_tabs_say_what_is_missing(site: Site, visit: Visit) -> None:
    visitor = visit(site, role=Role.READER, width=390)
    for tab, said in EMPTY.items():
        page = visitor.open(f"/studies/{site.studies['no_trial']}?tab={tab}")
        expect(page.locator("#view")).to_contain_text(said)


def test_the_table_of_a_plot_equals_its_columns(site: Site, visit: Visit) -> None:
    visitor = visit(site, role=Role.READER)
    study = site.studies["several_workers"]
    page = visitor.open(f"/studies/{study}?tab=timeline")
    page.locator("#timeline summary").click()
    columns = site.service.call("GET", f"/v1/studies/{study}/analysis/timeline")["columns"]
    rows = page.locator("#timeline tbody tr")
    expect(rows).to_have_count(len(columns["number"]))
    cells = [row.locator("th, td").all_inner_texts() for row in rows.all()]
    slots = ["-" if slot is None else str(slot) for slot in columns["slot"]]
    assert {"-", "0", "1"} == set(slots)
    assert [row[0] for row in cells] == [str(number) for number in columns["number"]]
    assert [row[1] for row in cells] == [str(attempt) for attempt in columns["attempt"]]
    assert [row[3] for row in cells] == slots


def test_the_rungs_count_the_trials_that_the_head_counts(site: Site, visit: Visit) -> None:
    study = site.studies["ordinary"]
    page = visit(site, role=Role.READER).open(f"/studies/{study}?tab=rungs")
    shown = page.locator("#counts").inner_text()
    columns = site.service.call("GET", f"/v1/studies/{study}/analysis/rungs")["columns"]
    rows = zip(columns["bracket"], columns["rung"], columns["n_entered"], strict=True)
    entered = sum(n for _, rung, n in rows if rung == 0)
    done, *others = re.findall(r"(\d+) (?:of|running|paused|failed)", shown)
    counts = site.service.call("GET", f"/v1/studies/{study}")["trial_counts"]
    assert int(done) == counts["completed"] + counts["stopped"]
    assert entered == int(done) + sum(map(int, others)) + counts.get("paused", 0)


def test_a_window_of_the_timeline_stands_in_the_address(site: Site, visit: Visit) -> None:
    visitor = visit(site, role=Role.READER)
    page = visitor.open(f"/studies/{site.studies['several_workers']}?tab=timeline")
    expect(page.get_by_role("button", name="Whole")).to_be_disabled()
    with page.expect_response(lambda answer: "from_s=90000" in answer.url):
        page.get_by_label("from, s").fill("90000")
        page.keyboard.press("Enter")
    expect(page.locator("#timeline")).to_contain_text("2 of 2 attempts")  # those that run
    assert "from=90000" in page.url
    page.get_by_role("button", name="Whole").click()
    expect(page.locator("#timeline .caption")).to_contain_text("14 of 14 attempts shown")


def own_study(site: Site, name: str) -> str:
    study = create(site.service.call, name, box(2))
    trials = list(finished(2, 2, 0))
    site.service.call("POST", f"/v1/studies/{study}/trials", {"trials": trials})
    return study


def more(page: Page, item: str) -> None:
    """Chooses an entry of the menu."""
    page.locator("#actions summary").click()
    page.get_by_role("button", name=item).click()


def test_a_study_is_paused_stopped_deleted_and_brought_back(site: Site, visit: Visit) -> None:
    study = own_study(site, "acted on")
    visitor = visit(site)
    visitor.watch.expect("answered 404")  # what is deleted cannot be read
    page = visitor.open(f"/studies/{study}?tab=definition")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.locator("#state")).to_contain_text("paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#state")).to_contain_text("active")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("dialog")).to_contain_text("No new trials; none is running")
    expect(page.get_by_role("button", name="Keep going")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert site.service.study(study)["state"] == "active"
    more(page, "Delete study")
    page.locator("#toasts").get_by_role("button", name="Undo").click()
    expect(page.locator("#toasts")).to_contain_text("The study is back")
    assert site.service.study(study)["state"] == "active"


def test_limits_are_edited_with_faults_at_their_field_and_others_changes_told(
    site: Site, visit: Visit
) -> None:
    study = own_study(site, "limited")
    visitor = visit(site)
    visitor.watch.expect("answered 4(12|22)")
    page = visitor.open(f"/studies/{study}?tab=definition")
    more(page, "Edit limits")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Trials at most").fill("-3")
    dialog.get_by_role("button", name="Save limits").click()
    fault = dialog.locator(".field", has_text="Trials at most").locator(".fault")
    expect(fault).to_contain_text("Must be >= 1")
    dialog.get_by_label("Trials at most").fill("70")
    change(site, f"/v1/studies/{study}", {"limits": {"max_parallel": 3}})
    dialog.get_by_role("button", name="Save limits").click()
    expect(dialog).to_contain_text("max parallel is 3 now")
    expect(dialog.get_by_label("Trials at the same time")).to_have_value("3")
    dialog.get_by_role("button", name="Save limits").click()
    expect(dialog).to_have_count(0)
    limits = site.service.study(study)["definition"]["limits"]
    assert (limits["max_trials"], limits["max_parallel"]) == (70, 3)


def test_a_point_like_the_picked_one_is_offered_and_what_fails_is_explained(
    site: Site, visit: Visit
) -> None:
    study = own_study(site, "like that one")
    first = site.service.call("GET", f"/v1/studies/{study}/trials?where=number:1")["trials"][0]
    page = visit(site).open(f"/studies/{study}?tab=trials&at=1")
    page.get_by_role("button", name="Enqueue like 1").click()
    typed = page.get_by_role("dialog").get_by_label("x0").input_value()
    assert float(typed) == first["params"]["x0"]
    page.goto(f"/studies/{study}?tab=parameters")
    page.get_by_label("What is explained").select_option("failed")
    expect(page.locator("#importance")).to_contain_text("Needs 10 ended trials, 2 so far")
    assert "target=failed" in page.url


def test_a_reader_is_offered_no_action(site: Site, visit: Visit) -> None:
    visitor = visit(site, role=Role.READER)
    page = visitor.open(f"/studies/{site.studies['ordinary']}?tab=definition")
    expect(page.locator("#view")).to_contain_text("Provenance")
    for name in ("Pause", "Stop", "Edit limits", "Delete study"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    expect(page.get_by_role("link", name="Clone study")).to_have_count(0)

"""Studies side by side: lines over trials and time, differences, and what does not fit is said."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from app.domain.token import Role

from .conftest import Visit
from .looking import no_serious_violation, no_sideways_scroll
from .seeding import box, create
from .site import Site


def test_studies_of_one_metric_are_laid_over_one_another(site: Site, visit: Visit) -> None:
    ids = ",".join(site.studies[name] for name in ("minimised", "one_parameter", "maximised"))
    visitor = visit(site, role=Role.READER)
    page = visitor.open(f"/compare?ids={ids}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Compare 2 studies by value")
    expect(page.locator("#refused")).to_contain_text("maximises value")
    chart = page.get_by_role("img", name=re.compile("minimised: best value .*one parameter: best"))
    expect(chart).to_be_visible()
    expect(page.locator("#best[data-drawn]")).to_be_visible()
    page.get_by_role("button", name="by time").click()
    expect(page).to_have_url(re.compile("x=elapsed"))
    expect(page.locator("#differences").locator("..")).to_contain_text("space.x1")
    best = site.service.study(site.studies["minimised"])["best"]
    row = page.get_by_role("row", name=re.compile(r"^Trial\b")).first
    expect(row.get_by_role("link").first).to_have_attribute("href", f"/trials/{best['id']}")
    no_serious_violation(page)
    page.get_by_role("button", name="Take maximised out").click()
    expect(page.locator("#refused")).to_be_empty()
    page.go_back()
    expect(page.locator("#refused")).to_contain_text("maximised")


def test_a_seed_is_shown_with_all_its_digits(site: Site, visit: Visit) -> None:
    ids = ",".join(
        create(
            site.service.call, f"seed {seed}", box(1), suggester={"name": "random", "seed": seed}
        )
        for seed in (7, 1_250_413_454)
    )
    page = visit(site, role=Role.READER).open(f"/compare?ids={ids}")
    row = page.get_by_role("row", name="suggester.seed")
    expect(row.get_by_role("cell", name="1250413454")).to_be_visible()


def test_a_study_is_added_by_keyboard_on_a_narrow_screen(site: Site, visit: Visit) -> None:
    visitor = visit(site, role=Role.READER, width=390, theme="dark")
    visitor.watch.expect(r"answered 404: GET .*st_nowhere")
    page = visitor.open("/compare")
    expect(page.get_by_role("heading", name="Choose two studies or more")).to_be_visible()
    page.goto(f"/compare?ids=st_nowhere,{site.studies['two_metrics']}")
    expect(page.locator("#refused")).to_contain_text("there is no such study")
    expect(page.locator("#refused")).to_contain_text("2 objectives")
    page.goto(f"/compare?ids={site.studies['minimised']}")
    page.get_by_label("Add").select_option(label="one parameter")
    page.get_by_role("button", name="Add").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Compare 2 studies")
    no_sideways_scroll(page)

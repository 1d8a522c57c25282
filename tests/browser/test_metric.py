"""Plots of a study with several metrics follow the one that the address names."""

from __future__ import annotations

from playwright.sync_api import expect

from app.domain.token import Role

from .conftest import Visit
from .looking import no_serious_violation, no_sideways_scroll
from .site import Site


def test_every_plot_follows_the_metric_that_is_chosen(site: Site, visit: Visit) -> None:
    study = site.studies["two_metrics"]
    visitor = visit(site, role=Role.READER)
    page = visitor.open(f"/studies/{study}")
    expect(page.locator("#history h2")).to_contain_text("Best so far: accuracy")
    page.get_by_label("Plots are of").select_option("latency_ms")
    for plot in ("history", "importance", "curves", "slice", "parallel"):
        panel = page.locator(f"#{plot}")
        panel.scroll_into_view_if_needed()
        expect(panel.locator("h2")).to_contain_text(": latency_ms")
    visitor.settled()
    assert "metric=latency_ms" in page.url
    asked = f"/v1/studies/{study}/analysis/history?metric=latency_ms"
    best = site.service.call("GET", asked)["best"][0]
    chart = page.locator("#history .chart")
    said = chart.get_attribute("aria-label")
    assert said is not None
    assert said.startswith("Best latency_ms ")
    assert f"at trial {best['number'][-1]};" in said
    expect(page.locator("#parallel .ranges legend", has_text="accuracy")).to_have_count(0)
    page.evaluate("scrollTo(0, 0)")
    visitor.picture("study-metric-1440-light")
    page.get_by_role("link", name="Timeline").click()
    expect(page.get_by_label("Plots are of")).to_be_hidden()
    page.get_by_role("link", name="Suggester").click()
    expect(page.locator("#surrogate")).to_contain_text("has a model of accuracy only")


def test_a_shared_address_with_a_metric_shows_it_at_once(site: Site, visit: Visit) -> None:
    study = site.studies["two_metrics"]
    visitor = visit(site, role=Role.READER, width=390, theme="dark")
    page = visitor.open(f"/studies/{study}?metric=latency_ms")
    expect(page.get_by_label("Plots are of")).to_have_value("latency_ms")
    expect(page.locator("#history h2")).to_contain_text("Best so far: latency_ms")
    no_sideways_scroll(page)
    no_serious_violation(page)
    visitor.picture("study-metric-390-dark")


def test_an_unknown_metric_in_the_address_is_told_with_those_there_are(
    site: Site, visit: Visit
) -> None:
    visitor = visit(site, role=Role.READER)
    visitor.watch.expect("answered 422")
    page = visitor.open(f"/studies/{site.studies['two_metrics']}?metric=speed")
    expect(page.locator("#history")).to_contain_text("the study has accuracy, latency_ms")
    page.get_by_label("Plots are of").select_option("accuracy")
    expect(page.locator("#history .caption")).to_contain_text("30 of 30 shown")
    assert "metric" not in page.url

"""A fault in a page does not go unseen, and what is looked for would be found."""

from __future__ import annotations

import pytest

from .conftest import Visit
from .looking import no_serious_violation, no_sideways_scroll
from .site import Site
from .visiting import Visitor

FAULTS = {
    "console error: oh": "console.error('oh')",
    "uncaught: oh": "setTimeout(() => { throw new Error('oh') })",
    "Content Security Policy": "document.body.setAttribute('style', 'color: red')",
    "answered 404: GET": "fetch('/static/none.js')",
}


@pytest.fixture
def visitor(site: Site, visit: Visit) -> Visitor:
    made = visit(site)
    made.open("/docs")
    return made


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_noted_until_it_is_expected(visitor: Visitor, fault: str) -> None:
    assert visitor.watch.faults == []
    visitor.page.evaluate(f"() => {{ {FAULTS[fault]} }}")
    for _ in range(50):
        if visitor.watch.faults:
            break
        visitor.page.wait_for_timeout(50)  # lets the browser's messages come in
    assert any(fault in said for said in visitor.watch.faults)
    visitor.watch.expect(".")
    assert visitor.watch.faults == []


def test_a_page_that_is_not_accessible_or_too_wide_fails(visitor: Visitor) -> None:
    no_serious_violation(visitor.page)
    visitor.page.evaluate(
        """() => {
          document.body.append(document.createElement("button"));
          const wide = document.createElement("pre");
          wide.style.width = "3000px";
          document.querySelector("main").append(wide);
        }"""
    )
    with pytest.raises(AssertionError, match="button-name"):
        no_serious_violation(visitor.page)
    with pytest.raises(AssertionError, match="the page is"):
        no_sideways_scroll(visitor.page)

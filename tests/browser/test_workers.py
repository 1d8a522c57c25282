"""The workers: what they are, what they hold, and draining by those who may."""

from __future__ import annotations

from playwright.sync_api import expect

from app.domain.token import Role

from .conftest import Visit
from .looking import no_serious_violation, no_sideways_scroll
from .site import Site

GIB = 2**30
HOSTILE = "<b>w</b>" + "x" * 150


def filled(site: Site) -> str:
    """Two workers, one with a GPU half full and a trial; its study's id."""
    call = site.service.call
    device = {"index": 0, "kind": "gpu", "model": "H200", "memory_total_bytes": 100 * GIB}
    call("POST", "/v1/workers", {"name": HOSTILE, "boot_id": "1"})
    gpu = {"name": "gpu-a", "boot_id": "1", "devices": [device], "objectives": ["function"]}
    worker = call("POST", "/v1/workers", gpu | {"slots": 2})["id"]
    space = [{"name": "x0", "type": "float", "low": 0, "high": 1}]
    study = {
        "name": "held",
        "space": space,
        "metrics": [{"name": "value", "direction": "minimize"}],
    }
    made = call("POST", "/v1/studies", study | {"objective": {"name": "function"}})["id"]
    free = [{"index": 0, "memory_free_bytes": 40 * GIB}]
    asked = {"worker_id": worker, "devices_free": free, "wait_s": 10}
    (lease,) = call("POST", "/v1/leases:claim", asked)["leases"]
    beat = {"lease_id": lease["lease_id"], "memory_bytes": 3 * GIB, "utilisation": 0.83}
    call("POST", "/v1/leases:heartbeat", {"leases": [beat]})
    return str(made)


def test_an_admin_sees_what_runs_where_and_drains(own_site: Site, visit: Visit) -> None:
    study = filled(own_site)
    visitor = visit(own_site)
    page = visitor.open("/workers")
    card = page.get_by_role("region", name="gpu-a")
    expect(card).to_contain_text("1 of 2 slots")
    expect(card).to_contain_text("3.0 GiB, busy 83 %")
    expect(card).to_contain_text("60.0 GiB of 100.0 GiB in use or kept for what runs")
    expect(card.get_by_role("link", name="held")).to_have_attribute("href", f"/studies/{study}")
    expect(page.get_by_role("heading", name=HOSTILE)).to_be_visible()
    no_serious_violation(page)
    card.get_by_role("button", name="Drain").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("the 1 trial running on it may end")
    expect(dialog.get_by_role("button", name="Keep it working")).to_be_focused()
    dialog.get_by_role("button", name="Drain").click()
    expect(card).to_contain_text("draining")
    page.get_by_role("button", name="Undo").click()
    expect(card.get_by_role("button", name="Drain")).to_be_visible()
    visitor.resize(390)
    no_sideways_scroll(page)
    submitter = visit(own_site, role=Role.SUBMITTER).open("/workers")
    expect(submitter.get_by_role("region", name="gpu-a")).to_be_visible()
    expect(submitter.get_by_role("button", name="Drain")).to_be_hidden()


def test_without_a_worker_the_page_says_what_to_type(own_site: Site, visit: Visit) -> None:
    page = visit(own_site, role=Role.READER, width=390, theme="dark").open("/workers")
    command = page.get_by_text(f"tunewell worker run --url {own_site.url}", exact=True)
    expect(command).to_be_visible()
    no_serious_violation(page)

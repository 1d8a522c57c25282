"""The metrics page: what is counted, under which labels, and what it costs."""

from __future__ import annotations

import time

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.metrics import Metrics
from app.service import gauges as gauges_module
from app.service.services import Services
from app.store import gauges

from .conftest import ask, create, tell

pytestmark = pytest.mark.anyio

Labels = dict[str, str]


async def scraped(http: httpx.AsyncClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of the page, by name and sorted labels."""
    answer = await http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def labels(**given: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(given.items()))


async def test_requests_are_counted_by_template_method_and_status(http: httpx.AsyncClient) -> None:
    study = await create(http)
    for _ in range(3):
        await http.get(f"/v1/studies/{study['id']}")
    await http.get("/v1/studies/st_nothing")
    await http.get("/no/such/path")
    await http.request("BREW", "/v1/studies")
    page = await scraped(http)
    name, get_one = "tunewell_http_request_seconds_count", "/v1/studies/{study_id}"
    assert page[name, labels(route=get_one, method="GET", status="200")] == 3
    assert page[name, labels(route=get_one, method="GET", status="404")] == 1
    assert page[name, labels(route="/v1/studies", method="POST", status="201")] == 1
    assert page[name, labels(route="unmatched", method="GET", status="404")] == 1
    assert page[name, labels(route="/v1/studies", method="other", status="405")] == 1
    assert not [key for key in page if study["id"] in str(key) and key[0] == name]


async def test_strangers_cannot_make_the_page_grow(http: httpx.AsyncClient) -> None:
    for n in range(50):
        await http.request(f"VERB{n}", f"/path/{n}")
    page = await scraped(http)
    counts = [key for key in page if key[0] == "tunewell_http_request_seconds_count"]
    assert len(counts) == 1


async def test_the_queue_leases_and_claims_are_shown(
    http: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gauges_module, "KEPT_S", 0.0)
    objective = {"name": "function", "options": {"function": "sphere"}}
    space = [{"name": "x0", "type": "float", "low": 0, "high": 1}]
    study = await create(http, objective=objective, space=space)
    points = {"trials": [{"params": {"x0": 0.1}}, {"params": {"x0": 0.2}}]}
    await http.post(f"/v1/studies/{study['id']}/trials", json=points)
    body = {"name": "w", "boot_id": "1", "objectives": ["function"]}
    worker_id = (await http.post("/v1/workers", json=body)).json()["id"]
    claimed = await http.post("/v1/leases:claim", json={"worker_id": worker_id})
    assert len(claimed.json()["leases"]) == 1
    page = await scraped(http)
    assert page["tunewell_study_trials_pending", labels(study=study["id"])] == 1
    assert page["tunewell_study_trials_running", labels(study=study["id"])] == 1
    assert page["tunewell_leases_active", ()] == 1
    assert page["tunewell_leases_overdue", ()] == 0
    assert page["tunewell_claims_total", labels(outcome="granted")] == 1
    assert page["tunewell_trials_granted_total", labels(holder="worker")] == 1
    assert page["tunewell_workers_seen", ()] == 1
    assert page["tunewell_studies", labels(state="active")] == 1
    assert page["tunewell_database_size_bytes", ()] > 10_000
    assert page["tunewell_writes_total", ()] >= 4
    assert page["tunewell_build_info", labels(version=_version(services), database="sqlite")] == 1


def _version(services: Services) -> str:
    return str(services.meta()["version"])


async def test_a_lease_that_ran_out_and_writes_under_it_are_counted(
    http: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gauges_module, "KEPT_S", 0.0)
    study = await create(http)
    trial = await ask(http, study["id"])
    services.store.clock.offset_s = 1_000
    assert (await scraped(http))["tunewell_leases_overdue", ()] == 1
    services.sweeper.sweep_leases(services.store.now())
    again = await ask(http, study["id"])
    assert again["id"] == trial["id"]
    stale = {"lease_id": trial["lease_id"], "values": {"value": 1}}
    assert (await http.post(f"/v1/trials/{trial['id']}:complete", json=stale)).status_code == 409
    await http.post("/v1/leases:heartbeat", json={"leases": [{"lease_id": trial["lease_id"]}]})
    page = await scraped(http)
    assert page["tunewell_leases_expired_total", ()] == 1
    assert page["tunewell_stale_writes_total", ()] == 2
    assert page["tunewell_leases_overdue", ()] == 0
    await tell(http, again, 1.0)


async def test_asks_and_fallbacks_are_counted_by_suggester(
    http: httpx.AsyncClient, services: Services
) -> None:
    study = await create(http, suggester={"name": "gp"})
    await services.points.fallback(study["id"], 1, "the test asks for one")
    await ask(http, study["id"])
    page = await scraped(http)
    assert page["tunewell_suggest_fallbacks_total", labels(suggester="gp")] == 1
    assert page["tunewell_suggest_seconds_count", labels(suggester="gp")] == 1


async def test_only_the_largest_open_studies_are_shown_one_by_one(
    http: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gauges_module, "KEPT_S", 0.0)
    ids = [(await create(http, f"study-{n}"))["id"] for n in range(gauges.LARGEST_STUDIES + 3)]
    points = {"trials": [{"params": {"x": 0.1}}]}
    await http.post(f"/v1/studies/{ids[-1]}/trials", json=points)
    page = await scraped(http)
    shown = [dict(key[1])["study"] for key in page if key[0] == "tunewell_study_trials_pending"]
    assert len(shown) == gauges.LARGEST_STUDIES
    assert ids[-1] in shown
    assert page["tunewell_trials_pending", ()] == 1


async def test_the_counts_of_the_database_are_kept_for_a_while(http: httpx.AsyncClient) -> None:
    await create(http, "first")
    assert (await scraped(http))["tunewell_studies", labels(state="active")] == 1
    await create(http, "second")
    assert (await scraped(http))["tunewell_studies", labels(state="active")] == 1


def test_counting_a_request_takes_microseconds() -> None:
    metrics, n = Metrics(), 20_000
    begun = time.process_time()
    for _ in range(n):
        metrics.request("/v1/studies", "GET", 200, 0.004)
    assert (time.process_time() - begun) / n < 30e-6

"""Retries, idempotency keys, errors and event streams of a connection, against a fake service."""

import json
import os

import httpx
import numpy as np
import pytest

from tunewell.client import Client, greeting
from tunewell.errors import (
    ApiError,
    NotFound,
    Retryable,
    StaleLease,
    TunewellError,
    Unreachable,
    WrongAddress,
)
from tunewell.exchange import pause_s, sendable

from .fake_service import FakeService, event, problem, stream

PATH = "GET /v1/studies/st_1"
AWAY = httpx.ConnectError("refused")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_refusal_is_tried_again(status: int) -> None:
    service = FakeService({PATH: [problem(status, "x"), {"id": "st_1"}]})
    assert service.client().request("GET", "/v1/studies/st_1") == {"id": "st_1"}
    assert len(service.requests) == 2


def test_a_lost_connection_is_tried_again() -> None:
    service = FakeService({PATH: [AWAY, {"id": "st_1"}]})
    assert service.client().request("GET", "/v1/studies/st_1") == {"id": "st_1"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 422])
def test_a_refusal_for_good_is_not_tried_again(status: int) -> None:
    service = FakeService({PATH: [problem(status, "some-code", "why", errors=[{"pointer": "/a"}])]})
    with pytest.raises(ApiError, match=f"{status} some-code: why") as caught:
        service.client().request("GET", "/v1/studies/st_1")
    assert caught.value.errors == [{"pointer": "/a"}]
    assert len(service.requests) == 1


def test_a_conflict_that_says_that_it_passes_is_tried_again() -> None:
    busy = problem(409, "idempotency-in-progress", retryable=True)
    service = FakeService({"POST /v1/studies": [busy, {"id": "st_1"}]})
    assert service.client().create_study({}) == {"id": "st_1"}


def test_all_tries_of_a_post_carry_one_idempotency_key_and_the_next_call_another() -> None:
    service = FakeService(
        {"POST /v1/studies": [AWAY, problem(503, "storage-busy"), {"id": "st_1"}]}
    )
    client = service.client()
    client.create_study({"name": "a"})
    client.create_study({"name": "a"})
    keys = [request.headers["Idempotency-Key"] for request in service.requests]
    assert len(keys) == 4
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]


def test_calls_under_a_lease_and_reads_carry_no_idempotency_key() -> None:
    service = FakeService({"POST /v1/trials/tr_1:complete": {}, PATH: {}})
    client = service.client()
    client.complete("tr_1", "ls_1", "completed", {"a": 1.0})
    client.get_study("st_1")
    assert not any("Idempotency-Key" in request.headers for request in service.requests)


def test_no_retries_raise_at_once() -> None:
    service = FakeService({PATH: AWAY})
    client = service.client(retry_s=0)
    with pytest.raises(Unreachable, match=r"no answer from http://tune\.example: refused") as away:
        client.get_study("st_1")
    assert client.pauses == []
    # A traceback ends with what to do, not with the network's innards.
    assert away.value.__suppress_context__
    assert away.value.__cause__ is None


def test_the_last_try_gives_the_services_own_words() -> None:
    service = FakeService({PATH: problem(503, "storage-busy", "try later")})
    with pytest.raises(Retryable, match="503 storage-busy: try later"):
        service.client(retry_s=2).get_study("st_1")
    assert len(service.requests) > 1


def test_retry_after_is_handed_to_the_pause() -> None:
    busy = problem(429, "rate-limited")
    busy.headers["Retry-After"] = "7"
    service = FakeService({PATH: [busy, {"id": "st_1"}]})
    client = service.client()
    client.get_study("st_1")
    (pause,) = client.pauses
    assert 7 <= pause <= 7.05


@pytest.mark.parametrize(
    ("attempt", "retry_after", "low", "high"),
    [
        (0, None, 0.0, 0.2),
        (3, None, 0.0, 1.6),
        (50, None, 0.0, 10.0),
        (0, "7", 7.0, 7.05),
        (0, "100000", 60.0, 60.05),
        (1, "Mon, 23 Nov 2026 20:00:00 GMT", 0.0, 0.4),
    ],
)
def test_pauses_are_drawn_in_full_from_a_growing_bound_or_follow_retry_after(
    attempt: int, retry_after: str | None, low: float, high: float
) -> None:
    waited = [pause_s(attempt, retry_after) for _ in range(200)]
    assert min(waited) >= low
    assert max(waited) <= high
    assert max(waited) - min(waited) > (high - low) / 2


def test_tries_end_when_their_time_is_up() -> None:
    service = FakeService({PATH: AWAY})
    client = service.client(retry_s=30)
    with pytest.raises(Unreachable):
        client.get_study("st_1")
    assert 15 < sum(client.pauses) <= 30


def test_a_closed_client_does_not_go_on_trying() -> None:
    service = FakeService()
    client = service.client()

    def closes(_: httpx.Request) -> Exception:
        client._closing.set()
        return AWAY

    service.on(PATH, closes)
    with pytest.raises(Unreachable):
        client.get_study("st_1")
    assert len(service.requests) == 1


def test_a_stale_lease_is_an_error_of_its_own() -> None:
    stale = problem(409, "stale-lease", action="abort")
    service = FakeService({"POST /v1/trials/tr_1/measurements": stale})
    with pytest.raises(StaleLease):
        service.client().report("tr_1", "ls_1", 0, [{"step": 1, "values": {"a": 1.0}}])


def test_another_servers_error_page_is_an_error_without_a_code() -> None:
    page = httpx.Response(418, text="<html>teapot</html>")
    with pytest.raises(ApiError, match="418 unknown: <html>teapot</html>"):
        FakeService({PATH: page}).client().get_study("st_1")


def test_a_broken_answer_is_an_error_that_names_the_host() -> None:
    broken = httpx.Response(200, text="{", headers={"Content-Type": "application/json"})
    with pytest.raises(TunewellError, match=r"tune\.example answers, but not in JSON"):
        FakeService({PATH: broken}).client().get_study("st_1")


def test_numbers_that_json_has_not_go_as_strings() -> None:
    sent = sendable({"a": float("nan"), "b": [float("inf")], "c": (float("-inf"), 1.5, "x", None)})
    assert sent == {"a": "NaN", "b": ["Infinity"], "c": ["-Infinity", 1.5, "x", None]}


def test_what_is_of_numpy_goes_as_pythons_own() -> None:
    sent = sendable({"n": np.int64(3), "is": np.True_, "bad": np.float32("nan"), "all": np.ones(2)})
    assert json.loads(json.dumps(sent)) == {"n": 3, "is": True, "bad": "NaN", "all": [1.0, 1.0]}


@pytest.mark.parametrize("url", ["tune:8700", "localhost", "ftp://tune", "http://", "http://a:b:c"])
def test_what_is_no_address_is_refused_before_any_call(url: str) -> None:
    with pytest.raises(WrongAddress, match="is no address of a service"):
        Client(url)


def test_address_and_token_come_from_the_environment_unless_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TUNEWELL_URL", "http://there:1/\n")
    monkeypatch.setenv("TUNEWELL_TOKEN", "tw_env\n")
    assert Client().url == "http://there:1"
    assert Client()._http.headers["Authorization"] == "Bearer tw_env"
    assert Client("http://here:2").url == "http://here:2"
    assert "Authorization" not in Client(token="")._http.headers


def test_a_page_in_place_of_the_address_is_told_from_a_study_that_is_not_there() -> None:
    client = FakeService({"GET /v1/meta": problem(404, "not-found", "nothing here")}).client()
    with pytest.raises(WrongAddress, match="no service answers at http://tune"):
        client.run(greeting(client))


def test_https_where_http_is_spoken_is_told() -> None:
    refused = httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)")
    with pytest.raises(Unreachable, match="it may speak http, not https"):
        FakeService({PATH: refused}).client(retry_s=0).get_study("st_1")


@pytest.mark.parametrize(
    ("name", "value"), [("ALL_PROXY", "socks9://a:1"), ("SSL_CERT_FILE", "/there/is/none.pem")]
)
def test_a_variable_of_the_environment_that_is_no_use_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    for each in {*os.environ}:
        if "_PROXY" in each.upper() or each.startswith("SSL_CERT"):
            monkeypatch.delenv(each)
    monkeypatch.setenv(name, value)
    with pytest.raises(TunewellError, match=rf"environment's {name} cannot be used: (.|\n)*unset"):
        Client("http://tune.example:8700")


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    assert not Client("http://127.0.0.1:8700")._http.trust_env
    assert Client("http://tune.example")._http.trust_env


def test_a_broken_event_stream_goes_on_after_the_last_event() -> None:
    service = FakeService()
    service.on(
        "GET /v1/studies/st_1/events",
        stream(event(5, "trial.state", number=1)),
        AWAY,
        problem(503, "storage-busy"),
        stream(event(6, "study.state", state="completed")),
    )
    events = service.client().stream_events("st_1", after=4)
    assert [next(events)["seq"], next(events)["seq"]] == [5, 6]
    asked = [request.url.params.get("after") for request in service.requests]
    assert asked == ["4", "5", "5", "5"]


def test_an_event_has_its_kind_its_data_and_where_to_go_on() -> None:
    service = FakeService({"GET /v1/studies/st_1/events": stream(event(5, "study.best", number=2))})
    found = next(service.client().stream_events("st_1"))
    assert (found["event"], found["id"], found["data"]) == ("study.best", "5", {"number": 2})
    assert "after" not in service.requests[0].url.params


def test_an_event_stream_of_a_study_that_is_not_there_is_refused() -> None:
    with pytest.raises(NotFound, match="404"):
        next(FakeService().client().stream_events("st_9"))


def test_an_event_stream_gives_up_when_the_service_stays_away() -> None:
    service = FakeService({"GET /v1/studies/st_1/events": AWAY})
    with pytest.raises(Unreachable):
        next(service.client(retry_s=2).stream_events("st_1"))
    assert len(service.requests) > 1


def test_the_path_of_an_address_stands_before_that_of_each_call() -> None:
    """Below a path of another site, behind a proxy that takes it off."""
    service = FakeService({"GET /lab/tune/v1/studies/st_1": [{"id": "st_1"}]})
    client = Client(
        "https://tuning.example/lab/tune/", token="", transport=httpx.MockTransport(service)
    )
    assert client.request("GET", "/v1/studies/st_1") == {"id": "st_1"}

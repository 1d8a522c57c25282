"""The client's calls by name, against a fake service."""

import json

import httpx
import pytest

from tunewell.errors import ApiError, NotFound

from .fake_service import FakeService, problem, study


def test_lists_go_through_all_pages_with_their_filters() -> None:
    service = FakeService()
    service.on(
        "GET /v1/studies",
        {"studies": [{"id": "st_2"}], "next_page_token": "more"},
        {"studies": [{"id": "st_1"}], "next_page_token": None},
    )
    found = list(service.client().list_studies(state="active", label=None))
    assert [each["id"] for each in found] == ["st_2", "st_1"]
    queries = [dict(request.url.params) for request in service.requests]
    assert queries == [
        {"page_size": "500", "state": "active"},
        {"page_size": "500", "state": "active", "page_token": "more"},
    ]


def test_a_study_is_found_by_its_id_and_by_its_exact_name() -> None:
    listed = {"studies": [study(id="st_9", name="demo-2"), study()], "next_page_token": None}
    service = FakeService({"GET /v1/studies/st_1": study(), "GET /v1/studies": listed})
    client = service.client()
    assert client.find_study("st_1")["id"] == "st_1"
    assert client.find_study("demo")["id"] == "st_1"


def test_a_name_that_begins_like_an_id_is_found() -> None:
    listed = {"studies": [study(name="st_a")], "next_page_token": None}
    service = FakeService({"GET /v1/studies/st_1": study(), "GET /v1/studies": listed})
    assert service.client().find_study("st_a")["id"] == "st_1"


def test_a_study_that_is_not_there_is_404() -> None:
    service = FakeService({"GET /v1/studies": {"studies": [], "next_page_token": None}})
    with pytest.raises(NotFound, match="there is no study 'none'") as caught:
        service.client().find_study("none")
    assert caught.value.status == 404


def test_a_name_is_quoted_in_the_path() -> None:
    service = FakeService({"PUT /v1/studies/by-name/a/b c": study()})
    service.client().put_study("a/b c", {})
    assert service.requests[0].url.raw_path == b"/v1/studies/by-name/a%2Fb%20c"


def test_complete_leaves_out_what_was_not_given() -> None:
    service = FakeService({"POST /v1/trials/tr_1:complete": {}})
    service.client().complete("tr_1", "ls_1", "completed", {"a": 1.0}, step=3)
    assert json.loads(service.requests[0].content) == {
        "lease_id": "ls_1",
        "state": "completed",
        "values": {"a": 1.0},
        "step": 3,
    }


def test_an_export_comes_as_bytes_and_a_refused_one_is_an_error() -> None:
    service = FakeService({"GET /v1/studies/st_1/export": httpx.Response(200, text="a,b\r\n")})
    assert b"".join(service.client().export("st_1", "csv")) == b"a,b\r\n"
    service.on("GET /v1/studies/st_1/export", problem(422, "invalid-value"))
    with pytest.raises(ApiError, match="invalid-value"):
        list(service.client().export("st_1", "xml"))

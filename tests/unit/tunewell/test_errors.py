"""Errors: which class a refusal is, and that each text ends with what to type next."""

import pickle
from typing import Any

import pytest

import tunewell as tw
from tunewell.errors import refusal

REFUSALS: list[tuple[int, dict[str, Any], type[tw.ApiError], str]] = [
    (503, {"code": "storage-busy"}, tw.Retryable, "tunewell doctor"),
    (409, {"code": "idempotency-in-progress", "retryable": True}, tw.Retryable, "tunewell doctor"),
    (422, {"code": "invalid-study"}, tw.InvalidStudy, "tunewell study plan FILE.json"),
    (404, {"code": "not-found"}, tw.NotFound, "tunewell study list"),
    (
        403,
        {"code": "forbidden", "needed": ["submitter", "admin"]},
        tw.Forbidden,
        "tunewell token create --role submitter --name NAME",
    ),
    (401, {"code": "unauthenticated"}, tw.Forbidden, "--role submitter --name NAME"),
    (409, {"code": "stale-lease"}, tw.StaleLease, "tunewell trial show STUDY NUMBER"),
    (
        409,
        {"code": "study-definition-mismatch", "study_id": "st_7"},
        tw.DefinitionMismatch,
        "tunewell study show st_7",
    ),
    (
        409,
        {"code": "illegal-transition", "study_id": "st_7"},
        tw.ApiError,
        "tunewell study show st_7",
    ),
    (
        409,
        {"code": "already-exists", "study_id": "st_7"},
        tw.ApiError,
        "tunewell study show st_7",
    ),
]


@pytest.mark.parametrize(
    ("status", "problem", "kind", "last"), REFUSALS, ids=[r[1]["code"] for r in REFUSALS]
)
def test_a_refusal_is_named_by_what_to_do_next(
    status: int, problem: dict[str, Any], kind: type[tw.ApiError], last: str
) -> None:
    error = refusal(status, {"detail": "why", "request_id": "rq_1", **problem})
    assert type(error) is kind
    assert error.request_id == "rq_1"
    assert str(error).startswith(f"{status} {problem['code']}: why (request rq_1)\nnext: ")
    assert str(error).endswith(last)


def test_faults_and_differences_stand_in_the_text() -> None:
    fault = {"pointer": "/space/0/lwo", "code": "unknown-field", "detail": "did you mean low?"}
    wrong = refusal(422, {"code": "invalid-study", "detail": "1 fault", "errors": [fault]})
    assert wrong.errors == [fault]
    assert "/space/0/lwo: did you mean low?" in str(wrong)
    change = {"pointer": "/space/0/low", "stored": 1, "given": 2}
    other = refusal(409, {"code": "study-definition-mismatch", "diff": [change]})
    assert isinstance(other, tw.DefinitionMismatch)
    assert other.diff == [change]
    assert "/space/0/low: is 1, given 2" in str(other)


def test_the_role_that_would_do_is_named() -> None:
    error = refusal(403, {"code": "forbidden", "needed": ["submitter", "admin"]})
    assert isinstance(error, tw.Forbidden)
    assert error.required_role == "submitter"


def test_without_a_service_the_text_says_how_to_start_one_and_where_results_are_kept() -> None:
    error = tw.Unreachable("http://tune:8700", "refused", spool="/state/ls_1.jsonl")
    assert str(error).endswith("tunewell serve")
    assert "kept in /state/ls_1.jsonl" in str(error)


@pytest.mark.parametrize(
    "error",
    [refusal(404, {"code": "not-found"}), tw.Unreachable("http://a", "b"), tw.WrongAddress("c")],
    ids=lambda error: type(error).__name__,
)
def test_an_error_crosses_to_another_process(error: tw.TunewellError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))

"""Strict JSON, and what a fault in it is called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.answers import dumps, number
from app.api.bodies import MAX_DEPTH, parse_json
from app.api.problems import PROBLEMS, document, faults_of, pointer_of
from app.domain.fault_codes import FAULT_CODES
from app.errors import AppError, Fault, InvalidInput, MalformedRequest

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("ab/~é"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_what_is_written_is_read_back(value: object) -> None:
    assert parse_json(dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{", "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b'{"a": NaN}', "'NaN'"),
        (b'{"a": Infinity}', "'Infinity'"),
        (b'{"a": -Infinity}', "'-Infinity'"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        (b'{"a": 1, "a": 2}', "same key twice"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2), "nested deeper"),
        (b"[" * 200_000, "nested deeper"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"{}{}", "not JSON"),
    ],
)
def test_what_is_no_json_is_malformed(raw: bytes, told: str) -> None:
    with pytest.raises(MalformedRequest, match=told) as caught:
        parse_json(raw)
    assert caught.value.code == "malformed-request"


@pytest.mark.parametrize(
    ("raw", "pointer", "code"),
    [
        (b"", "", "empty"),
        (b"\xff", "", "malformed"),
        (b"{,}", "", "malformed"),
        (b"NaN", "", "not-finite"),
        (b'{"points": [{"a/b": 1}, {"a/b": [2, NaN]}]}', "/points/1/a~1b/1", "not-finite"),
        (b'{"b": -Infinity, "a": NaN}', "/b", "not-finite"),
        (b'{"a": [1e999]}', "/a/0", "not-finite"),
        (b'{"a": {"b": ' + b"9" * 400 + b"}}", "/a/b", "number-too-large"),
        (b'{"a": [{"x": 1, "y": 2, "x": NaN}]}', "/a/0", "repeated-key"),
        (b'{"a": {"b": "\\u0000"}, "c": "\\ud800"}', "/a/b", "control-character"),
        (b'{"a": {"\\ud800": 1}}', "/a", "control-character"),
        (b'{"a": ' + b"[" * 65 + b"]" * 65 + b"}", "", "too-deep"),
    ],
)
def test_what_is_malformed_is_named_with_its_place(raw: bytes, pointer: str, code: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        parse_json(raw)
    [fault] = caught.value.faults
    assert (fault.pointer, fault.code) == (pointer, code)
    assert caught.value.detail.endswith(fault.detail)
    assert fault.code in FAULT_CODES


def test_a_key_that_stands_twice_is_told() -> None:
    with pytest.raises(MalformedRequest, match='"low"'):
        parse_json(b'{"space": [{"low": 1, "high": 2, "low": 3}]}')


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert parse_json(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


def test_a_traceback_with_nul_is_not_lost() -> None:
    shown = parse_json(b'{"traceback": "a\\u0000b\\ud800"}', is_lenient=True)
    assert shown == {"traceback": "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"}


def test_pointers_escape_tilde_and_slash() -> None:
    assert pointer_of(["a/b", "c~d", 0]) == "/a~1b/c~0d/0"
    assert pointer_of([]) == ""


def test_numbers_that_are_not_finite_are_words() -> None:
    assert dumps({"a": [float("nan"), float("inf"), -float("inf"), 1.5]}) == (
        '{"a":["NaN","Infinity","-Infinity",1.5]}'
    )
    assert number(2.5) == 2.5


def test_a_failure_of_our_own_shows_nothing_of_its_cause() -> None:
    secret = AppError("password=hunter2", members={"dsn": "secret"})
    problem = document(secret, request_id="rq_1", instance="/v1/studies")
    assert problem["status"] == 500
    assert "hunter2" not in str(problem)
    assert "dsn" not in problem
    assert "rq_1" in problem["detail"]


def test_a_token_in_a_wrong_place_is_not_repeated() -> None:
    secret = "tw_" + "aB3-_" * 8
    error = InvalidInput(
        f"what is {secret}?",
        faults=[Fault(pointer=f"/{secret}", code="x", detail=f"found {secret}")],
    )
    problem = document(error, request_id="rq_1", instance=f"/v1/tokens/{secret}")
    assert secret not in str(problem)
    assert problem["errors"] == [{"pointer": "/tw_***", "code": "x", "detail": "found tw_***"}]


def test_what_was_sent_is_shown_cut() -> None:
    error = {"type": "int_type", "loc": ("a/b",), "msg": "an integer", "input": "x" * 99}
    [fault] = faults_of([error])
    assert (fault.pointer, fault.detail) == ("/a~1b", f'an integer, found "{"x" * 60}..."')
    [secret] = faults_of([{**error, "loc": ("token",)}])
    assert secret.detail == "an integer"
    many = faults_of([error] * 5_000)
    assert (len(many), many[-1].code) == (1_000, "too-many-faults")


def test_a_code_that_the_table_lacks_is_internal() -> None:
    problem = document(AppError("x", code="nonsense"), request_id="r", instance="/")
    assert problem["code"] == "internal"


def test_the_table_has_the_codes_of_the_contract() -> None:
    statuses = {code: kind.status for code, kind in PROBLEMS.items()}
    assert statuses == {
        "malformed-request": 400,
        "unauthenticated": 401,
        "forbidden": 403,
        "not-found": 404,
        "method-not-allowed": 405,
        "illegal-transition": 409,
        "stale-lease": 409,
        "already-exists": 409,
        "budget-exhausted": 409,
        "checkpoints-off": 409,
        "upload-incomplete": 409,
        "study-definition-mismatch": 409,
        "idempotency-in-progress": 409,
        "request-timeout": 408,
        "etag-mismatch": 412,
        "too-large": 413,
        "unsupported-media-type": 415,
        "range-not-satisfiable": 416,
        "invalid-study": 422,
        "invalid-value": 422,
        "idempotency-key-reused": 422,
        "etag-required": 428,
        "headers-too-large": 431,
        "rate-limited": 429,
        "internal": 500,
        "storage-busy": 503,
        "suggester-unavailable": 503,
    }
    retryable = {code for code, kind in PROBLEMS.items() if kind.is_retryable}
    assert retryable == {
        "idempotency-in-progress",
        "upload-incomplete",
        "request-timeout",
        "rate-limited",
        "internal",
        "storage-busy",
        "suggester-unavailable",
    }

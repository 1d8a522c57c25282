"""Log lines: one JSON object each, with what the request is about, whatever strangers send."""

from __future__ import annotations

import asyncio
import contextvars
import io
import json
import logging
import subprocess
import sys
import threading
from typing import Any

import pytest

from app.logs import JsonFormatter, bind, serving


@pytest.fixture
def lines() -> Any:
    """A logger, and a function that gives what it has written."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("tunewell.test-of-logs")
    logger.addHandler(handler)
    logger.setLevel("INFO")
    logger.propagate = False
    yield logger, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)


def test_a_line_carries_what_the_request_is_about(lines: Any) -> None:
    log, written = lines
    with serving("rq_1"):
        bind(study_id="st_1", trial_id=None)
        log.info("inside", extra={"n": 3})
    log.info("outside")
    inside, outside = written()
    assert (inside["event"], inside["request_id"], inside["study_id"]) == ("inside", "rq_1", "st_1")
    assert inside["n"] == 3
    assert "trial_id" not in inside
    assert "request_id" not in outside
    assert "study_id" not in outside


def test_two_requests_at_once_do_not_mix_and_threads_know_theirs(lines: Any) -> None:
    log, written = lines

    async def request(name: str, mine: asyncio.Event, other: asyncio.Event) -> None:
        with serving(f"rq_{name}"):
            bind(study_id=f"st_{name}")
            mine.set()
            await other.wait()
            run = contextvars.copy_context().run
            thread = threading.Thread(target=run, args=(log.info, name))
            thread.start()
            await asyncio.to_thread(thread.join)

    async def both() -> None:
        a, b = asyncio.Event(), asyncio.Event()
        await asyncio.gather(request("a", a, b), request("b", b, a))

    asyncio.run(both())
    found = {line["event"]: (line["request_id"], line["study_id"]) for line in written()}
    assert found == {"a": ("rq_a", "st_a"), "b": ("rq_b", "st_b")}


def test_hostile_text_stays_one_line_of_ascii_and_is_cut(lines: Any) -> None:
    log, written = lines
    evil = 'x\n{"event": "forged"}\u202e\ud800' + "y" * 10_000
    with serving("rq_1"):
        bind(study_id=evil)
        log.info("looked", extra={"said": evil[:50]})
    [line] = written()
    assert line["event"] == "looked"
    assert len(line["study_id"]) == 100


_LEVELS = """
import logging
from app.logs import configure_logging
configure_logging("INFO")
logging.getLogger("app.service.sweep").info("ours")
logging.getLogger("tunewell.access").info("ours_too")
logging.getLogger("uvicorn.error").info("theirs")
logging.getLogger("uvicorn.error").warning("their_warning")
"""


def test_libraries_speak_from_warning_on() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LEVELS], capture_output=True, text=True, check=True
    )
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert events == ["ours", "ours_too", "their_warning"]

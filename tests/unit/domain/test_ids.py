"""Ids: unique, of one length, sorted by time; not the same ones in a forked process."""

from __future__ import annotations

import os

from app.domain.ids import new_id, request_id


def test_ids_are_unique_and_sort_by_time() -> None:
    ids = [new_id("tr", now_ms=1_700_000_000_000 + k) for k in range(1_000)]
    assert ids == sorted(set(ids))
    assert {len(each) for each in ids} == {2 + 1 + 9 + 13}
    assert len({each[12:] for each in ids}) == 1_000  # the random part alone
    assert set("".join(each[3:] for each in ids)) == set("0123456789abcdefghjkmnpqrstvwxyz")


def test_ids_of_requests_are_unique() -> None:
    ids = {request_id() for _ in range(1_000)}
    assert len(ids) == 1_000
    assert {len(each) for each in ids} == {3 + 24}


def test_a_forked_process_makes_ids_of_its_own() -> None:
    request_id()  # so that some are drawn ahead
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, request_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as found:
        theirs = found.read()
    assert theirs.startswith("rq_")
    assert theirs not in {request_id() for _ in range(300)}

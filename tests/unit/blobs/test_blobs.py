"""One suite for every place that contents may lie in: a folder, a file system of fsspec."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

import pytest

from app.blobs.base import Blobs, Corrupt, Gap, Incomplete
from app.blobs.opening import open_blobs
from app.errors import Unavailable

KEY, OTHER = "ck_1", "ck_2"
CONTENT = bytes(range(256)) * 10
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(params=["folder", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "folder":
        return open_blobs(str(tmp_path / "contents"))
    return open_blobs(f"memory://{uuid.uuid4().hex}")


def put(blobs: Blobs, start: int, stop: int, *, key: str = KEY) -> int:
    with blobs.chunk(key, start) as chunk:
        chunk.write(CONTENT[start:stop])
    return blobs.received(key)


def test_chunks_become_one_content(blobs: Blobs) -> None:
    assert blobs.received(KEY) == 0
    assert put(blobs, 0, 1000) == 1000
    assert put(blobs, 1000, len(CONTENT)) == len(CONTENT)
    assert not blobs.is_sealed(KEY)
    blobs.seal(KEY, len(CONTENT), SHA256)
    assert blobs.is_sealed(KEY)
    assert b"".join(blobs.read(KEY, 0, len(CONTENT))) == CONTENT
    assert b"".join(blobs.read(KEY, 7, 1234)) == CONTENT[7:1234]


def test_a_chunk_may_repeat_and_may_not_leave_a_gap(blobs: Blobs) -> None:
    put(blobs, 0, 1000)
    assert put(blobs, 0, 1000) == 1000
    assert put(blobs, 500, 1500) == 1500
    with pytest.raises(Gap) as gap:
        blobs.chunk(KEY, 1501)
    assert gap.value.received_bytes == 1500
    put(blobs, 1500, len(CONTENT))
    blobs.seal(KEY, len(CONTENT), SHA256)
    assert b"".join(blobs.read(KEY, 0, len(CONTENT))) == CONTENT


def test_only_the_announced_content_is_sealed(blobs: Blobs) -> None:
    put(blobs, 0, 1000)
    with pytest.raises(Incomplete):
        blobs.seal(KEY, len(CONTENT), SHA256)
    assert blobs.received(KEY) == 1000
    put(blobs, 1000, len(CONTENT))
    with pytest.raises(Corrupt):
        blobs.seal(KEY, len(CONTENT), "0" * 64)
    assert blobs.received(KEY) == 0


def test_a_sealed_content_stays_as_it_is(blobs: Blobs) -> None:
    put(blobs, 0, len(CONTENT))
    blobs.seal(KEY, len(CONTENT), SHA256)
    blobs.seal(KEY, len(CONTENT), SHA256)
    with blobs.chunk(KEY, 0) as chunk:
        chunk.write(b"another")
    assert b"".join(blobs.read(KEY, 0, len(CONTENT))) == CONTENT


def test_an_empty_content_is_one_too(blobs: Blobs) -> None:
    with blobs.chunk(KEY, 0) as chunk:
        chunk.write(b"")
    blobs.seal(KEY, 0, hashlib.sha256(b"").hexdigest())
    assert list(blobs.read(KEY, 0, 0)) == []


def test_what_is_there_is_listed_and_removed(blobs: Blobs) -> None:
    put(blobs, 0, 10)
    put(blobs, 0, len(CONTENT), key=OTHER)
    blobs.seal(OTHER, len(CONTENT), SHA256)
    assert sorted(set(blobs.keys())) == [KEY, OTHER]
    blobs.remove(KEY)
    blobs.remove(OTHER)
    blobs.remove(OTHER)
    assert list(blobs.keys()) == []
    with pytest.raises(FileNotFoundError):
        list(blobs.read(OTHER, 0, 1))


@pytest.mark.parametrize("key", ["../x", "ck_/x", "", "tr_1", "ck_A"])
def test_a_key_names_no_other_file(blobs: Blobs, key: str) -> None:
    with pytest.raises(ValueError, match="no key"):
        blobs.received(key)


def test_a_protocol_that_is_not_installed_says_what_to_install() -> None:
    with pytest.raises(Unavailable, match="pip install"):
        open_blobs("s3://bucket/prefix")

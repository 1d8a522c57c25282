"""Where data sets are found, and what happens when they are not or are not what they should be."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
import pytest

from workers.objectives import california, data, download, mnist_data

CONTENT = {
    "train-images-idx3-ubyte": bytes(16) + bytes(range(256)) * 49,
    "train-labels-idx1-ubyte": bytes(8) + bytes(16),
    "t10k-images-idx3-ubyte": bytes(16) + bytes(784),
    "t10k-labels-idx1-ubyte": bytes(8) + bytes(1),
}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> data.DataSet:
    """Stands for the full MNIST: known by its digests, some hundred bytes large."""
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in CONTENT.items()}
    tiny = data.DataSet(name="mnist", digest="tiny", md5=md5, folders=data.MNIST.folders)
    monkeypatch.setattr(data, "MNIST", tiny)
    return tiny


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's data folder, empty."""
    path = tmp_path / "data"
    path.mkdir()
    monkeypatch.setenv("TUNEWELL_DATA_DIR", str(path))
    return path


def put(folder: Path, *, packed: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in CONTENT.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("where", [".", "mnist", "MNIST/raw"])
def test_the_four_files_are_found_packed_or_not(
    tiny: data.DataSet, folder: Path, where: str, packed: bool
) -> None:
    put(folder / where, packed=packed)
    assert data.verify(tiny)
    assert data.read(tiny) == CONTENT


def test_a_data_set_with_a_missing_file_is_not_at_hand(tiny: data.DataSet, folder: Path) -> None:
    put(folder, packed=True)
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    assert not data.verify(tiny)
    assert mnist_data.choose("auto", None, may_download=True) is data.MNIST_5K


def test_a_corrupt_file_is_named_with_both_digests(tiny: data.DataSet, folder: Path) -> None:
    put(folder, packed=False)
    bad = folder / "train-labels-idx1-ubyte"
    bad.write_bytes(b"other bytes")
    with pytest.raises(data.CorruptFile) as raised:
        data.read(tiny)
    message = str(raised.value)
    assert str(bad) in message
    assert hashlib.md5(b"other bytes").hexdigest() in message
    assert tiny.md5["train-labels-idx1-ubyte"] in message
    with pytest.raises(data.CorruptFile):
        data.verify(tiny)


def test_a_packed_file_that_is_cut_off_is_named(tiny: data.DataSet, folder: Path) -> None:
    put(folder, packed=True)
    bad = folder / "train-images-idx3-ubyte.gz"
    bad.write_bytes(bad.read_bytes()[:-20])
    with pytest.raises(data.CorruptFile, match=r"train-images-idx3-ubyte\.gz cannot be read"):
        data.read(tiny)


def test_a_digest_is_computed_once_and_again_when_the_file_changes(
    tiny: data.DataSet, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, packed=True)
    assert data.verify(tiny)
    read: list[Path] = []
    chunks = data._chunks

    def noted(path: Path) -> Iterator[bytes]:
        read.append(path)
        return chunks(path)

    monkeypatch.setattr(data, "_chunks", noted)
    assert data.verify(tiny)
    assert read == []
    changed = folder / "t10k-labels-idx1-ubyte.gz"
    changed.write_bytes(gzip.compress(b"changed"))
    with pytest.raises(data.CorruptFile):
        data.verify(tiny)
    assert read == [changed]


@pytest.mark.usefixtures("folder")
def test_the_shipped_subset_is_there_without_any_data_folder() -> None:
    assert data.verify(data.MNIST_5K)
    files = data.read(data.MNIST_5K)
    labels = files["train-labels-idx1-ubyte"][8:]
    assert len(labels) == 4_000
    assert len(files["t10k-labels-idx1-ubyte"][8:]) == 1_000
    # The shares of the digits in the full set: 5923, 6742, ... of 60,000.
    assert [labels.count(digit) for digit in range(10)][:2] == [395, 449]


def test_the_data_set_that_a_study_is_bound_to_is_used(tiny: data.DataSet, folder: Path) -> None:
    put(folder, packed=True)
    assert mnist_data.choose("auto", None, may_download=False) is tiny
    bound = mnist_data.choose("auto", data.MNIST_5K.digest, may_download=False)
    assert bound is data.MNIST_5K
    assert mnist_data.choose("mnist-5k", None, may_download=False) is data.MNIST_5K


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("wanted", "digest"), [("mnist", None), ("auto", "unknown"), ("mnist", data.MNIST_5K.digest)]
)
def test_a_data_set_that_cannot_be_had_is_an_error(wanted: str, digest: str | None) -> None:
    with pytest.raises(data.DataError, match="not at hand"):
        mnist_data.choose(wanted, digest, may_download=True)


def test_pixels_are_normalised_as_totensor_and_normalize_do(
    tiny: data.DataSet, folder: Path
) -> None:
    put(folder, packed=True)
    mnist_data.load.cache_clear()
    x = mnist_data.load(tiny).train.x
    pixels = np.frombuffer(CONTENT["train-images-idx3-ubyte"][16:], dtype=np.uint8)
    scaled = pixels.astype(np.float32) / np.float32(255)
    expected = (scaled - np.float32(0.1307)) / np.float32(0.3081)
    assert np.array_equal(x.numpy().ravel(), expected)


def test_california_has_the_published_rows() -> None:
    x, y = california.load()
    first = [8.3252, 41, 6.98412698, 1.02380952, 322, 2.55555556, 37.88, -122.23]
    assert x.shape == (20_640, 8)
    assert np.allclose(x[0], first, atol=1e-8)
    assert y[0] == 4.526
    rows = np.ascontiguousarray(california.raw().astype("<f8")).tobytes()
    assert hashlib.sha256(rows).hexdigest() == data.CALIFORNIA.digest


def test_scikit_learns_own_copy_gives_the_same_rows(folder: Path) -> None:
    raw = california.raw()
    joblib.dump(raw[:, [8, 7, 2, 3, 4, 5, 6, 1, 0]], folder / "cal_housing_py3.pkz", compress=6)
    assert np.array_equal(california.raw(), raw)


def test_another_table_under_scikit_learns_name_is_refused(folder: Path) -> None:
    raw = california.raw()
    joblib.dump(raw, folder / "cal_housing_py3.pkz", compress=6)
    with pytest.raises(data.CorruptFile, match=r"cal_housing_py3\.pkz"):
        california.raw()


def test_nothing_is_downloaded_when_that_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_download", lambda: pytest.fail("asked the network"))
    assert not download.fetch_mnist()


@pytest.mark.usefixtures("folder", "tiny")
def test_a_download_that_failed_is_not_tried_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEWELL_DOWNLOAD", "1")
    tries: list[int] = []

    def fails() -> bool:
        tries.append(1)
        return False

    monkeypatch.setattr(download, "_download", fails)
    assert not download.fetch_mnist()
    assert not download.fetch_mnist()
    assert len(tries) == 1


def test_a_server_that_never_answers_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "ANSWER_S", 0.05)
    monkeypatch.setattr(download, "_ask", lambda mirror, answers: None)
    assert download._answering(["http://a/", "http://b/"]) == []

"""A checkpoint as one file: what goes in comes out, and only for the objective that put it in."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tunewell import archive
from tunewell.archive import Saved, Unusable

SAVED = Saved(objective="cnn", version="2", values={"loss": 0.25})


def through(tmp_path: Path, path: Path, name: str, saved: Saved = SAVED) -> Path:
    """Packs and unpacks; the folder that comes out."""
    packed, folder = tmp_path / "packed", tmp_path / "unpacked"
    folder.mkdir()
    archive.pack(path, name, saved, packed)
    found = archive.unpack(packed, folder, objective=saved.objective, version=saved.version)
    assert (found.objective, found.version) == (saved.objective, saved.version)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    made = tmp_path / "source"
    (made / "deep" / "empty").mkdir(parents=True)
    (made / "net").write_bytes(bytes(range(256)))
    (made / "deep" / "order").write_text("3 1 2")
    return made


def test_a_folder_comes_out_as_it_was(source: Path, tmp_path: Path) -> None:
    folder = through(tmp_path, source, ".")
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    assert names == ["deep", "deep/empty", "deep/order", "net"]
    assert (folder / "net").read_bytes() == bytes(range(256))
    assert (folder / "deep" / "order").read_text() == "3 1 2"


def test_a_file_comes_out_at_its_place(source: Path, tmp_path: Path) -> None:
    folder = through(tmp_path, source / "net", "nets/best")
    assert [path for path in folder.rglob("*") if path.is_file()] == [folder / "nets" / "best"]


def test_an_empty_folder_is_a_checkpoint_too(tmp_path: Path) -> None:
    (empty := tmp_path / "empty").mkdir()
    assert list(through(tmp_path, empty, ".").iterdir()) == []


def test_of_a_link_the_content_is_kept(source: Path, tmp_path: Path) -> None:
    (elsewhere := tmp_path / "elsewhere").write_text("weights")
    (source / "link").symlink_to(elsewhere)
    found = through(tmp_path, source, ".") / "link"
    assert not found.is_symlink()
    assert found.read_text() == "weights"


def test_the_values_of_then_come_with_it(source: Path, tmp_path: Path) -> None:
    values = {"loss": 0.1 + 0.2, "accuracy": math.nan}
    saved = Saved(objective="c\u00f1n", version="", values=values)
    archive.pack(source, ".", saved, packed := tmp_path / "packed")
    (folder := tmp_path / "unpacked").mkdir()
    found = archive.unpack(packed, folder, objective="c\u00f1n", version="")
    assert found.values["loss"] == 0.1 + 0.2
    assert math.isnan(found.values["accuracy"])


@pytest.mark.parametrize(
    ("objective", "version", "said"),
    [
        ("cnn", "3", "saved by cnn 2, and this is cnn 3"),
        ("cnn", "", "saved by cnn 2, and this is cnn without a version"),
        ("rnn", "2", "saved by cnn 2, and this is rnn 2"),
    ],
)
def test_another_objective_or_version_is_given_nothing(
    source: Path, tmp_path: Path, objective: str, version: str, said: str
) -> None:
    archive.pack(source, ".", SAVED, packed := tmp_path / "packed")
    (folder := tmp_path / "unpacked").mkdir()
    with pytest.raises(Unusable, match=said):
        archive.unpack(packed, folder, objective=objective, version=version)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 100, 700, 1500])
def test_what_is_cut_off_is_no_checkpoint(source: Path, tmp_path: Path, keep: int) -> None:
    archive.pack(source, ".", SAVED, packed := tmp_path / "packed")
    packed.write_bytes(packed.read_bytes()[:keep])
    (folder := tmp_path / "unpacked").mkdir()
    with pytest.raises(Unusable):
        archive.unpack(packed, folder, objective="cnn", version="2")

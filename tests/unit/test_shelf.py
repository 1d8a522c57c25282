"""What a fitting process keeps of studies is bounded by all of it together."""

from __future__ import annotations

from app.service.shelf import Shelf


def shelf(**sizes: int) -> Shelf[int]:
    made: Shelf[int] = Shelf(lambda kept: kept, studies=3, values=100)
    for name, size in sizes.items():
        made.put(name, size)
    return made


def test_the_studies_used_last_are_kept() -> None:
    kept = shelf(a=1, b=1, c=1, d=1)
    assert kept.get("a") == 1
    assert kept.trim() == ("b",)
    assert [name in kept for name in "abcd"] == [True, False, True, True]


def test_a_large_study_takes_the_place_of_many() -> None:
    kept = shelf(a=40, b=10, c=90)
    assert kept.trim() == ("a",)
    assert len(kept) == 2


def test_the_study_used_last_stays_however_large() -> None:
    kept = shelf(a=1, b=1_000)
    assert kept.trim() == ("a",)
    assert kept.trim() == ()
    assert kept.get("b") == 1_000


def test_a_dropped_study_is_gone() -> None:
    kept = shelf(a=1)
    kept.drop("a")
    kept.drop("never")
    assert kept.get("a") is None

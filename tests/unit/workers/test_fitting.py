"""What a trial needs and where it fits: properties of the pure rules."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import fitting
from workers.fitting import WHOLE, Held, Need, Space

SIZES = st.integers(0, 2_000)


@st.composite
def spaces(draw: st.DrawFn) -> list[Space]:
    """A worker's GPUs, some of their memory taken by others."""
    made = []
    for index in range(draw(st.integers(1, 4))):
        total = draw(st.integers(10, 1_000))
        idle = draw(st.integers(0, total))
        made.append(
            Space(
                index=index, is_gpu=True, total_bytes=total, free_bytes=idle, idle_free_bytes=idle
            )
        )
    return made


NEEDS = st.builds(
    Need,
    memory_bytes=st.none() | SIZES,
    gpu=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    cores=st.integers(1, 3),
)


@given(spaces(), st.lists(NEEDS, max_size=12), st.integers(1, 8))
def test_a_device_never_gets_more_than_it_holds(
    found: list[Space], needs: list[Need], n_cores: int
) -> None:
    held: list[Held] = []
    for need in needs:
        index = fitting.choose(need, found, held, n_cores)
        if index is not None:
            held.append(fitting.hold(need, found[index]))
    for space in found:
        here = [each for each in held if each.index == space.index]
        assert sum(each.gpu for each in here) <= 1.0 + 1e-9
        sizes = [each.memory_bytes for each in here]
        is_alone = sum(sizes[1:]) == 0  # what is free may be less than it wants, by a little
        assert is_alone or sum(sizes) <= space.free_bytes
        assert sum(sizes[:1]) * WHOLE <= space.free_bytes + 1
    assert len(held) <= 1 or sum(each.cores for each in held) <= n_cores


@given(spaces(), NEEDS, st.integers(1, 8), st.integers(0, 9))
def test_as_many_fit_as_can_be_placed_one_after_the_other(
    found: list[Space], need: Need, n_cores: int, most: int
) -> None:
    held: list[Held] = []
    while len(held) < most:
        index = fitting.choose(need, found, held, n_cores)
        if index is None:
            break
        held.append(fitting.hold(need, found[index]))
    assert fitting.how_many(need, found, [], n_cores, most) == len(held)


@given(spaces(), SIZES, SIZES)
def test_who_needs_less_fits_wherever_who_needs_more_does(
    found: list[Space], one: int, other: int
) -> None:
    small, large = sorted((one, other))
    for space in found:
        if fitting.fits(Need(memory_bytes=large), space, []):
            assert fitting.fits(Need(memory_bytes=small), space, [])


@given(st.integers(10, 1_000), SIZES)
def test_a_device_that_holds_one_gets_one(total: int, extra: int) -> None:
    space = Space(index=0, is_gpu=True, total_bytes=total, free_bytes=total, idle_free_bytes=total)
    need = Need(memory_bytes=total // 2 + 1 + extra)
    assert fitting.how_many(need, [space], [], 8, 3) == 1


def test_an_unknown_trial_has_its_gpu_alone_and_cores_do_not_wait_for_an_estimate() -> None:
    gpu = Space(index=0, is_gpu=True, total_bytes=80, free_bytes=78, idle_free_bytes=78)
    assert fitting.how_many(Need(), [gpu], [], 8, 4) == 1
    assert fitting.how_many(Need(), [replace(gpu, is_gpu=False)], [], 4, 9) == 4


def test_what_a_running_trial_has_yet_to_take_is_not_free() -> None:
    space = Space(index=0, is_gpu=True, total_bytes=80, free_bytes=80, idle_free_bytes=80)
    held = Held(index=0, memory_bytes=30, used_bytes=0)
    assert fitting.left(space, [held]) == 50
    later = replace(space, free_bytes=60)
    assert fitting.left(later, [replace(held, used_bytes=20)]) == 50
    assert fitting.left(later, [replace(held, used_bytes=None)]) == 50  # by what has gone
    more = replace(space, free_bytes=40)
    assert fitting.left(more, [replace(held, used_bytes=40)]) == 40  # takes more than expected


def test_the_device_with_most_left_is_taken() -> None:
    one = Space(index=0, is_gpu=True, total_bytes=80, free_bytes=40, idle_free_bytes=40)
    other = replace(one, index=1, free_bytes=60, idle_free_bytes=60)
    assert fitting.choose(Need(memory_bytes=10), [one, other], [], 8) == 1
    held = [Held(index=1, memory_bytes=30, used_bytes=0)]
    assert fitting.choose(Need(memory_bytes=10), [one, other], held, 8) == 0


@pytest.mark.parametrize(
    ("peaks", "prior", "floor", "expected"),
    [
        ([], None, 0, None),
        ([], 50, 0, 50),
        ([], 50, 70, 70),
        ([10, 100], 500, 0, 111),
        ([100], None, 200, 200),
    ],
)
def test_what_was_measured_goes_before_what_was_said(
    peaks: list[int], prior: int | None, floor: int, expected: int | None
) -> None:
    # 100 * 1.1 is a little more than 110 in binary.
    assert fitting.estimate(peaks, prior, floor) == expected


@given(SIZES, SIZES)
def test_an_oom_raises_what_is_expected(expected: int, peak: int) -> None:
    needed = fitting.after_oom(expected, peak)
    assert needed >= 1.5 * max(expected, peak)

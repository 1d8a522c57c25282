"""Batches of several networks whose sizes differ, and a step on them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from workers.objectives.mixed_batches import Batch, batches_of, bucket, divisors
from workers.objectives.mnist_data import N_PIXELS, Part
from workers.objectives.stacked_step import Tensors


def lane(n_images: int, size: int) -> list[torch.Tensor]:
    """The batches of a lane, whose images are numbered from 1 on: 0 fills up."""
    return list(torch.split(torch.arange(1, n_images + 1), size))


def counted(batch: Batch, k: int) -> list[int]:
    """The rows of a lane that count."""
    if k >= len(batch.rows):
        return []
    n = batch.rows.shape[1] if batch.sizes is None else int(batch.sizes[k])
    return batch.rows[k, :n].tolist()


def test_a_bucket_spans_less_than_the_root_of_two_and_the_buckets_are_in_order() -> None:
    names = [bucket(size) for size in range(1, 60_001)]
    assert names == sorted(names)
    for _, sizes in itertools.groupby(range(1, 60_001), bucket):
        first, *rest = sizes
        assert max(rest, default=first) < first * 2**0.5
    # Those who choose a size near a power of two are together.
    assert bucket(54) == bucket(64) == bucket(76)
    assert len({bucket(size) for size in range(16, 129)}) == 7


@pytest.mark.parametrize("width", [None, 8], ids=["narrow", "fixed"])
def test_each_lanes_batches_are_its_own_whatever_stands_beside_them(width: int | None) -> None:
    lanes = [lane(40, 5), lane(41, 6), lane(40, 8)]
    found = list(batches_of(lanes, width))
    assert len(found) == 8
    for k, batches in enumerate(lanes):
        rows = [counted(batch, k) for batch in found]
        assert rows[: len(batches)] == [batch.tolist() for batch in batches]
        assert not any(rows[len(batches) :])


def test_a_fixed_width_makes_two_kinds_of_batch_and_without_one_who_is_done_takes_no_room() -> None:
    lanes = [lane(40, 5), lane(41, 6), lane(40, 8)]
    fixed = [batch.kind for batch in batches_of(lanes, 8)]
    assert fixed == [(3, 8, False, True)] * 5 + [(3, 8, False, False)] * 3
    shapes = [tuple(batch.rows.shape) for batch in batches_of(lanes)]
    assert shapes == [(3, 8)] * 5 + [(2, 6), (2, 5), (1, 5)]


@pytest.mark.parametrize("width", [None, 8], ids=["narrow", "fixed"])
def test_lanes_of_one_size_are_filled_up_nowhere(width: int | None) -> None:
    found = list(batches_of([lane(43, 8), lane(43, 8)], width))
    assert [tuple(batch.rows.shape) for batch in found] == [(2, 8)] * 5 + [(2, 3)]
    assert all(batch.sizes is None and batch.is_for_all for batch in found)


def test_lanes_without_any_batch_make_none() -> None:
    assert list(batches_of([[], []])) == []


def test_a_row_that_fills_up_is_divided_by_infinity() -> None:
    found = divisors(torch.tensor([[3], [0]]), 4)
    assert found.squeeze(2).tolist() == [[3, 3, 3, torch.inf], [torch.inf] * 4]


class OnTheDevice(TorchDispatchMode):
    """Lets nothing pass but what stays on the GPU, as a capture does."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves((args, kwargs, result)):
            if isinstance(each, torch.Tensor) and each.device.type != "cuda":
                raise AssertionError(f"{func} has a tensor on the {each.device}")
        return result


def tensors(n_lanes: int, device: str) -> Tensors:
    shapes = [torch.Size(each) for each in ((128, N_PIXELS), (128,), (10, 128), (10,))]
    n = sum(each.numel() for each in shapes)
    own: Callable[[], torch.Tensor] = lambda: torch.zeros(n_lanes, n, device=device)  # noqa: E731
    per_lane = torch.ones(n_lanes, 1, dtype=torch.float64, device=device)
    return Tensors(
        shapes=shapes,
        weights=own(),
        mean=own(),
        square=own(),
        gradient=own(),
        scratch=own(),
        rate=per_lane,
        n_batches=per_lane.clone(),
    )


@pytest.mark.parametrize(
    ("sizes", "is_for_all"),
    [(None, True), ([[4], [3]], True), ([[4], [0]], False)],
    ids=["even", "filled up", "one is done"],
)
def test_a_step_that_is_captured_asks_the_gpu_for_no_value(
    sizes: list[list[int]] | None, is_for_all: bool
) -> None:
    with FakeTensorMode():
        train = Part(
            x=torch.zeros(9, N_PIXELS, device="cuda"),
            y=torch.zeros(9, dtype=torch.int64, device="cuda"),
        )
        batch = Batch(
            rows=torch.zeros(2, 4, dtype=torch.int64, device="cuda"),
            sizes=None if sizes is None else torch.zeros(2, 1, dtype=torch.int64, device="cuda"),
            is_for_all=is_for_all,
        )
        own = tensors(2, "cuda")
        with OnTheDevice():
            own.one_batch(train, batch)


def test_a_captured_batch_is_the_one_that_was_given_last_in_the_same_memory() -> None:
    first = Batch(rows=torch.tensor([[1, 2], [3, 0]]), sizes=torch.tensor([[2], [1]]))
    second = Batch(rows=torch.tensor([[4, 0], [5, 6]]), sizes=torch.tensor([[1], [2]]))
    kept = first.copy()
    at = kept.rows.data_ptr()
    kept.take(second)
    assert kept.rows.data_ptr() == at != second.rows.data_ptr()
    assert [counted(kept, k) for k in range(2)] == [[4], [5, 6]]
    assert [counted(first, k) for k in range(2)] == [[1, 2], [3]]

"""Batches of several networks as one, where their sizes differ: which sizes go together, and how
rows are filled up.

A stack's tensors have one shape, so each lane's rows are filled up to the largest batch size among
the lanes with rows that count nothing, and a lane that has no batch left stands still while the
others go on. What a bucket spans bounds both together: of R rows that are computed R / 1.41 count,
but for the last batch of an epoch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import torch

BUCKETS_PER_OCTAVE = 2
"""The largest batch size of a bucket is less than sqrt(2) = 1.41 times its smallest: from 16 to 128
there are 7 buckets, where 1.26 would make 10. Each power of two is in the middle of one (54 to 76,
108 to 152), so that sizes chosen near it are together.
"""


def bucket(batch_size: int) -> int:
    """Names the bucket of a batch size, 1 or more; larger sizes have larger names."""
    return round(BUCKETS_PER_OCTAVE * math.log2(batch_size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch of each lane, or of the first lanes.

    Attributes:
        rows: numbers of the images, (lanes, width), int64; image 0 where nothing is meant.
        sizes: how many rows of each lane count, from the first on, (lanes, 1), int64; None where
            all of every lane do.
        is_for_all: whether each of these lanes has a row that counts.
    """

    rows: torch.Tensor
    sizes: torch.Tensor | None = None
    is_for_all: bool = True

    @property
    def kind(self) -> Hashable:
        """Equal for batches whose training is the same operations on tensors of the same shapes."""
        return *self.rows.shape, self.sizes is None, self.is_for_all

    def copy(self) -> Batch:
        """The same in memory of its own."""
        sizes = None if self.sizes is None else self.sizes.clone()
        return Batch(rows=self.rows.clone(), sizes=sizes, is_for_all=self.is_for_all)

    def take(self, other: Batch) -> None:
        """Becomes what another of the same kind is; its tensors stay where they are."""
        self.rows.copy_(other.rows)
        if self.sizes is not None and other.sizes is not None:
            self.sizes.copy_(other.sizes)


def divisors(sizes: torch.Tensor, width: int) -> torch.Tensor:
    """What a row's gradient is divided by for the mean over those that count, (lanes, width, 1):
    their number, and infinity for a row that does not.
    """
    is_filling = torch.arange(width, device=sizes.device) >= sizes
    return sizes.float().masked_fill(is_filling, math.inf).unsqueeze(2)


def batches_of(
    lanes: Sequence[Sequence[torch.Tensor]], width: int | None = None
) -> Iterator[Batch]:
    """The batches of lanes side by side; there are as many as the lane with most has.

    Args:
        lanes: for each the rows of its batches.
        width: of every batch whose lanes differ; then all lanes are in it. Without one, a batch has
            the lanes up to the last with rows left, and is as wide as the largest of them.
    """
    sizes = [[len(rows) for rows in batches] for batches in lanes]
    side_by_side = list(itertools.zip_longest(*sizes, fillvalue=0))
    widest = width or max(itertools.chain(*sizes), default=0)
    device = next((rows.device for batches in lanes for rows in batches), None)
    room = torch.zeros(len(side_by_side), len(lanes), widest, dtype=torch.int64, device=device)
    _fill(room, lanes)
    counts = torch.tensor(side_by_side, dtype=torch.int64, device=device).view(-1, len(lanes), 1)
    for k, of_lanes in enumerate(side_by_side):
        yield _batch(room[k], counts[k], of_lanes, is_fixed=width is not None)


def _batch(
    rows: torch.Tensor, counts: torch.Tensor, sizes: Sequence[int], *, is_fixed: bool
) -> Batch:
    """The batch of rows (lanes, widest), of which so many count: `sizes` on the CPU."""
    largest = max(sizes)
    if not is_fixed:
        n_lanes = max(k for k, size in enumerate(sizes) if size > 0) + 1
        sizes, counts = sizes[:n_lanes], counts[:n_lanes]
        rows = rows[:n_lanes, :largest]
    if min(sizes) == largest:
        return Batch(rows=rows[:, :largest].contiguous())
    return Batch(rows=rows.contiguous(), sizes=counts, is_for_all=min(sizes) > 0)


def _fill(room: torch.Tensor, lanes: Sequence[Sequence[torch.Tensor]]) -> None:
    """Puts rows into room (batches, lanes, widest); batches of one size that follow one another at
    once: on a GPU each copy costs as much as a step.
    """
    for k, batches in enumerate(lanes):
        at = 0
        for size, group in itertools.groupby(batches, key=len):
            rows = torch.stack(list(group))
            room[at : at + len(rows), k, :size] = rows
            at += len(rows)

"""Running statistics of batch normalisation, averaged outside of the layers.

The layers keep the mean and the unbiased variance of the batch before them; the averages over the
batches are made here, from what was noted. So it makes no difference to any bit whether the batches
were seen now or by an earlier training.
"""

from __future__ import annotations

import torch
from torch import nn


class RunningStatistics:
    """The averages of a network's batch normalisation; a network without any has rows of no width.

    Args:
        net: the network; its layers are told to keep each batch's statistics alone.
        momentum: weight of the newest batch, 0 to 1.
    """

    def __init__(self, net: nn.Module, momentum: float) -> None:
        self._momentum = momentum
        for norm in net.modules():
            if isinstance(norm, nn.BatchNorm1d):
                norm.momentum = 1.0
        self._kept = [
            buffer
            for name, buffer in net.named_buffers()
            if name.endswith(("running_mean", "running_var"))
        ]
        self.restore()

    def restore(self) -> None:
        """Goes on from the averages that stand in the network."""
        self._averages = torch.cat([*self._kept, torch.empty(0)]).cpu()

    def rows(self, n: int) -> torch.Tensor:
        """Room for the statistics of `n` batches, shape (n, statistics), float32."""
        for kept in self._kept:
            kept.zero_()  # or an infinite average would make the next batch's NaN: 0 * inf
        device = self._kept[0].device if self._kept else "cpu"
        return torch.empty(n, len(self._averages), device=device)

    def note(self, row: torch.Tensor) -> None:
        """Puts the statistics of the batch before into a row, shape (statistics,)."""
        if self._kept:
            torch.cat(self._kept, out=row)

    def take(self, batches: torch.Tensor) -> None:
        """Averages over batches that follow, shape (batches, statistics), and puts the averages
        into the network.
        """
        average(self._averages, batches, self._momentum)
        self.show()

    def show(self) -> None:
        """Puts the averages into the network, whatever stands there."""
        parts = torch.split(self._averages, [len(kept) for kept in self._kept])
        for kept, part in zip(self._kept, parts, strict=True):
            kept.copy_(part)


def average(running: torch.Tensor, batches: torch.Tensor, momentum: float) -> None:
    """running = (1 - momentum) * running + momentum * batch, for one batch after the other.

    As a single product, in float64: the i-th of n batches has the weight
    momentum * (1 - momentum)^(n - i), and what was there before them (1 - momentum)^n.

    Args:
        running: shape (statistics,), changed in place.
        batches: shape (batches, statistics).
    """
    faded = (1 - momentum) ** torch.arange(len(batches), -1, -1, dtype=torch.float64)
    weights = momentum * faded[1:]
    running.copy_(faded[0] * running.double() + weights @ batches.double())

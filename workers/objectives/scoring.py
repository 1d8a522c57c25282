"""How well a network of `mnist-mlp` does on images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from .mnist_data import Part

ROWS_AT_ONCE = 2_000
"""Rows scored at once: the activations stay in the cache."""
ThreadsOf: TypeAlias = Callable[[torch.Tensor], int]
"""How many threads the first layer may take for images (n, 784)."""


def one_thread(x: torch.Tensor) -> int:
    """Whatever the images."""
    return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How a network does: share of right answers, and mean cross entropy."""

    accuracy: float
    loss: float


@torch.no_grad()
def first_layer(net: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    """What the first layer makes of images, shape (rows, width).

    In the pieces that `score` takes, so that no bit differs.
    """
    return torch.cat([net[0](piece) for piece in torch.split(x, ROWS_AT_ONCE)])


def _through_first(net: nn.Sequential, x: torch.Tensor, n_threads: int) -> torch.Tensor:
    if n_threads > 1:
        torch.set_num_threads(n_threads)
    outputs: torch.Tensor = net[0](x)
    if n_threads > 1:
        torch.set_num_threads(1)
    return outputs


def _summed_loss(logits: torch.Tensor, y: torch.Tensor) -> float:
    """The sum of the rows' cross entropies.

    Logits lie class by row: the softmax over ten rows is five times as fast as over ten neighbours.
    """
    by_class = logits.t().contiguous().unsqueeze(0)
    return float(cross_entropy(by_class, y.unsqueeze(0), reduction="sum"))


@torch.no_grad()
def score(
    net: nn.Sequential,
    part: Part,
    *,
    first: torch.Tensor | None = None,
    threads: ThreadsOf = one_thread,
) -> Score:
    """Scores a network in evaluation mode and leaves it in training mode.

    Args:
        first: the first layer's outputs for the part, where they are known.
        threads: of the first layer, most of the work, where they are not.
    """
    net.eval()
    rest, inputs = net[1:], part.x if first is None else first
    n_right = 0
    loss = 0.0
    for x, y in zip(
        torch.split(inputs, ROWS_AT_ONCE), torch.split(part.y, ROWS_AT_ONCE), strict=True
    ):
        hidden = _through_first(net, x, threads(x)) if first is None else x
        logits = rest(hidden)
        n_right += int((logits.argmax(dim=1) == y).sum())
        loss += _summed_loss(logits, y)
    net.train()
    return Score(accuracy=n_right / len(part.y), loss=loss / len(part.y))

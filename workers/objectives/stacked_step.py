"""A training step of several networks `simple` as one, written out: one forward pass, one backward
pass and one step of Adam for all.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from .adam import BETA_1, BETA_2, EPSILON
from .mixed_batches import Batch, divisors
from .mnist_data import Part

_WARM_UPS = 3
"""Batches that are trained step by step before the step is captured for a GPU."""


@dataclass(slots=True, kw_only=True)
class Tensors:
    """What a step of stacked networks reads and changes; networks are called lanes.

    Attributes:
        shapes: of a network's parameters.
        weights, mean, square: all parameters, and Adam's two means of their gradients, each
            (lanes, n), float32.
        gradient, scratch: of the same shape; what they hold is of no meaning between two steps.
        rate: learning rates, (lanes, 1), float64.
        n_batches: steps of Adam so far, (lanes, 1), float64.
    """

    shapes: Sequence[torch.Size]
    weights: torch.Tensor
    mean: torch.Tensor
    square: torch.Tensor
    gradient: torch.Tensor
    scratch: torch.Tensor
    rate: torch.Tensor
    n_batches: torch.Tensor
    layers: Sequence[torch.Tensor] = field(init=False)
    _g_layers: Sequence[torch.Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.layers = _layers(self.weights, self.shapes)
        self._g_layers = _layers(self.gradient, self.shapes)

    def first(self, n: int) -> Tensors:
        """The same memory, of the first `n` lanes."""
        return Tensors(
            shapes=self.shapes,
            weights=self.weights[:n],
            mean=self.mean[:n],
            square=self.square[:n],
            gradient=self.gradient[:n],
            scratch=self.scratch[:n],
            rate=self.rate[:n],
            n_batches=self.n_batches[:n],
        )

    def one_batch(self, train: Part, batch: Batch) -> None:
        """Trains every lane on its batch. What is done depends on the batch's kind, not on what
        tensors hold, so that it can be captured for a GPU.
        """
        self._backward(train, batch)
        if batch.is_for_all or batch.sizes is None:
            self._move()
        else:
            self._move_some(batch.sizes > 0)

    def _backward(self, train: Part, batch: Batch) -> None:
        """Sets the gradients of each lane's mean cross entropy; see `written_out`."""
        w1, b1, w2, b2 = self.layers
        g_w1, g_b1, g_w2, g_b2 = self._g_layers
        n_lanes, width = batch.rows.shape
        flat = batch.rows.flatten()
        x = train.x.index_select(0, flat).view(n_lanes, width, -1)
        y = train.y.index_select(0, flat).view(n_lanes, width, 1)
        hidden = torch.baddbmm(b1, x, w1.transpose(1, 2)).relu_()
        d_logits = torch.baddbmm(b2, hidden, w2.transpose(1, 2)).softmax(dim=2)
        d_logits.scatter_add_(2, y, d_logits.new_full((n_lanes, width, 1), -1.0))
        if batch.sizes is None:
            d_logits.div_(width)
        else:
            d_logits.div_(divisors(batch.sizes, width))
        torch.bmm(d_logits.transpose(1, 2), hidden, out=g_w2)
        torch.sum(d_logits, 1, keepdim=True, out=g_b2)
        d_hidden = torch.bmm(d_logits, w2).mul_(hidden > 0)
        torch.bmm(d_hidden.transpose(1, 2), x, out=g_w1)
        torch.sum(d_hidden, 1, keepdim=True, out=g_b1)

    def _move(self) -> None:
        """One step of Adam for every lane, each with its own learning rate and number of steps.

        As in Kingma and Ba (2015), with c1 = 1 - beta1^t and c2 = 1 - beta2^t:
        w -= rate / c1 * m / (sqrt(v / c2) + eps), here with sqrt(c2) taken out of the fraction.
        """
        self.n_batches.add_(1)
        self.mean.lerp_(self.gradient, 1 - BETA_1)
        self.square.mul_(BETA_2)
        self._follow(self.rate, self.n_batches)

    def _move_some(self, is_moved: torch.Tensor) -> None:
        """The same for some lanes. The others stay what they are; their gradients have to be zero.

        Args:
            is_moved: which, (lanes, 1).
        """
        moves = is_moved.double()
        self.n_batches.add_(moves)
        self.mean.lerp_(self.gradient, (moves * (1 - BETA_1)).float())
        self.square.mul_((1 - moves * (1 - BETA_2)).float())
        # A lane that stands still before its first batch: 0 / 0 would be no zero.
        self._follow(self.rate * moves, self.n_batches.clamp(min=1))

    def _follow(self, rate: torch.Tensor, n_batches: torch.Tensor) -> None:
        """Moves the weights by the means, once that of the squares has faded.

        Args:
            rate: of learning, (lanes, 1); 0 moves nothing.
            n_batches: 1 or more, (lanes, 1).
        """
        root = (1 - BETA_2**n_batches).sqrt_()
        factor = -rate * root / (1 - BETA_1**n_batches)
        self.square.addcmul_(self.gradient, self.gradient, value=1 - BETA_2)
        torch.sqrt(self.square, out=self.scratch).add_((EPSILON * root).float())
        torch.div(self.mean, self.scratch, out=self.scratch)
        self.weights.addcmul_(self.scratch, factor.float())


def _layers(flat: torch.Tensor, shapes: Sequence[torch.Size]) -> list[torch.Tensor]:
    """Views of stacked parameters, flat (lanes, n), as (lanes, *shape); a bias as (lanes, 1, n)."""
    borders = [0, *itertools.accumulate(shape.numel() for shape in shapes)]
    views = []
    for shape, (low, high) in zip(shapes, itertools.pairwise(borders), strict=True):
        rows, columns = shape if len(shape) == 2 else (1, shape[0])
        views.append(flat[:, low:high].view(len(flat), rows, columns))
    return views


class Captured:
    """A batch of one kind as a graph of kernels that a GPU runs without a word from the CPU: a step
    is a dozen short kernels, each of which costs more to be launched than to run.

    The first batches are trained as on a CPU, as torch's documentation asks before a capture.

    Args:
        tensors: what is trained.
        train: the images.
        batch: of that kind.
    """

    def __init__(self, tensors: Tensors, train: Part, batch: Batch) -> None:
        self._tensors, self._train = tensors, train
        self._batch = batch.copy()
        self._n_warm = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def run(self, batch: Batch) -> None:
        """Trains on a batch."""
        self._batch.take(batch)
        if self._graph is not None:
            self._graph.replay()
        elif self._n_warm < _WARM_UPS:
            self._n_warm += 1
            self._on_a_side_stream()
        else:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._tensors.one_batch(self._train, self._batch)
            self._graph.replay()  # the capture itself has computed nothing

    def _on_a_side_stream(self) -> None:
        side: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self._tensors.one_batch(self._train, self._batch)
        torch.cuda.current_stream().wait_stream(side)

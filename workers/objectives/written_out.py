"""A training step of the network `simple`, written out.

On small batches autograd, an optimizer's bookkeeping and memory that is asked for anew cost more
than the arithmetic. Here Adam moves all parameters with one call, and a result goes where the one
of the batch before was, but for the large products where oneDNN makes them (batch 16 on one core:
0.19 ms a step, 0.26 with torch's optimizer and fresh memory).

Most of a step is two products, Adam's pass and the reading of the rows. These four take several
threads where there are cores for them; the small rest would only wait. No bit of a result
depends on it: before several threads are used for a size of batch, both ways are compared.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from .adam import Adam
from .mnist_data import Part
from .products import affine
from .threads_that_pay import MOST, ThreadsThatPay, is_same_on


class _Room:
    """Memory for what comes up in a batch of `n` rows; class by row where the names end in `t`."""

    def __init__(self, n: int, like: torch.Tensor) -> None:
        self.x, self.y = like.new_empty(n, 784), like.new_empty(n, dtype=torch.int64)
        self.hidden, self.d_hidden = like.new_empty(n, 128), like.new_empty(n, 128)
        self.logits_t, self.d_logits_t = like.new_empty(10, n), like.new_empty(10, n)
        self.minus, self.ones = like.new_full((1, n), -1.0), like.new_ones(n)
        # A tensor of the others' type: a number of Python's is converted in each batch.
        self.n = like.new_tensor(float(n))
        # Other views of the same memory, each made once.
        self.x_t, self.digits = self.x.t(), self.y.unsqueeze(0)
        self.d_hidden_t = self.d_hidden.t()
        self.d_logits = self.d_logits_t.t()


class WrittenOut:
    """The gradients of the mean cross entropy of a batch.

    With logits z of a batch of b rows: dL/dz = (softmax(z) - onehot(y)) / b, then the chain rule
    through the second layer, ReLU and the first layer. Logits lie class by row: the softmax over
    ten neighbours is six times slower than that over ten rows.

    Args:
        net: the network `simple`, whose parameters have gradients; both stay where they are.
    """

    def __init__(self, net: nn.Sequential) -> None:
        self._rooms: dict[int, _Room] = {}
        self._w1, self._b1, self._w2, b2 = (p.detach() for p in net.parameters())
        self._b2 = b2.unsqueeze(1)
        self._gradients = [p.grad for p in net.parameters() if p.grad is not None]

    @torch.no_grad()
    def __call__(self, train: Part, rows: torch.Tensor, n_threads: int = 1) -> torch.Tensor:
        """Takes the images of some rows; gives the gradient of the first layer's weights, which
        need not lie where the others do.

        Args:
            rows: their numbers, shape (b,), int64.
            n_threads: for what is worth them; with several torch is left set to so many, else to
                what it was.
        """
        room = self._room(len(rows))
        g_w1, g_b1, g_w2, g_b2 = self._gradients
        if n_threads > 1:
            torch.set_num_threads(n_threads)
        torch.index_select(train.x, 0, rows, out=room.x)
        hidden = affine(room.x, self._w1, self._b1, room=room.hidden)
        if n_threads > 1:
            torch.set_num_threads(1)
        torch.index_select(train.y, 0, rows, out=room.y)
        hidden.relu_()
        torch.addmm(self._b2, self._w2, hidden.t(), out=room.logits_t)
        torch.softmax(room.logits_t, 0, out=room.d_logits_t)
        room.d_logits_t.scatter_add_(0, room.digits, room.minus).div_(room.n)
        torch.mm(room.d_logits_t, hidden, out=g_w2)
        torch.mv(room.d_logits_t, room.ones, out=g_b2)
        torch.mm(room.d_logits, self._w2, out=room.d_hidden)
        # Nothing flows back where ReLU let nothing through.
        torch.ops.aten.threshold_backward.grad_input(
            room.d_hidden, hidden, 0, grad_input=room.d_hidden
        )
        torch.mv(room.d_hidden_t, room.ones, out=g_b1)
        if n_threads > 1:
            torch.set_num_threads(n_threads)
        return affine(room.d_hidden_t, room.x_t, room=g_w1)

    @torch.no_grad()
    def is_same_on(self, n_threads: int, train: Part, n_rows: int) -> bool:
        """Whether the two large products of a batch come to the same bits on so many threads."""
        x = train.x[:n_rows]
        d_hidden = affine(x, self._w1, self._b1)
        return self.is_first_same_on(n_threads, x) and is_same_on(
            n_threads, lambda: affine(d_hidden.t(), x.t())
        )

    @torch.no_grad()
    def is_first_same_on(self, n_threads: int, x: torch.Tensor) -> bool:
        """Whether the first layer's outputs for images come to the same bits on so many threads."""
        return is_same_on(n_threads, lambda: affine(x, self._w1, self._b1))

    def _room(self, n: int) -> _Room:
        room = self._rooms.get(n)
        if room is None:
            room = self._rooms[n] = _Room(n, self._w2)
        return room


class WrittenOutStep:
    """A whole step: the gradients of a batch, and Adam.

    Args:
        net: the network `simple`.
        optimizer: of it.
        n_cores: how many cores there are for it now.
    """

    def __init__(self, net: nn.Sequential, optimizer: Adam, n_cores: Callable[[], int]) -> None:
        self._optimizer = optimizer
        self._set_gradients = WrittenOut(net)
        self._n_cores = n_cores
        self._threads = ThreadsThatPay()
        self._same: dict[tuple[int, int], bool] = {}
        self._same_first: dict[tuple[int, int], bool] = {}

    def __call__(self, train: Part, rows: torch.Tensor) -> None:
        """Moves the network by one batch.

        Args:
            rows: the numbers of its images, shape (b,), int64.
        """
        n_threads = self._threads.begin(self._n_usable(train, len(rows)))
        self._optimizer.step(self._set_gradients(train, rows, n_threads))
        if n_threads > 1:
            torch.set_num_threads(1)
        self._threads.end()

    def n_threads_of_first(self, x: torch.Tensor) -> int:
        """How many threads the first layer's outputs for images (n, 784) may take between steps:
        as many as the last step, while there are cores for them and if no bit is to change.
        """
        n_threads = min(self._threads.n_now, self._n_cores())
        if n_threads == 1:
            return 1
        key = (n_threads, len(x))
        if key not in self._same_first:
            self._same_first[key] = self._set_gradients.is_first_same_on(n_threads, x)
        return n_threads if self._same_first[key] else 1

    def _n_usable(self, train: Part, n_rows: int) -> int:
        """How many cores a batch of so many rows may take now, if no bit is to change."""
        n_cores = min(self._n_cores(), MOST)
        if n_cores == 1:
            return 1
        key = (n_cores, n_rows)
        if key not in self._same:
            self._same[key] = self._set_gradients.is_same_on(
                n_cores, train, n_rows
            ) and self._optimizer.is_same_on(n_cores)
        return n_cores if self._same[key] else 1

"""Adam (Kingma and Ba 2015) on vectors that hold all parameters of a network.

torch's own optimizer imports torch's compiler with the first that is made: a second of CPU and
150 MB in each worker, for nothing here. The step is torch's fused kernel all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn

from .threads_that_pay import is_same_on

Pieces: TypeAlias = tuple[torch.Tensor, ...]
"""Parts of a vector that together are all of it."""

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
"""Those of the paper, and of torch where nothing else is said."""


@dataclass(slots=True)
class State:
    """What a network is trained to: its parameters one after the other and Adam's two means of
    their gradients, each (n,), and the number of batches so far.
    """

    weights: torch.Tensor
    mean: torch.Tensor
    square: torch.Tensor
    n_batches: int


class Adam:
    """Moves a network, whose parameters are parts of one vector from now on, as their gradients are
    of another.

    Args:
        net: its parameters are of one device and type.

    Attributes:
        state: where the network's parameters lie.
        gradients: of them, (n,).
    """

    def __init__(self, net: nn.Module, learning_rate: float) -> None:
        self._parameters = list(net.parameters())
        self._learning_rate = learning_rate
        weights = torch.cat([each.detach().flatten() for each in self._parameters])
        self.gradients = torch.zeros_like(weights)
        self._n_batches = weights.new_zeros((), dtype=torch.float32)
        self.lie_in(State(weights, torch.zeros_like(weights), torch.zeros_like(weights), 0))
        for each, gradient in zip(self._parameters, self._parts(self.gradients), strict=True):
            each.grad = gradient

    def lie_in(self, state: State) -> None:
        """Has the network's parameters be those of a state, whatever happens to that."""
        self.state = state
        vectors = state.weights, self.gradients, state.mean, state.square
        self._in_two = [self._split(each) for each in vectors]
        for each, weights in zip(self._parameters, self._parts(state.weights), strict=True):
            each.data = weights

    def _parts(self, vector: torch.Tensor) -> list[torch.Tensor]:
        pieces = torch.split(vector, [each.numel() for each in self._parameters])
        return [
            piece.view(each.shape) for piece, each in zip(pieces, self._parameters, strict=True)
        ]

    @torch.no_grad()
    def step(self, first: torch.Tensor | None = None) -> None:
        """Moves the parameters by their gradients, on as many threads as torch is set to.

        Args:
            first: the gradient of the first one, if it may lie elsewhere than in `gradients`.
        """
        state = self.state
        state.n_batches += 1
        if first is None or first.data_ptr() == self.gradients.data_ptr():
            vectors = state.weights, self.gradients, state.mean, state.square
            self._move(*((each,) for each in vectors), number=state.n_batches)
        else:
            weights, (_, rest), mean, square = self._in_two
            self._move(weights, (first.view(-1), rest), mean, square, number=state.n_batches)

    @torch.no_grad()
    def is_same_on(self, n_threads: int) -> bool:
        """Whether a step on so many threads would come to the same bits; takes none."""
        weights = self.state.weights

        def moved() -> torch.Tensor:
            # Made-up means and gradients: before the first step the real ones are zero, which
            # rounds alike in any way.
            vectors = [weights.clone(), weights.flip(0), 0.3 * weights, weights.square()]
            # Threads may differ in what they make of a denormal mean.
            still = [torch.zeros_like(weights) for _ in vectors]
            still[2].view(torch.int32).fill_(1000)
            for each in (vectors, still):
                self._move(*((one,) for one in each), number=self.state.n_batches + 1)
                self._move(*map(self._split, each), number=self.state.n_batches + 1)
            return torch.cat(vectors + still)

        return is_same_on(n_threads, moved)

    def _split(self, vector: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What is the first parameter's of a vector, and the rest of it."""
        n_first = self._parameters[0].numel()
        return vector[:n_first], vector[n_first:]

    def _move(
        self, weights: Pieces, gradients: Pieces, means: Pieces, squares: Pieces, *, number: int
    ) -> None:
        """Takes the step of a number, from 1 on."""
        torch._fused_adam_(
            weights,
            gradients,
            means,
            squares,
            [],
            [self._n_batches.fill_(number)] * len(weights),
            lr=self._learning_rate,
            beta1=BETA_1,
            beta2=BETA_2,
            weight_decay=0.0,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def saved(self) -> dict[str, Any]:
        """What the steps to come depend on besides the network's parameters."""
        state = self.state
        # Copies: what is saved of a view is all that it is a view of.
        means = {"mean": state.mean.clone(), "square": state.square.clone()}
        return {**means, "n_batches": state.n_batches}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Goes on from what `saved` gave for a network of the same shapes."""
        self.state.mean.copy_(saved["mean"])
        self.state.square.copy_(saved["square"])
        self.state.n_batches = int(saved["n_batches"])


@torch.no_grad()
def copy_into(weights: torch.Tensor, parameters: Iterable[nn.Parameter]) -> None:
    """Gives parameters other values in place, so that each stays a part of its vector.

    Args:
        weights: of all of them, one after the other, (m,).
    """
    at = 0
    for each in parameters:
        each.copy_(weights[at : at + each.numel()].view_as(each))
        at += each.numel()

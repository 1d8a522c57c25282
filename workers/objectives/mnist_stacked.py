"""Several networks `simple` on MNIST as one: a tensor holds a layer of all of them, and each batch
is one forward pass, one backward pass and one step of Adam for all.

Learning rate, batch size (within a bucket, see `mixed_batches`), seed, order of the images and
number of steps are each network's own. What one is trained to is what it would be trained to alone,
but for rounding: the products are of other shapes.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from tunewell.together import Seat, Wish

from .adam import State
from .mixed_batches import Batch, batches_of
from .mnist import Settings, Training
from .mnist_data import Part
from .scoring import ROWS_AT_ONCE, Score
from .stacked_step import Captured, Tensors
from .training_record import Record

_SEEDING = threading.Lock()
"""A network's weights are drawn from the process's one generator."""


class Lane(Training):
    """A training that goes on with others; its network's parameters lie in their stack.

    Args:
        key: of those that it can go on with.
        epoch_s: seconds that an epoch is thought to take alone.
    """

    def __init__(
        self,
        settings: Settings,
        train: Part,
        scored: Part,
        *,
        seat: Seat,
        key: Hashable,
        epoch_s: float,
    ) -> None:
        with _SEEDING:
            super().__init__(settings, train, scored)
        self._seat, self._key = seat, key
        self._step_s = epoch_s / settings.steps_per_epoch
        self._score: Score | None = None

    @property
    def settings(self) -> Settings:
        """What is trained."""
        return self._settings

    @property
    def parts(self) -> tuple[Part, Part]:
        """What is trained on, and what is scored."""
        assert self._scored is not None
        return self._train, self._scored

    @property
    def state(self) -> State:
        """What it is trained to."""
        return self._optimizer.state

    def lie_in(self, state: State) -> None:
        """Has the network be that of a state, whatever happens to it."""
        self._optimizer.lie_in(state)

    def steps(self) -> Iterator[int]:
        """Trains to the end, a step at a time; says how many there were."""
        for _ in range(self.step, self._settings.epochs * self._settings.steps_per_epoch):
            wish = Wish(
                training=self,
                to_step=self.step + 1,
                key=self._key,
                many=advance_many,
                prior_s=self._step_s,
            )
            self._score = self._seat.advance(wish)
            yield self.step

    def score(self) -> Score:
        """As it was found when the step was done; else anew."""
        return super().score() if self._score is None else self._score

    def next_batches(self) -> list[torch.Tensor]:
        """Rows of the batches of the step that is trained now."""
        batches = self._next_batches()
        self.step += 1
        return batches


class Single(Training):
    """A training that goes on alone, in a process where others are trained too."""

    def __init__(
        self, settings: Settings, train: Part, scored: Part, record: Record | None, *, seat: Seat
    ) -> None:
        with _SEEDING:
            super().__init__(settings, train, scored, record)
        self._seat = seat

    def steps(self) -> Iterator[int]:
        """Trains to the end, a step at a time; says how many there were."""
        steps = super().steps()
        while (step := self._seat.alone(lambda: next(steps, None))) is not None:
            yield step


def advance_many(lanes: Sequence[Lane], to_steps: Sequence[int]) -> list[Score]:
    """Trains each lane for its next step and scores it.

    Args:
        to_steps: for each the step that comes next.
    """
    # Those with most batches come first: what goes on when others have no batch left is in front.
    stack = stack_of(sorted(lanes, key=lambda lane: lane.settings.batch_size))
    stack.train([lane.next_batches() for lane in stack.lanes])
    scores = dict(zip(stack.lanes, stack.scores(), strict=True))
    return [scores[lane] for lane in lanes]


def stack_of(lanes: Sequence[Lane]) -> Stack:
    """The stack that the lanes are in, with no other in it; a new one where there is none."""
    found = _LAST.get("stack")
    if found is None or found.lanes != list(lanes) or not found.has_all():
        found = _LAST["stack"] = Stack(lanes)
    return found


_LAST: dict[str, Stack] = {}
"""The stack that was trained last: mostly it is the next one too."""


class Stack:
    """The networks of several lanes as one.

    Attributes:
        lanes: whose states are rows of the stack's tensors.
        n_optimizer_steps: how often Adam has moved all of them that had a batch.
        has_fixed_shapes: whether lanes without a batch stay in the batches of the others, and all
            that differ in size are filled up to one width. So it is on a GPU, where each shape is
            captured for itself; on a CPU it would be for nothing.
    """

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.lanes = list(lanes)
        self.n_optimizer_steps = 0
        states = [lane.state for lane in lanes]
        weights = torch.stack([state.weights for state in states])
        like: dict[str, Any] = {"dtype": torch.float64, "device": weights.device}
        self._tensors = Tensors(
            shapes=[each.shape for each in lanes[0].net.parameters()],
            weights=weights,
            mean=torch.stack([state.mean for state in states]),
            square=torch.stack([state.square for state in states]),
            gradient=torch.zeros_like(weights),
            scratch=torch.zeros_like(weights),
            rate=torch.tensor([[lane.settings.learning_rate] for lane in lanes], **like),
            n_batches=torch.tensor([[state.n_batches] for state in states], **like),
        )
        self._first = {len(lanes): self._tensors}
        self._train, self._scored = lanes[0].parts
        largest = max(lane.settings.batch_size for lane in lanes)
        self._width = min(largest, len(self._train.y))
        self.has_fixed_shapes = _has_fixed_shapes(weights)
        self._captured: dict[Hashable, Captured] = {}
        self._lay_lanes(states)

    def _lay_lanes(self, states: Sequence[State]) -> None:
        """Has each lane's state be a row of the tensors."""
        rows = zip(self._tensors.weights, self._tensors.mean, self._tensors.square, strict=True)
        for lane, state, row in zip(self.lanes, states, rows, strict=True):
            lane.lie_in(State(*row, state.n_batches))

    def has_all(self) -> bool:
        """Whether each lane's state is still the one here: a lane that left may be in another."""
        return all(
            lane.state.weights.data_ptr() == row.data_ptr()
            for lane, row in zip(self.lanes, self._tensors.weights, strict=True)
        )

    @torch.no_grad()
    def train(self, batches: Sequence[Sequence[torch.Tensor]]) -> None:
        """Trains on batches: for each lane rows of the images. A lane with fewer batches than
        others stays as it is after its last.
        """
        for batch in batches_of(batches, self._width if self.has_fixed_shapes else None):
            self._step(batch)
        n_batches = self._tensors.n_batches.flatten().tolist()
        for lane, n in zip(self.lanes, n_batches, strict=True):
            lane.state.n_batches = int(n)

    def _step(self, batch: Batch) -> None:
        """One batch of every lane that has one."""
        self.n_optimizer_steps += 1
        tensors = self._of_first(len(batch.rows))
        if not tensors.weights.is_cuda:
            tensors.one_batch(self._train, batch)
            return
        if batch.kind not in self._captured:
            self._captured[batch.kind] = Captured(tensors, self._train, batch)
        self._captured[batch.kind].run(batch)

    def _of_first(self, n: int) -> Tensors:
        """The tensors of the first lanes, whose views are made once."""
        if n not in self._first:
            self._first[n] = self._tensors.first(n)
        return self._first[n]

    @torch.no_grad()
    def scores(self) -> list[Score]:
        """How each lane's network does on what is scored."""
        n_lanes, n_rows = len(self.lanes), len(self._scored.y)
        w1, b1, w2, b2 = self._tensors.layers
        right = torch.zeros(n_lanes, device=w1.device)
        loss = torch.zeros(n_lanes, dtype=torch.float64, device=w1.device)
        for x, y in zip(
            torch.split(self._scored.x, ROWS_AT_ONCE),
            torch.split(self._scored.y, ROWS_AT_ONCE),
            strict=True,
        ):
            hidden = torch.baddbmm(b1, x.expand(n_lanes, -1, -1), w1.transpose(1, 2)).relu_()
            logits = torch.baddbmm(b2, hidden, w2.transpose(1, 2))
            right += (logits.argmax(dim=2) == y).sum(dim=1)
            each = cross_entropy(logits.flatten(0, 1), y.repeat(n_lanes), reduction="none")
            loss += each.view(n_lanes, -1).sum(dim=1)
        return [
            Score(accuracy=n_right / n_rows, loss=total / n_rows)
            for n_right, total in zip(right.tolist(), loss.tolist(), strict=True)
        ]


def _has_fixed_shapes(weights: torch.Tensor) -> bool:
    """Whether stacks on the device of these are trained with fixed shapes."""
    return weights.is_cuda

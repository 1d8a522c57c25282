"""Several networks `simple` on MNIST as one: a tensor holds a layer of all of them, and each batch
is one forward pass, one backward pass and one step of Adam for all.

Learning rate, seed, order of the images and number of steps are each network's own. What one is
trained to is what it would be trained to alone, but for rounding: the products are of other shapes.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector

from tunewell.together import Seat, Wish

from .mnist import EVALUATION_ROWS, Score, Settings, Training
from .mnist_data import Part
from .training_record import Record

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's, as torch has them by default."""
_WARM_UPS = 3
"""Batches that are trained step by step before the step is captured for a GPU."""
_SEEDING = threading.Lock()
"""A network's weights are drawn from the process's one generator."""


@dataclass(slots=True)
class State:
    """What a network is trained to: its parameters one after the other and Adam's two means of
    their gradients, each (n,), and the number of batches so far.
    """

    weights: torch.Tensor
    mean: torch.Tensor
    square: torch.Tensor
    n_batches: int


class Lane(Training):
    """A training that goes on with others; its network's parameters lie in `state.weights`.

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
        weights = parameters_to_vector(self._net.parameters()).detach().clone()
        self.lie_in(State(weights, torch.zeros_like(weights), torch.zeros_like(weights), 0))

    @property
    def settings(self) -> Settings:
        """What is trained."""
        return self._settings

    @property
    def parts(self) -> tuple[Part, Part]:
        """What is trained on, and what is scored."""
        assert self._scored is not None
        return self._train, self._scored

    def lie_in(self, state: State) -> None:
        """Has the network's parameters be those of a state, whatever happens to that."""
        self.state = state
        at = 0
        for each in self._net.parameters():
            each.data = state.weights[at : at + each.numel()].view_as(each)
            at += each.numel()

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

    def saved(self) -> bytes:
        """As a training of its own saves it, which can go on from it."""
        optimizer = self._optimizer.state_dict()
        optimizer["state"] = {}
        at = 0
        for index, each in enumerate(self._net.parameters()):
            own = slice(at, at + each.numel())
            optimizer["state"][index] = {
                "step": torch.tensor(float(self.state.n_batches)),
                "exp_avg": self.state.mean[own].view_as(each).clone(),
                "exp_avg_sq": self.state.square[own].view_as(each).clone(),
            }
            at += each.numel()
        # Copies: what is saved of a view is all that it is a view of.
        net = {name: value.clone() for name, value in self._net.state_dict().items()}
        file = BytesIO()
        content = {"step": self.step, "net": net, "optimizer": optimizer}
        torch.save({**content, "order": self._epoch_begin}, file)
        return file.getvalue()

    def _load(self, content: bytes) -> None:
        super()._load(content)
        of = [self._optimizer.state.get(each, {}) for each in self._net.parameters()]
        weights = parameters_to_vector(self._net.parameters()).detach().clone()
        state = State(weights, torch.zeros_like(weights), torch.zeros_like(weights), 0)
        if all(of):
            state.mean = torch.cat([each["exp_avg"].flatten() for each in of])
            state.square = torch.cat([each["exp_avg_sq"].flatten() for each in of])
            state.n_batches = int(of[0]["step"])
        self._optimizer.state.clear()
        self.lie_in(state)


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

    Lanes whose batches differ in number or size, as those of different thirds of an epoch do, are
    trained one set after the other.

    Args:
        to_steps: for each the step that comes next.
    """
    batches = [lane.next_batches() for lane in lanes]
    scores: dict[Lane, Score] = {}
    shapes = [tuple(len(rows) for rows in each) for each in batches]
    for shape in dict.fromkeys(shapes):
        chosen = [k for k, each in enumerate(shapes) if each == shape]
        stack = stack_of([lanes[k] for k in chosen])
        stack.train([batches[k] for k in chosen])
        scores |= dict(zip(stack.lanes, stack.scores(), strict=True))
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
        n_optimizer_steps: how often Adam has moved all of them.
    """

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.lanes = list(lanes)
        self.n_optimizer_steps = 0
        states = [lane.state for lane in lanes]
        self._weights = torch.stack([state.weights for state in states])
        self._mean = torch.stack([state.mean for state in states])
        self._square = torch.stack([state.square for state in states])
        self._gradient = torch.zeros_like(self._weights)
        self._scratch = torch.zeros_like(self._weights)
        like: dict[str, Any] = {"dtype": torch.float64, "device": self._weights.device}
        self._n_batches = torch.tensor([[state.n_batches] for state in states], **like)
        self._rate = torch.tensor([[lane.settings.learning_rate] for lane in lanes], **like)
        shapes = [each.shape for each in lanes[0].net.parameters()]
        self._w1, self._b1, self._w2, self._b2 = _layers(self._weights, shapes)
        self._g_w1, self._g_b1, self._g_w2, self._g_b2 = _layers(self._gradient, shapes)
        self._train, self._scored = lanes[0].parts
        self._captured: dict[int, Captured] = {}
        for k, lane in enumerate(lanes):
            lane.lie_in(
                State(self._weights[k], self._mean[k], self._square[k], states[k].n_batches)
            )

    def has_all(self) -> bool:
        """Whether each lane's state is still the one here: a lane that left may be in another."""
        return all(
            lane.state.weights.data_ptr() == self._weights[k].data_ptr()
            for k, lane in enumerate(self.lanes)
        )

    @torch.no_grad()
    def train(self, batches: Sequence[Sequence[torch.Tensor]]) -> None:
        """Trains on batches: for each lane rows of the images, of the same sizes for all."""
        for rows in (torch.stack(each) for each in zip(*batches, strict=True)):
            self._step(rows)
        for lane, n_batches in zip(self.lanes, self._n_batches.flatten().tolist(), strict=True):
            lane.state.n_batches = int(n_batches)

    def _step(self, rows: torch.Tensor) -> None:
        """One batch of every lane; `rows` (lanes, batch)."""
        self.n_optimizer_steps += 1
        if rows.device.type != "cuda":
            self._backward(rows)
            self._move()
            return
        size = rows.shape[1]
        captured = self._captured.setdefault(size, Captured(self, rows))
        captured.run(rows)

    def one_batch(self, rows: torch.Tensor) -> None:
        """What is captured for a GPU."""
        self._backward(rows)
        self._move()

    def _backward(self, rows: torch.Tensor) -> None:
        """Sets the gradients of each lane's mean cross entropy; see `mnist._written_out`."""
        n_lanes, size = rows.shape
        flat = rows.flatten()
        x = self._train.x.index_select(0, flat).view(n_lanes, size, -1)
        y = self._train.y.index_select(0, flat).view(n_lanes, size, 1)
        hidden = torch.baddbmm(self._b1, x, self._w1.transpose(1, 2)).relu_()
        d_logits = torch.baddbmm(self._b2, hidden, self._w2.transpose(1, 2)).softmax(dim=2)
        d_logits.scatter_add_(2, y, d_logits.new_full((n_lanes, size, 1), -1.0)).div_(size)
        torch.bmm(d_logits.transpose(1, 2), hidden, out=self._g_w2)
        torch.sum(d_logits, 1, keepdim=True, out=self._g_b2)
        d_hidden = torch.bmm(d_logits, self._w2).mul_(hidden > 0)
        torch.bmm(d_hidden.transpose(1, 2), x, out=self._g_w1)
        torch.sum(d_hidden, 1, keepdim=True, out=self._g_b1)

    def _move(self) -> None:
        """One step of Adam for every lane, each with its own learning rate and number of steps.

        As in Kingma and Ba (2015), with c1 = 1 - beta1^t and c2 = 1 - beta2^t:
        w -= rate / c1 * m / (sqrt(v / c2) + eps), here with sqrt(c2) taken out of the fraction.
        """
        self._n_batches.add_(1)
        root = (1 - BETA_2**self._n_batches).sqrt_()
        factor = -self._rate * root / (1 - BETA_1**self._n_batches)
        self._mean.lerp_(self._gradient, 1 - BETA_1)
        self._square.mul_(BETA_2).addcmul_(self._gradient, self._gradient, value=1 - BETA_2)
        torch.sqrt(self._square, out=self._scratch).add_((EPSILON * root).float())
        torch.div(self._mean, self._scratch, out=self._scratch)
        self._weights.addcmul_(self._scratch, factor.float())

    @torch.no_grad()
    def scores(self) -> list[Score]:
        """How each lane's network does on what is scored."""
        n_rows = len(self._scored.y)
        right = torch.zeros(len(self.lanes), device=self._weights.device)
        loss = torch.zeros(len(self.lanes), dtype=torch.float64, device=self._weights.device)
        for x, y in zip(
            torch.split(self._scored.x, EVALUATION_ROWS),
            torch.split(self._scored.y, EVALUATION_ROWS),
            strict=True,
        ):
            x = x.expand(len(self.lanes), -1, -1)
            hidden = torch.baddbmm(self._b1, x, self._w1.transpose(1, 2)).relu_()
            logits = torch.baddbmm(self._b2, hidden, self._w2.transpose(1, 2))
            right += (logits.argmax(dim=2) == y).sum(dim=1)
            each = cross_entropy(logits.flatten(0, 1), y.repeat(len(self.lanes)), reduction="none")
            loss += each.view(len(self.lanes), -1).sum(dim=1)
        return [
            Score(accuracy=n_right / n_rows, loss=total / n_rows)
            for n_right, total in zip(right.tolist(), loss.tolist(), strict=True)
        ]


def _layers(flat: torch.Tensor, shapes: Sequence[torch.Size]) -> list[torch.Tensor]:
    """Views of stacked parameters, flat (lanes, n), as (lanes, *shape); a bias as (lanes, 1, n)."""
    borders = [0, *itertools.accumulate(shape.numel() for shape in shapes)]
    views = []
    for shape, (low, high) in zip(shapes, itertools.pairwise(borders), strict=True):
        rows, columns = shape if len(shape) == 2 else (1, shape[0])
        views.append(flat[:, low:high].view(len(flat), rows, columns))
    return views


class Captured:
    """A batch of one size as a graph of kernels that a GPU runs without a word from the CPU: a step
    is a dozen short kernels, each of which costs more to be launched than to run.

    The first batches are trained as on a CPU, as torch's documentation asks before a capture.

    Args:
        stack: what is trained.
        rows: of a batch of that size.
    """

    def __init__(self, stack: Stack, rows: torch.Tensor) -> None:
        self._stack = stack
        self._rows = torch.empty_like(rows)
        self._n_warm = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def run(self, rows: torch.Tensor) -> None:
        """Trains on a batch."""
        self._rows.copy_(rows)
        if self._graph is not None:
            self._graph.replay()
        elif self._n_warm < _WARM_UPS:
            self._n_warm += 1
            self._on_a_side_stream()
        else:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._stack.one_batch(self._rows)
            self._graph.replay()  # the capture itself has computed nothing

    def _on_a_side_stream(self) -> None:
        side: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self._stack.one_batch(self._rows)
        torch.cuda.current_stream().wait_stream(side)

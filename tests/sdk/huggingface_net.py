"""A tiny network for the Hugging Face Trainer, and a script that trains it as a trial; run as
`python -m tests.sdk.huggingface_net STUDY FOLDER [kill|sleep|hear]`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

import tunewell as tw
from tunewell.huggingface import TunewellCallback

STEPS = 20
"""A training: evaluated and saved each 5 steps."""


class Rows(torch.utils.data.Dataset[Any]):
    """Sixteen rows of three tokens."""

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": [index, 1, 2], "attention_mask": [1, 1, 1], "labels": index % 2}


class Steps(TrainerCallback):  # type: ignore[misc]
    """Notes the steps that are trained; calls a mishap before each."""

    def __init__(self, mishap: Callable[[int], None] | None) -> None:
        self.steps: list[int] = []
        self.mishap = mishap

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.mishap is not None:
            self.mishap(state.global_step + 1)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.steps.append(state.global_step)


def network() -> BertForSequenceClassification:
    """A model of some hundred weights, out of a configuration."""
    config = BertConfig(
        vocab_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=4,
    )  # fmt: skip
    return BertForSequenceClassification(config)


def train(
    trial: tw.Trial | None,
    folder: Path,
    values: Sequence[float],
    mishap: Callable[[int], None] | None = None,
    **more: Any,
) -> tuple[Trainer, list[int]]:
    """Trains as a trial, from where the trial was; evaluations find the given values, one each.

    Returns:
        The trainer, and the steps that it trained.
    """
    callback = TunewellCallback(trial, monitor="eval_accuracy", metric="accuracy")
    steps = Steps(mishap)
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=STEPS, per_device_train_batch_size=4, report_to=[],
        eval_strategy="steps", eval_steps=5, disable_tqdm=True, use_cpu=True,
        dataloader_pin_memory=False, **{"save_strategy": "steps", "save_steps": 5, **more},
    )  # fmt: skip
    trainer = Trainer(
        network(), arguments, train_dataset=Rows(), eval_dataset=Rows(),
        callbacks=[steps, callback],
        compute_metrics=lambda _: {"accuracy": values[trainer.state.global_step // 5 - 1]},
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=callback.resume_from)
    return trainer, steps.steps


def heard(trial: tw.Trial, step: int) -> None:
    """Waits in the twelfth step until the service has answered all reports."""
    if step == 12:
        lease = trial._channel  # type: ignore[attr-defined]
        lease.session.sender.flush(lease.held).result(timeout=60)


def mishap(what: str, trial: tw.Trial) -> Callable[[int], None]:
    """What befalls the script in its twelfth step."""

    def befall(step: int) -> None:
        if what == "hear":
            heard(trial, step)
        if step == 12 and what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if step == 12 and what == "sleep":
            print("sleeping", flush=True)
            time.sleep(60)

    return befall


def main(study: str, folder: str, what: str = "") -> None:
    """Trains the trials of a study; in a group of processes rank 0 has the trial."""
    values = [0.1, 0.2, 0.3, 0.4]
    if os.environ.get("RANK", "0") != "0":
        _, steps = train(None, Path(folder), values, ddp_backend="gloo")
        print("trained", steps[0], steps[-1], flush=True)
        return
    for trial in tw.connect().studies.get(study).ask_until_done():
        with trial:
            print("begun", trial.id, trial.last_step, flush=True)
            more = {"ddp_backend": "gloo"} if "RANK" in os.environ else {}
            _, steps = train(trial, Path(folder), values, mishap(what, trial), **more)
            print("trained", steps[0], steps[-1], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

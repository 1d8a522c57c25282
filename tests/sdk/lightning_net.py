"""A tiny network for PyTorch Lightning, and a script that trains it as a trial; run as
`python -m tests.sdk.lightning_net STUDY [kill|sleep]`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset

import tunewell as tw
from tunewell import leased
from tunewell.lightning import TunewellCallback


class Net(LightningModule):
    """Logs given values, one an epoch, as `name`; `mishap` is called before a batch is trained,
    with the epoch.
    """

    def __init__(self, values: Sequence[float], mishap: Any = None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.values, self.mishap, self.name = values, mishap, "val_acc"
        self.epochs: list[int] = []

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        if index == 0:
            self.epochs.append(self.current_epoch)
            if self.mishap is not None:
                self.mishap(self.current_epoch)
        (x,) = batch
        return self.layer(x).square().mean()

    def validation_step(self, batch: Any, index: int) -> None:
        self.log(self.name, self.values[self.current_epoch])

    def val_dataloader(self) -> DataLoader[Any]:
        return data()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def data() -> DataLoader[Any]:
    """Two batches."""
    return DataLoader(TensorDataset(torch.ones(8, 2)), batch_size=4)


def quiet(**settings: Any) -> Trainer:
    """A quiet trainer on a CPU, which keeps nothing by itself."""
    return Trainer(
        logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, **{"accelerator": "cpu", "devices": 1, **settings},
    )  # fmt: skip


def trainer(callback: TunewellCallback, epochs: int, **more: Any) -> Trainer:
    """A trainer with the callback."""
    return quiet(max_epochs=epochs, callbacks=[callback], **more)


def fit(trial: tw.Trial | None, net: Net, **more: Any) -> Trainer:
    """Trains a network as a trial, from where the trial was."""
    callback = TunewellCallback(trial, monitor="val_acc", metric="accuracy")
    made = trainer(callback, len(net.values), **more)
    made.fit(net, data(), data(), ckpt_path=callback.ckpt_path)
    return made


def heard(trial: tw.Trial, epoch: int) -> None:
    """Waits in the third epoch until the service has answered all reports."""
    if epoch == 2:
        lease = trial._channel  # type: ignore[attr-defined]
        lease.session.sender.flush(lease.held).result(timeout=60)


def mishap(what: str, trial: tw.Trial) -> Any:
    """What befalls the script in its third epoch."""

    def befall(epoch: int) -> None:
        if what == "hear":
            heard(trial, epoch)
        if epoch == 2 and what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if epoch == 2 and what == "sleep":
            print("sleeping", flush=True)
            time.sleep(60)

    return befall


def main(study: str, what: str = "") -> None:
    """Trains the trials of a study; in a group of processes rank 0 has the trial."""
    values = [0.1, 0.2, 0.3, 0.4]
    leased.CHECKPOINT_EVERY_S = float(os.environ.get("SAVE_EVERY_S", leased.CHECKPOINT_EVERY_S))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    more = {"strategy": "ddp", "devices": world} if world > 1 else {}
    if os.environ.get("LOCAL_RANK", "0") != "0":
        net = Net(values)
        print("epochs", fit(None, net, **more).current_epoch, net.epochs, flush=True)
        return
    for trial in tw.connect().studies.get(study).ask_until_done():
        with trial:
            net = Net(values, mishap(what, trial))
            print("begun", trial.id, trial.last_step, flush=True)
            made = fit(trial, net, **more)
            print("epochs", made.current_epoch, net.epochs, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

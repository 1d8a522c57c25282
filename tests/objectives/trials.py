"""A trial that keeps what is reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tunewell.objective import Trial


class Kept:
    """Keeps the reports; asks to stop after a number of them, or at the step `pause_at`."""

    def __init__(self, stop_after: int | None = None, *, checkpoints: bool = False) -> None:
        self.reports: list[tuple[int, dict[str, float]]] = []
        self.checkpoints: list[tuple[int, bytes]] = []
        self.should_checkpoint = checkpoints
        self._stop_after = stop_after
        self.to_step: int | None = None
        self.pause_at: int | None = None

    @property
    def should_stop(self) -> bool:
        if self.pause_at is not None and self.reports:
            return self.reports[-1][0] >= self.pause_at
        return self._stop_after is not None and len(self.reports) >= self._stop_after

    def report(self, step: int, values: Mapping[str, float], elapsed_s: float) -> None:
        self.reports.append((step, dict(values)))

    def save(self, step: int, path: Path, name: str) -> None:
        assert [file.name for file in path.iterdir()] == ["state"]
        self.checkpoints.append((step, (path / "state").read_bytes()))

    def elapsed_s(self) -> float:
        return 0.0


def trial(
    params: Mapping[str, Any],
    options: Mapping[str, Any] | None = None,
    *,
    number: int = 1,
    kept: Kept | None = None,
    checkpoint_dir: Path | None = None,
    last_step: int = 0,
    store_dir: Path | None = None,
    cores_now: Callable[[], int] | None = None,
) -> Trial:
    """A trial of a point."""
    return Trial(
        id="tr_1",
        number=number,
        params=params,
        options=options or {},
        channel=kept or Kept(),
        checkpoint_dir=checkpoint_dir,
        last_step=last_step,
        store_dir=store_dir,
        cores_now=cores_now,
    )

"""How much memory each objective's trials took, kept in the worker's state folder."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .fitting import KEPT_PEAKS
from .log import Log


class Peaks:
    """The last peaks by kind of memory ("gpu" or "cpu") and objective, in bytes.

    A file that cannot be read or written is told of and else left alone: what it holds is learned
    again.

    Args:
        path: the file; it need not be there.
        log: the worker's lines.
    """

    def __init__(self, path: Path, log: Log) -> None:
        self._path = path
        self._log = log
        self._peaks: dict[str, list[int]] = {}
        try:
            self._peaks = _checked(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            log("peaks_unreadable", file=str(path), detail=str(error))

    def of(self, kind: str, objective: str) -> Sequence[int]:
        """The last peaks, oldest first."""
        return self._peaks.get(f"{kind}/{objective}", ())

    def add(self, kind: str, objective: str, peak_bytes: int) -> None:
        """Keeps a trial's peak. The file is written anew when the largest has changed, by a rename:
        who reads it never finds half of it.
        """
        before = self.of(kind, objective)
        after = [*before, peak_bytes][-KEPT_PEAKS:]
        self._peaks[f"{kind}/{objective}"] = after
        if max(before, default=0) == max(after):
            return
        part = self._path.with_suffix(f".{os.getpid()}.part")
        try:
            part.write_text(json.dumps(self._peaks))
            part.replace(self._path)
        except OSError as error:
            self._log("peaks_unwritten", file=str(self._path), detail=str(error))


def _checked(content: Any) -> dict[str, list[int]]:
    """What a file holds.

    Raises:
        ValueError: it is not what `Peaks` writes.
    """
    if not isinstance(content, dict):
        raise ValueError("no table of peaks")
    for key, peaks in content.items():
        is_list = isinstance(peaks, list) and 0 < len(peaks) <= KEPT_PEAKS
        if not is_list or any(type(each) is not int or each < 0 for each in peaks):
            raise ValueError(f"{key}: no list of sizes")
    return content

"""Folders of trials on a node: nothing is left behind, nothing is taken from one that runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workers.engines.trial_folder import TrialFolder


def test_what_a_killed_process_left_is_removed_by_the_next_trial_and_no_other(
    tmp_path: Path,
) -> None:
    pid = os.fork()
    if pid == 0:
        (TrialFolder(tmp_path).path / "resume").write_text("large")
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    (left,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert (left / "resume").exists()
    mine = TrialFolder(tmp_path)
    another = TrialFolder(tmp_path)
    assert not left.exists()
    assert mine.path.is_dir()
    mine.remove()
    another.remove()
    assert not mine.path.exists()


def test_a_folder_of_another_user_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(PermissionError, match="belongs to another user"):
        TrialFolder(tmp_path)

"""The Python of the page on the SDK, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import tunewell as tw

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "python.md"


def blocks(path: Path) -> list[str]:
    """The blocks of Python, but for that of Lightning, which test_lightning.py runs."""
    found: list[str] = re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)
    return [block for block in found if "tunewell.lightning" not in block]


@pytest.fixture
def names(
    client: tw.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> dict[str, Any]:
    """What a reader has at hand, with the shared service in place of one at the usual address."""
    monkeypatch.setenv("TUNEWELL_URL", client.url)
    monkeypatch.setenv("TUNEWELL_TOKEN", client.token)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".tunewell").symlink_to(folder)
    return {"__name__": "__main__"}


def test_every_block_of_the_page_runs(
    names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    found = blocks(PAGE)
    assert len(found) == 9
    kept = {}
    for k, block in enumerate(found):
        exec(compile(block, f"{PAGE.name}-{k + 1}", "exec"), names)
        if k == 0:
            kept["study"] = names["study"]
            kept["client"] = names["client"]
        if k == 1:
            # The blocks after it go on with the study of the first, which has a new budget.
            fresh = kept["client"].studies.create(
                "cnn-2", [tw.Float("lr", 1e-5, 1e-1, log=True), tw.Int("width", 16, 512)],
                tw.maximize("accuracy"), max_trials=3, suggester="random",
            )  # fmt: skip
            names["study"] = fresh
        if k == 3:
            names["study"].resume(max_trials=9)
        if k == 4:
            names["study"].resume(max_trials=12)
    assert kept["study"].refresh().state == "completed"
    assert kept["study"].info.n_finished == 20
    assert "accuracy=" in capsys.readouterr().out

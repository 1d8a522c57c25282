"""The README's text runs as it stands there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from .running import Service

README = Path(__file__).parents[2] / "README.md"


def block(name: str) -> str:
    """The code block of the README that follows the mark of this name."""
    found = re.search(rf"<!-- test: {name} -->\n```sh\n(.*?)```", README.read_text(), re.DOTALL)
    assert found is not None, f"the README has no block marked {name}"
    return found[1]


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_ask_and_tell_by_curl_alone(service: Service, folder: Path) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block("ask-and-tell")],
        env={"TUNEWELL_URL": service.url, "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) >= 0.0
    (study,) = service.call("GET", "/v1/studies")["studies"]
    assert study["state"] == "completed"
    assert study["trial_counts"]["completed"] == 8
    assert study["best"]["values"]["value"] == float(done.stdout)

"""The calls of examples/curl.md, copied from it, against a real service."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from tunewell.private import Local

PAGE = Path(__file__).parents[2] / "examples" / "curl.md"


def test_the_calls_of_the_page_work(local: Local) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    _, create, ask, report, tell, look = blocks
    names = {"URL": local.url}

    def run(block: str) -> Any:
        # The page shows where ids go as `STUDY=st_...`; here they are in the environment.
        script = re.sub(r"^[A-Z]+=\S+( [A-Z]+=\S+)?$", "", block, flags=re.MULTILINE)
        done = subprocess.run(
            ["bash", "-euc", script],
            capture_output=True,
            text=True,
            env={**names, "PATH": os.defpath},
            check=True,
            timeout=60,
        )
        return json.loads(done.stdout)

    names["STUDY"] = run(create)["id"]
    (trial,) = run(ask)["trials"]
    names.update(TRIAL=trial["id"], LEASE=trial["lease_id"])
    assert run(report)["directive"] == "continue"
    assert run(tell)["state"] == "completed"
    best = run(look.splitlines()[0])
    assert best["trials"][0]["values"] == {"loss": 0.4}

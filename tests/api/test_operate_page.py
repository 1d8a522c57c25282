"""The page on operation names every metric that there is, and none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "operate.md"


@pytest.mark.anyio
async def test_every_metric_stands_in_the_table(http: httpx.AsyncClient) -> None:
    answer = await http.get("/metrics")
    families = text_string_to_metric_families(answer.text)
    made = {
        {"counter": f"{family.name}_total", "info": f"{family.name}_info"}.get(
            family.type, family.name
        )
        for family in families
        if not family.name.endswith("_created")
    }
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `tunewell_")]
    told = {name for row in rows for name in re.findall(r"`(tunewell_\w+)`", row.split("|")[1])}
    assert told == {name.replace("_info_info", "_info") for name in made}

"""Suggesters run on one BLAS thread here, as they do in the fitting process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """More threads than one make small fits slower on shared cores, by far."""
    with threadpool_limits(limits=1):
        yield

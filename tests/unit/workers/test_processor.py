"""What the processor's maker decides."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers import nurseries, processor

SAYS = "processor\t: 0\nvendor_id\t: {}\nmodel name\t: of 2024\nflags\t\t: fpu avx512f\n"
SUMS_OF = """
import torch

torch.manual_seed(0)
x, weight, bias = torch.randn(32, 784), torch.randn(128, 784), torch.randn(128)
for n_threads in (1, 2):
    torch.set_num_threads(n_threads)
    print(torch.addmm(bias, x, weight.t()).numpy().tobytes().hex())
"""


@pytest.fixture(autouse=True)
def _looked_at_anew() -> Iterator[None]:
    processor.maker.cache_clear()
    yield
    processor.maker.cache_clear()


def says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None) -> None:
    """The system says so of its processor, or has no such file."""
    file = tmp_path / "cpuinfo"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(processor, "_FILE", file)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SAYS.format("GenuineIntel") * 2, "GenuineIntel"),
        (SAYS.format("AuthenticAMD"), "AuthenticAMD"),
        ("processor\t: 0\nCPU implementer\t: 0x41\n", None),
        ("", None),
        (None, None),
    ],
)
def test_the_maker_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, expected: str | None
) -> None:
    says(monkeypatch, tmp_path, text)
    assert processor.maker() == expected


def test_on_intels_a_trial_has_the_same_bits_on_any_number_of_cores_unless_the_user_says_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MKL_CBWR", raising=False)
    says(monkeypatch, tmp_path, SAYS.format("GenuineIntel"))
    assert nurseries.trial_environment(1)["MKL_CBWR"] == "AUTO,STRICT"
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    assert nurseries.trial_environment(1)["MKL_CBWR"] == "COMPATIBLE"


def test_another_makers_keep_what_they_have(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MKL_CBWR", raising=False)
    says(monkeypatch, tmp_path, SAYS.format("AuthenticAMD"))
    assert "MKL_CBWR" not in nurseries.trial_environment(1)


@pytest.mark.skipif(
    processor.maker() != processor.INTEL, reason="nothing is set for other makers' processors"
)
def test_a_product_has_the_same_bits_on_two_threads_in_that_environment() -> None:
    command = [sys.executable, "-c", SUMS_OF]
    environment = {**processor.same_bits(), **os.environ}
    done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    alone, together = done.stdout.split()
    assert alone == together

"""Which failure kind what is."""

from __future__ import annotations

import errno
import math
import signal

import pytest

from tunewell import failures


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "oom"),
        (OutOfMemoryError("CUDA"), "oom"),
        (RuntimeError("CUDA error: out of memory"), "oom"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 bytes"), "oom"),
        (RuntimeError("shapes do not fit"), "user_error"),
        (ValueError("out of memory, says a ValueError"), "user_error"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "oom"),
        (OSError(errno.ENOSPC, "No space left on device"), "infrastructure"),
        (OSError(errno.EROFS, "Read-only file system"), "infrastructure"),
        (RuntimeError("PytorchStreamWriter failed: No space left on device"), "infrastructure"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "user_error"),
        (TimeoutError("a database"), "user_error"),
        (SystemExit(0), "user_error"),
    ],
)
def test_an_exception_has_its_kind(error: BaseException, kind: str) -> None:
    assert failures.of_exception(error).kind == kind


@pytest.mark.parametrize(
    ("returncode", "kind"),
    [
        (0, "user_error"),
        (1, "user_error"),
        (-signal.SIGKILL, "infrastructure"),
        (-signal.SIGTERM, "infrastructure"),
        (-signal.SIGSEGV, "user_error"),
    ],
)
def test_an_exit_status_has_its_kind(returncode: int, kind: str) -> None:
    assert failures.of_exit(returncode, "").kind == kind


def test_a_non_finite_final_value_is_named() -> None:
    failure = failures.of_values({"accuracy": 0.1, "loss": math.inf})
    assert failure is not None
    assert failure.kind == "nan"
    assert "loss is inf" in failure.message
    assert failures.of_values({"accuracy": 0.1}) is None


def test_what_is_sent_is_bounded_and_keeps_the_end_of_the_traceback() -> None:
    failure = failures.Failure(kind="oom", message="m" * 5_000, traceback="t" * 50_000 + "end")
    sent = failure.bounded()
    assert len(sent["message"]) == 2_000
    assert len(sent["traceback"]) == 20_000
    assert sent["traceback"].endswith("end")

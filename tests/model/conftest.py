"""Has pytest show the values in the machine's own assertions."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.model.comparing", "tests.model.machine", "tests.model.real")

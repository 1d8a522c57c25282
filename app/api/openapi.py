"""`python -m app.api.openapi [FILE]` writes docs/openapi.json; a test holds it against the code."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ..settings import Settings
from .application import build
from .description import document


def text() -> str:
    """The document of the present code, as the file holds it."""
    page = document(build(Settings(**{})))
    return json.dumps(page, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else "docs/openapi.json").write_text(
        text(), encoding="utf-8"
    )

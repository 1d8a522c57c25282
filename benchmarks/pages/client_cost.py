"""What the Python client costs: CPU of its import, and size of its package alone, zipped."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

_IMPORT = (
    "import time; began = time.process_time(); import tunewell; print(time.process_time() - began)"
)


def import_cpu_s(root: Path) -> float:
    """CPU seconds that `import tunewell` takes in a fresh interpreter, its compiled files there."""
    said = subprocess.run(
        [sys.executable, "-c", _IMPORT], cwd=root, capture_output=True, text=True, check=True
    )
    return float(said.stdout)


def zipped_bytes(root: Path) -> int:
    """Size of `tunewell/` in a zip file, as in a wheel."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((root / "tunewell").rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                archive.write(path, path.relative_to(root))
    return len(packed.getvalue())

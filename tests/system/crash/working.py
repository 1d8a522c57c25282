"""Entry of a worker process whose clock is off. Arguments: seconds, the service's URL, a name."""

from __future__ import annotations

import sys
import time

from tunewell._parts import part


def main(offset_s: float, url: str, name: str) -> int:
    """Runs a worker until it is told to end; its exit status."""
    true_time = time.time
    time.time = lambda: true_time() + offset_s
    status: int = part("workers", "main").run(
        url=url,
        name=name,
        slots=1,
        devices="cpu",
        objectives=["crash_objective:crash"],
        state_dir="state",
        json_lines=True,
    )
    return status


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), *sys.argv[2:]))

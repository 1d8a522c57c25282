"""A Ray cluster of two nodes on this machine, on loopback alone; stands until it is told to end.

Prints one JSON line: the head's address, the folder in which a program on its machine finds it, and
for the node that is not the head the id of its process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from ray.cluster_utils import Cluster

NODE = {
    "num_cpus": 1,
    "object_store_memory": 80 * 2**20,
    "node_ip_address": "127.0.0.1",
    "include_dashboard": False,
}


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    # A short path: it holds sockets.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        # Ray writes the head's address below its default folder, which a first start may not find.
        os.environ["RAY_TMPDIR"] = folder
        (Path(folder) / "ray").mkdir()
        node = {**NODE, "temp_dir": folder}
        # Ray takes our word for the GPU.
        cluster = Cluster(initialize_head=True, head_node_args={**node, "num_gpus": 1})
        other = cluster.add_node(**node)
        raylet = other.all_processes["raylet"][0].process.pid
        sys.stdout.write(
            json.dumps({"address": cluster.address, "raylet": raylet, "folder": folder}) + "\n"
        )
        sys.stdout.flush()
        signal.sigwait({signal.SIGTERM})
        cluster.shutdown()


if __name__ == "__main__":
    main()

"""Optuna's lifecycles: the same work as ours, by its own library. Runs in an environment that has
Optuna (`--peers-python`), as a program of its own; imports nothing of this project.

Usage: python peer_program.py KIND STORAGE CLIENTS SECONDS
       KIND: grpc, rdb, journal; STORAGE: a database URL, or the path of the journal.

Prints one line of JSON: lifecycles by client, seconds of each, and CPU seconds.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import socket
import sys
import time
from typing import Any

import optuna
from optuna.storages import GrpcStorageProxy, JournalStorage, RDBStorage, run_grpc_proxy_server
from optuna.storages.journal import JournalFileBackend

N_PARAMETERS, N_REPORTS = 5, 3
STUDY = "load"


def storage_of(kind: str, where: str) -> Any:
    """The storage that a client opens."""
    if kind == "grpc":
        return GrpcStorageProxy(host="127.0.0.1", port=int(where))
    if kind == "rdb":
        return RDBStorage(where)
    return JournalStorage(JournalFileBackend(where))


def serve(url: str, port: int) -> None:
    """The proxy server: one process that owns the connections to the database."""
    run_grpc_proxy_server(RDBStorage(url), host="127.0.0.1", port=port)


def client(kind: str, where: str, seconds: float, ready: Any, found: Any) -> None:
    """Lifecycles, one after another, from the moment that all clients are there."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.RandomSampler()
    study = optuna.load_study(study_name=STUDY, storage=storage_of(kind, where), sampler=sampler)
    space = {f"x{k}": optuna.distributions.FloatDistribution(0.0, 1.0) for k in range(N_PARAMETERS)}
    ready.wait()
    began, spent, lasted = time.perf_counter(), cpu_s(resource.RUSAGE_SELF), []
    while (at := time.perf_counter()) - began < seconds:
        trial = study.ask(space)
        value = sum((x - 0.3) ** 2 for x in trial.params.values())
        for step in range(1, N_REPORTS + 1):
            trial.report(value + 1.0 / step, step)
        study.tell(trial, value)
        lasted.append(time.perf_counter() - at)
    wall_s = time.perf_counter() - began
    found.put((lasted, cpu_s(resource.RUSAGE_SELF) - spent, wall_s))


def cpu_s(who: int) -> float:
    """CPU seconds so far."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def of_process(pid: int) -> float:
    """CPU seconds of another process."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100.0


def await_port(port: int) -> None:
    """Returns when something listens there."""
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def main(kind: str, where: str, clients: int, seconds: float) -> None:
    """Runs the clients and prints what came of them."""
    spawn = multiprocessing.get_context("spawn")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    server = None
    optuna.create_study(
        study_name=STUDY, storage=storage_of("rdb" if kind == "grpc" else kind, where)
    )
    if kind == "grpc":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = spawn.Process(target=serve, args=(where, port), daemon=True)
        server.start()
        await_port(port)
        where = str(port)
    ready, found = spawn.Barrier(clients + 1), spawn.Queue()
    running = [
        spawn.Process(target=client, args=(kind, where, seconds, ready, found), daemon=True)
        for _ in range(clients)
    ]
    for process in running:
        process.start()
    ready.wait()
    before = of_process(server.pid) if server else 0.0
    results = [found.get() for _ in running]
    server_s = of_process(server.pid) - before if server else 0.0
    for process in running:
        process.join()
    if server is not None:
        server.kill()
        server.join()
    print(
        json.dumps(
            {
                "by_client": [len(lasted) for lasted, _, _ in results],
                "lasted": [one for lasted, _, _ in results for one in lasted],
                "wall_s": max(wall_s for _, _, wall_s in results),
                "client_cpu_s": sum(spent for _, spent, _ in results),
                "server_cpu_s": server_s,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))

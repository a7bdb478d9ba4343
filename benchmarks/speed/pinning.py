"""One core for each worker, and the same one for whatever serves it in PostgreSQL.

On two cores one worker already keeps one busy and the server another: two workers then show what the server can give,
not what the fleet can. Held to one core, a worker and the backends that read for it are as slow as on a machine of their
own, and a second worker brings a second core with it, as a second machine would.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from benchmarks.speed.measure import members

LOOK_EVERY_SECONDS = 0.03
PORT_FIELD, INODE_FIELD = 1, 9
OF_ONE_CLOSED = "0"
BACKENDS = (
    "select pid, client_port from pg_stat_activity where backend_type = 'client backend' and client_port > 0"
)


@contextmanager
def pinned(workers: Sequence[int], *, admin_dsn: str) -> Generator[None]:
    """The first worker on the first core, the second on the second; backends as they come."""
    cores = sorted(os.sched_getaffinity(0))
    homes = {worker: cores[number % len(cores)] for number, worker in enumerate(workers)}
    for worker, core in homes.items():
        for pid in members([worker]):
            put(pid, core)
    ended = threading.Event()

    def follow() -> None:
        known = dict[int, int]()
        with psycopg.connect(admin_dsn, autocommit=True) as admin:
            while not ended.wait(LOOK_EVERY_SECONDS):
                known = placed(dict(admin.execute(BACKENDS).fetchall()), known, homes)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def placed(backends: dict[int, int], known: dict[int, int], homes: dict[int, int]) -> dict[int, int]:
    """Puts the new ones of these backends where their workers are; the ports of all that are there now."""
    if new := {pid: port for pid, port in backends.items() if known.get(pid) != port}:
        inodes = sockets(new.values())
        owners = {worker: opened(members([worker])) for worker in homes}
        for pid, port in new.items():
            for worker, core in homes.items():
                if inodes.get(port, set()) & owners[worker]:
                    put(pid, core)
    return backends


def put(pid: int, core: int) -> None:
    with suppress(ProcessLookupError):
        os.sched_setaffinity(pid, {core})


def sockets(ports: Iterable[int]) -> dict[int, set[str]]:
    """What `/proc/PID/fd` calls the local ends of these ports: a port serves one connection to each address."""
    wanted, found = set(ports), dict[int, set[str]]()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        port = int(fields[PORT_FIELD].rpartition(":")[2], 16)
        if port in wanted and fields[INODE_FIELD] != OF_ONE_CLOSED:
            found.setdefault(port, set()).add(f"socket:[{fields[INODE_FIELD]}]")
    return found


def opened(pids: Iterable[int]) -> set[str]:
    found = set[str]()
    for pid in pids:
        with suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    found.add(str(descriptor.readlink()))
    return found

"""What the audit costs: jobs accepted per second, with it and without it, by one process and by several at once.

python -m benchmarks.audit        each thread has a database of its own, so that only the audit makes them wait
"""

# ruff: noqa: T201 - what it has to say is its output
from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median

import psycopg

from embedded.postgres import Postgres
from shared import logs
from shared.domain.access import Actor
from shared.domain.job import JobKind, NewJob
from shared.operations.fleet import Fleet
from shared.operations.jobs import requests
from shared.operations.trust import auditing
from shared.storage.memory import MemoryStorage
from tests.integration.inline_fleet import NAME, InlineFleet

SOMEBODY = Actor(name="somebody", origin="benchmark")
Enter = Callable[[Fleet, NewJob], None]


def with_audit(fleet: Fleet, new: NewJob) -> None:
    with fleet.catalog.transaction() as tx:
        requests.enter(tx, fleet, new, by=SOMEBODY)


def without(fleet: Fleet, new: NewJob) -> None:
    """All that `enter` does, but for the entry."""
    with fleet.catalog.transaction() as tx:
        tx.schedules.know(fleet.databases)
        job, _ = tx.jobs.submit(new)
        data = {"kind": str(job.kind), "request": dict(job.request)}
        tx.outbox.add(f"{job.kind}.accepted", database=job.database, job_id=job.id, data=data)


def rate(fleet: Fleet, enter: Enter, *, threads: int, seconds: float) -> float:
    """Jobs per second."""
    until, start = time.monotonic() + seconds, threading.Barrier(threads)

    def run(number: int) -> int:
        start.wait()
        count = 0
        while time.monotonic() < until:
            id_ = str(uuid.uuid4())
            request = {"snapshot_id": id_, "labels": {"release": "1.4"}}
            new = NewJob(
                id=id_, kind=JobKind.PRUNE, database=f"d{number}", request=request, idempotency_key=id_
            )
            enter(fleet, new)
            count += 1
        return count

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(run, range(threads))) / seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one round")
    parser.add_argument("--rounds", type=int, default=15, help="of each, by turns: the medians count")
    options = parser.parse_args()
    logs.configure(level="critical", style="console")
    with tempfile.TemporaryDirectory(prefix="snapfleet-audit-") as folder:
        postgres = Postgres(Path(folder) / "postgres")
        postgres.start()
        try:
            with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
                admin.execute("create database audited")
            inline = InlineFleet(postgres.dsn(), catalog_url=postgres.dsn("audited"), storage=MemoryStorage())
            one = inline.fleet.database(NAME)
            names = [f"d{number}" for number in range(8)]
            inline.configure(databases={name: replace(one, name=name) for name in names})
            for threads in (1, 2, 4, 8):
                found = [
                    [
                        rate(inline.fleet, enter, threads=threads, seconds=options.seconds)
                        for enter in (without, with_audit)
                    ]
                    for _ in range(options.rounds)
                ]
                bare, audited = (median(rates) for rates in zip(*found, strict=True))
                print(f"{threads} at once: {bare:,.0f} jobs/s without, {audited:,.0f} with")
            began = time.monotonic()
            seen = auditing.examine(inline.fleet)
            wrong = [finding for finding in seen.findings if finding.seq is not None]
            print(f"examined {seen.count:,} entries in {time.monotonic() - began:.1f} s; {len(wrong)} wrong")
            inline.close()
        finally:
            postgres.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

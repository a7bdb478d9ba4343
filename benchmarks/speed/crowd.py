"""The queue: many tiny databases at once, how soon a doorbell is answered, how often a job asks the catalog."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import psycopg
from sqlalchemy import text

from benchmarks.speed.budget import Share
from benchmarks.speed.measure import Trees
from benchmarks.speed.ours import LOOK_EVERY, Ours
from benchmarks.speed.record import Record
from benchmarks.speed.site import Named, Site
from benchmarks.speed.sizes import Size

CALLS = """
select coalesce(sum(s.calls), 0)::bigint from pg_stat_statements s join pg_database d on d.oid = s.dbid
 where d.datname = 'catalog' and not (s.query ilike any (array['begin%', 'commit%', 'rollback%', 'savepoint%']))
"""


def address(number: int) -> str:
    return f"127.5.0.{number}"


def addresses(size: Size) -> list[str]:
    return [address(number) for number in range(1, size.names_of_each + 1)]


def measure(site: Site, size: Size, record: Record, share: Share) -> None:
    """One worker process to a core, each with one task at a time."""
    databases = [f"tiny_{number:04}" for number in range(size.tiny_databases)]
    for name in databases:
        create(site, name)
    named = [
        Named(name=f"{name}-{number}", url=site.url(name, address=address(number)), parallelism=1)
        for number in range(1, size.names_of_each + 1)
        for name in databases
    ]
    names = [each.name for each in named]
    cores = os.cpu_count() or 1
    with site.fleet(named, workers=cores) as (fleet, children):
        ours = Ours(fleet=fleet, children=children)
        ours.snapshot(names[0])
        waits = sorted(answered(ours, names[number % len(names)]) for number in range(size.doorbells))
        record.add_crowd(
            {
                "doorbell_to_claim_p50_ms": 1000 * waits[len(waits) // 2],
                "doorbell_to_claim_p99_ms": 1000 * waits[min(len(waits) - 1, int(len(waits) * 0.99))],
                "catalog_queries_per_snapshot": per_job(site, ours, names[0]),
            }
        )
        trees = Trees(child.pid for child in children)
        before, began = trees.cpu(), time.monotonic()
        time.sleep(size.idle_seconds)
        record.add_crowd({"idle_cores": (trees.cpu() - before) / (time.monotonic() - began)})
        before = trees.cpu()
        ended, seconds = throughput(ours, names, share)
        record.add_crowd(
            {
                "tiny_databases": float(len(names)),
                "tiny_snapshots": float(ended),
                "tiny_snapshots_per_second": ended / seconds,
                "tiny_snapshots_per_second_per_core": ended / seconds / cores,
                "cpu_seconds_of_workers_per_tiny_snapshot": (trees.cpu() - before) / max(1, ended),
            }
        )
        if ended < len(names):
            record.note(f"The queue: {ended} of {len(names)} tiny snapshots were counted, for want of time.")
    for name in databases:
        site.drop(name)


def create(site: Site, name: str) -> None:
    site.create(name)
    with psycopg.connect(site.url(name), autocommit=True) as session:
        session.execute("create table note (id int primary key, text text)")
        session.execute("insert into note select i, 'note ' || i from generate_series(1, 100) i")


def answered(ours: Ours, name: str) -> float:
    """Seconds from the row of a job to its first step, in an idle fleet."""
    job_id = ours.submit_snapshot(name)
    ours.ended(job_id)
    ours.rest()
    query = text(
        "select extract(epoch from min(s.started_at) - j.created_at) from job j join job_step s on s.job_id = j.id"
        " where j.id = :id group by j.created_at"
    )
    with ours.fleet.catalog.engine.connect() as catalog:
        return float(catalog.execute(query, {"id": job_id}).scalar_one())


def per_job(site: Site, ours: Ours, name: str) -> float:
    """Statements in the catalog for one snapshot and its pruning; those of whoever waits and looks are among them."""
    with site.admin("catalog") as admin:
        admin.execute("create extension if not exists pg_stat_statements")
        admin.execute("select pg_stat_statements_reset()")
        ours.snapshot(name)
        row = admin.execute(CALLS.encode()).fetchone()
    return float(row[0]) if row else 0.0


def throughput(ours: Ours, names: Sequence[str], share: Share) -> tuple[int, float]:
    """How many snapshots were taken in how many seconds, from the first request on; what asking takes is in it.

    Pruning after each is not waited for, but done meanwhile. One that fails raises RuntimeError.
    """
    began = time.monotonic()
    asked = [ours.submit_snapshot(name) for name in names]
    while True:
        ended = finished(ours, asked)
        if ended == len(asked) or not share.fits(0):
            return ended, time.monotonic() - began
        time.sleep(LOOK_EVERY.total_seconds())


def finished(ours: Ours, asked: Sequence[str]) -> int:
    query = text("select state, count(*) from job where id = any(:ids) group by state")
    with ours.fleet.catalog.engine.connect() as catalog:
        found = {str(row[0]): int(row[1]) for row in catalog.execute(query, {"ids": list(asked)})}
    if bad := {state: count for state, count in found.items() if state in {"failed", "rolled_back"}}:
        raise RuntimeError(f"of the tiny snapshots {bad}")
    return found.get("succeeded", 0)

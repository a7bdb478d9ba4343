"""The queue: many tiny databases at once, how soon a doorbell is answered, how often a job asks the catalog."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

import psycopg
from sqlalchemy import text

from benchmarks.speed.measure import Trees
from benchmarks.speed.ours import Ours
from benchmarks.speed.site import Named, Site
from benchmarks.speed.sizes import Size

IDLE_SECONDS = 5.0
CALLS = """
select coalesce(sum(s.calls), 0)::bigint from pg_stat_statements s join pg_database d on d.oid = s.dbid
 where d.datname = 'catalog' and not (s.query ilike any (array['begin%', 'commit%', 'rollback%', 'savepoint%']))
"""


def measure(site: Site, size: Size) -> Mapping[str, float]:
    """One worker process to a core, each with one task at a time."""
    names = [f"tiny_{number:04}" for number in range(size.tiny_databases)]
    for name in names:
        site.create(name)
        with psycopg.connect(site.url(name), autocommit=True) as session:
            session.execute("create table note (id int primary key, text text)")
            session.execute("insert into note select i, 'note ' || i from generate_series(1, 100) i")
    named = [Named(name=name, url=site.url(name), parallelism=1) for name in names]
    cores = os.cpu_count() or 1
    with site.fleet(named, workers=cores) as (fleet, children):
        ours = Ours(fleet=fleet, children=children)
        ours.snapshot(names[0])
        waits = sorted(answered(ours, names[number % len(names)]) for number in range(size.doorbells))
        queries = per_job(site, ours, names[0])
        seconds = throughput(ours, [names[number % len(names)] for number in range(size.tiny_jobs)])
        trees = Trees(child.pid for child in children)
        before, began = trees.cpu(), time.monotonic()
        time.sleep(IDLE_SECONDS)
        idle = (trees.cpu() - before) / (time.monotonic() - began)
    for name in names:
        site.drop(name)
    return {
        "tiny_snapshots_per_second": size.tiny_jobs / seconds,
        "tiny_snapshots_per_second_per_core": size.tiny_jobs / seconds / cores,
        "doorbell_to_claim_p50_ms": 1000 * waits[len(waits) // 2],
        "doorbell_to_claim_p99_ms": 1000 * waits[min(len(waits) - 1, int(len(waits) * 0.99))],
        "catalog_queries_per_snapshot": queries,
        "idle_cores": idle,
    }


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


def throughput(ours: Ours, names: list[str]) -> float:
    """Seconds until all are snapshotted and pruned, from the first request on; what asking takes is in it."""
    began = time.monotonic()
    for name in names:
        ours.submit_snapshot(name)
    ours.rest()
    return time.monotonic() - began

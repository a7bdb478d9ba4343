"""Whether cost grows with size and with nothing else: one hand, a full snapshot of ever larger databases."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from benchmarks.speed import data
from benchmarks.speed.measure import Cost
from benchmarks.speed.ours import Ours
from benchmarks.speed.site import Named, Site
from benchmarks.speed.sizes import Size

TABLES_PER_COMMIT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """One database and its snapshot."""

    tables: int
    size_bytes: int
    objects: int
    cost: Cost


def by_size(site: Site, size: Size) -> list[Grown]:
    return [one(site, f"grown_{rows}", rows=rows, tables=0) for rows in size.growth_rows]


def by_tables(site: Site, size: Size) -> list[Grown]:
    return [one(site, f"tables_{tables}", rows=0, tables=tables) for tables in size.growth_tables]


def one(site: Site, name: str, *, rows: int, tables: int) -> Grown:
    """In a fleet of its own, so that peak memory is of this snapshot alone."""
    site.create(name)
    if rows:
        data.fill(site.url(name), rows=rows, small_tables=0)
    else:
        with psycopg.connect(site.url(name)) as session:
            session.execute("create table kind (id int primary key)")
            session.execute("insert into kind select i from generate_series(1, 500) i")
            for first in range(0, tables, TABLES_PER_COMMIT):
                count = min(TABLES_PER_COMMIT, tables - first)
                data.add_small_tables(session, count, rows=100, first=first + 1)
                session.commit()
    named = Named(name=name.replace("_", "-"), url=site.url(name), parallelism=1)
    site.checkpoint()
    with site.fleet([named], workers=1) as (fleet, children):
        cost = Ours(fleet=fleet, children=children).snapshot(named.name)
    objects, _ = site.stored(f"{named.name}/")
    size_bytes = data.size_bytes(site.url(name))
    site.drop(name)
    return Grown(tables=tables, size_bytes=size_bytes, objects=objects, cost=cost)

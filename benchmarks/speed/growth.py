"""Whether cost grows with size and with nothing else: one hand, a full snapshot of an ever larger database."""

from __future__ import annotations

import itertools

import psycopg

from benchmarks.speed import data
from benchmarks.speed.budget import Share
from benchmarks.speed.measure import Grown
from benchmarks.speed.ours import Ours
from benchmarks.speed.record import Record
from benchmarks.speed.site import ADDRESSES, Named, Site
from benchmarks.speed.sizes import Size

TABLES_PER_COMMIT = 500
SECONDS_TO_A_TABLE = 0.005
"""To make it, to snapshot it and to drop it."""
GROWN = "grown"
LONGER = 2.0
"""How much longer than the step before a step takes: each has about twice as much."""


def measure(site: Site, size: Size, record: Record, share: Share) -> None:
    by_tables(site, size, record, share)
    by_size(site, size, record, share)


def by_size(site: Site, size: Size, record: Record, share: Share) -> None:
    """One database that gets more rows after each snapshot, each snapshot under a new name."""
    site.create(GROWN)
    data.begin(site.url(GROWN))
    steps = itertools.pairwise((0, *size.growth_rows))
    took = 0.0
    for number, (before, rows) in enumerate(steps, start=1):
        if number > 1 and not share.fits(LONGER * took):
            record.note(f"Growth: {number - 1} of {len(size.growth_rows)} sizes, for want of time.")
            break
        began = share.clock()
        data.add_rows(site.url(GROWN), first=before + 1, last=rows)
        data.tidy(site.url(GROWN))
        url = site.url(GROWN, address=ADDRESSES[number])
        record.add_grown(snapshotted(site, GROWN, url=url, name=f"grown-{number}"))
        took = share.clock() - began
    site.drop(GROWN)


def by_tables(site: Site, size: Size, record: Record, share: Share) -> None:
    for tables in size.growth_tables:
        if not share.fits(tables * SECONDS_TO_A_TABLE):
            record.note(f"Growth: no database of {tables} tables, for want of time.")
            break
        name = f"tables_{tables}"
        site.create(name)
        with psycopg.connect(site.url(name)) as session:
            for first in range(0, tables, TABLES_PER_COMMIT):
                count = min(TABLES_PER_COMMIT, tables - first)
                data.add_small_tables(session, count, rows=100, first=first + 1, with_keys=False)
                session.commit()
        named = name.replace("_", "-")
        record.add_grown(snapshotted(site, name, url=site.url(name), name=named, tables=tables))
        site.drop(name)


def snapshotted(site: Site, database: str, *, url: str, name: str, tables: int = 0) -> Grown:
    """By a fleet of its own, so that peak memory is of this snapshot alone."""
    named = Named(name=name, url=url, parallelism=1)
    site.checkpoint()
    with site.fleet([named], workers=1) as (fleet, children):
        cost = Ours(fleet=fleet, children=children).snapshot(named.name)
    objects, _ = site.stored(f"{named.name}/")
    size_bytes = data.size_bytes(site.url(database))
    return Grown(tables=tables, size_bytes=size_bytes, objects=objects, cost=cost)

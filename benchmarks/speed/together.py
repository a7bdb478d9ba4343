"""Two worker processes against one, each held to a core: whether a second one halves the time."""

from __future__ import annotations

from benchmarks.speed import data
from benchmarks.speed.budget import Share
from benchmarks.speed.ours import Ours
from benchmarks.speed.pinning import pinned
from benchmarks.speed.record import Record
from benchmarks.speed.site import ADDRESSES, Named, Site
from benchmarks.speed.sizes import Size

SHARED = "shared"
WORK = "two workers"
COUNTS = (1, 2)


def way(workers: int) -> str:
    return f"snapfleet, {workers} worker{'s' if workers > 1 else ''}, a core each"


def measure(site: Site, size: Size, record: Record, share: Share) -> None:
    """One, two, one, two …, each a fleet of its own and a name under which nothing is known."""
    site.create(SHARED)
    data.fill(site.url(SHARED), rows=size.workers_rows, small_tables=0)
    site.checkpoint()
    took = 0.0
    for number in range(1, size.rounds + 1):
        if number > 1 and not share.fits(took):
            record.note(f"Two workers and one: {number - 1} of {size.rounds} rounds, for want of time.")
            break
        began = share.clock()
        for workers in COUNTS:
            one(site, record, number=number, workers=workers)
        took = share.clock() - began
    site.drop(SHARED)


def one(site: Site, record: Record, *, number: int, workers: int) -> None:
    named = Named(
        name=f"w{workers}-r{number}",
        url=site.url(SHARED, address=ADDRESSES[2 * number + workers]),
        parallelism=workers,
    )
    with (
        site.fleet([named], workers=workers) as (fleet, children),
        pinned([child.pid for child in children], admin_dsn=site.postgres.dsn()),
    ):
        ours = Ours(fleet=fleet, children=children)
        record.measure(site.major, WORK, way(workers), number, lambda: ours.snapshot(named.name))

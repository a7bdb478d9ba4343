"""Restoring the newest snapshot in place where a warm copy of it is kept, with the snapshot of what it replaces and without."""

from __future__ import annotations

from functools import partial

from benchmarks.speed import data
from benchmarks.speed.budget import Share
from benchmarks.speed.measure import Cost
from benchmarks.speed.ours import Ours
from benchmarks.speed.record import Record
from benchmarks.speed.site import ADDRESSES, Named, Site
from shared.domain.job import Job

NAME = "warm"
WORK = "warm restore"
SAFE, BARE = "snapfleet, with its safety snapshot", "snapfleet, without a safety snapshot"
HANDS = 2
UNDO = "snapfleet"


def measure(site: Site, record: Record, share: Share, *, rows: int) -> None:
    """Each time: a snapshot, its proof, which leaves the copy, a change, and then the restore that is timed."""
    named = Named(
        name=NAME,
        url=site.url(address=ADDRESSES[0]),
        parallelism=HANDS,
        more='verify = "always"\nwarm = true',
    )
    with site.fleet([named], workers=HANDS) as (fleet, children):
        ours = Ours(fleet=fleet, children=children)
        took = 0.0
        for number, way in enumerate((SAFE, BARE), start=1):
            if not share.fits(took):
                record.note(f"PostgreSQL {site.major}: no warm restore by {way}, for want of time.")
                break
            began = share.clock()
            prepare(ours, site, rows=rows, number=number)
            jobs = list[Job]()
            act = partial(restored, ours, jobs, safe=way == SAFE)
            record.measure(site.major, WORK, way, 1, act)
            if way == SAFE:
                undone = partial(ours.undo, jobs[0].id)
                record.measure(site.major, "undo", UNDO, 1, undone)
            if jobs[0].result.get("warm") is not True:
                record.note(f"PostgreSQL {site.major}: {way}: there was no warm copy; it was loaded.")
            took = share.clock() - began
        ours.rest()


def prepare(ours: Ours, site: Site, *, rows: int, number: int) -> None:
    ours.snapshot(NAME)
    data.change(site.url(), "corner", rows=rows, number=number)
    site.checkpoint()


def restored(ours: Ours, jobs: list[Job], *, safe: bool) -> Cost:
    cost, job = ours.restore_in_place(NAME, safe=safe)
    jobs.append(job)
    return cost

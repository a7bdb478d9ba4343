"""`snapfleet housekeeping`: what beat has a worker do each hour, for those who run no beat."""

from __future__ import annotations

from cli import formats, output
from cli.fleet import opened
from shared.operations.jobs import dispatch
from shared.operations.upkeep import schedule


def housekeeping() -> None:
    """Ring again for jobs that are stuck, drop parked databases whose undo window has passed, and tidy the catalog.

    Only for installations without beat, from cron: where beat runs, it has this done.
    """
    with opened() as fleet:
        stuck = dispatch.reap(fleet)
        schedule.housekeeping(fleet)
    output.say(f"{formats.counted(stuck, 'job')} rung again; what was due to be tidied up is")

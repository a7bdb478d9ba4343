"""A fleet and its audit: asked for a job, read, examined."""

from __future__ import annotations

from typing import Any

import psycopg

from shared.domain.audit import Entry, Head
from shared.domain.job import Job, JobKind
from shared.operations.trust import auditing
from shared.operations.trust.auditing import Examined
from tests.integration import bus_home
from tests.integration.inline_fleet import InlineFleet


def fresh(home: InlineFleet) -> InlineFleet:
    """With an audit in which nothing stands: that takes an owner, and the trigger out of his way."""
    with psycopg.connect(home.catalog_url, autocommit=True) as owner:
        owner.execute("alter table audit disable trigger append_only")
        owner.execute("truncate audit")
        owner.execute("alter table audit enable trigger append_only")
    return bus_home.fresh(home)


def entries(fleet: InlineFleet) -> list[Entry]:
    """The oldest first."""
    return auditing.listing(fleet.fleet, limit=10_000)[::-1]


def examined(fleet: InlineFleet, *kept: Head) -> Examined:
    return auditing.examine(fleet.fleet, kept=kept)


def faults(fleet: InlineFleet, *kept: Head) -> list[str]:
    return [str(finding.fault) for finding in examined(fleet, *kept).findings]


def ask(fleet: InlineFleet, kind: JobKind = JobKind.PRUNE, *, key: str | None = None, **asked: Any) -> Job:
    return fleet.submit(kind, asked, key=key)


def told(fleet: InlineFleet, job: Job) -> list[tuple[str, str, str, str]]:
    return [(e.action, e.outcome, e.actor, e.origin) for e in entries(fleet) if e.job_id == job.id]

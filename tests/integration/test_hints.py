"""What a user is told to do where what was named is unclear, or not there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.domain.job import JobKind, NewJob
from shared.domain.snapshot import Reason
from shared.errors import NotFound, Refused
from shared.operations.jobs import requests
from shared.operations.proofs import verify
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME

Maker = Callable[..., str]
JOBS = ("0fbc4f7e-0000-4000-8000-000000000001", "0fbc4f7e-0000-4000-8000-000000000002")
SNAPSHOTS = ("20261122t195500z-aaaa", "20261122t195500z-bbbb")


def test_the_beginning_of_an_id_that_fits_several_is_told_with_them(inline: Inline, database: Maker) -> None:
    fleet = inline(database()).fleet
    with fleet.catalog.transaction() as tx:
        tx.schedules.know(fleet.databases)
        for job_id, snapshot_id in zip(JOBS, SNAPSHOTS, strict=True):
            new = NewJob(id=job_id, kind=JobKind.SNAPSHOT, database=NAME, request={}, idempotency_key=job_id)
            tx.jobs.submit(new)
            tx.snapshots.begin(snapshot_id, database=NAME, job_id=job_id, reason=Reason.MANUAL, labels={})
    with pytest.raises(Refused, match="more than one job begins with 0fbc4f7e") as of_jobs:
        requests.find_job(fleet, "0fbc4f7e")
    assert all(each in str(of_jobs.value.hint) for each in JOBS)
    with pytest.raises(Refused, match="more than one snapshot begins with 20261122") as of_snapshots:
        requests.find_snapshot(fleet, "20261122")
    assert all(each in str(of_snapshots.value.hint) for each in SNAPSHOTS)
    assert requests.find_snapshot(fleet, SNAPSHOTS[0]).id == SNAPSHOTS[0]


def test_where_there_is_no_snapshot_the_lost_catalog_is_thought_of(inline: Inline, database: Maker) -> None:
    fleet = inline(database()).fleet
    with pytest.raises(NotFound) as to_restore:
        requests.choose_snapshot(fleet, NAME, snapshot_id=None, at=None)
    with pytest.raises(NotFound) as to_verify:
        verify.newest(fleet, NAME)
    for missing in (to_restore.value, to_verify.value):
        assert missing.code == "no_snapshot"
        assert "snapfleet catalog rebuild" in str(missing.hint)

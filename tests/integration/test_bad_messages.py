"""What a stranger, or a publisher with a fault, may send over the bus or push into a queue: nothing comes of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from shared.domain.events import Ask
from shared.errors import SnapfleetError
from shared.operations import steps
from shared.operations.jobs import saga
from shared.streams.base import BODY
from tests.integration import bus_home
from tests.integration.bus_world import BusWorld, request
from tests.integration.inline_fleet import NAME, InlineFleet
from tests.integration.test_round_trip import succeeded

NOW = datetime.now(UTC)
MEGABYTE = 1_000_000
MANY = 2_000
JOB = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def fleet(home: InlineFleet) -> InlineFleet:
    return bus_home.fresh(home)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in request().items() if key != name}


def jobs(fleet: InlineFleet) -> list[str]:
    with fleet.fleet.catalog.transaction() as tx:
        return [job.id for job in tx.jobs.listing(limit=100)]


def codes(bus: BusWorld) -> list[str]:
    return [letter["code"].decode() for letter in bus.dead()]


BAD: dict[str, tuple[dict[str, Any] | bytes, str]] = {
    "unknown type": (request(type="consciousness.everything.requested.v1"), "unknown_type"),
    "version 0": (request(type=Ask.SNAPSHOT.type.replace(".v1", ".v0")), "unknown_type"),
    "version 999": (request(type=Ask.SNAPSHOT.type.replace(".v1", ".v999")), "unknown_type"),
    "missing id": (without("id"), "invalid_request"),
    "a day ahead": (request(time=(NOW + timedelta(days=1)).isoformat()), "future_request"),
    "25 hours old": (request(time=(NOW - timedelta(hours=25)).isoformat()), "stale_request"),
    "a megabyte": (json.dumps(request(data={"labels": {"a": "x" * MEGABYTE}})).encode(), "too_large"),
    "invalid UTF-8": (json.dumps(request()).encode().replace(b"consciousness", b"\xff\xfe"), "not_json"),
    "wrong database": (request(subject="another"), "database_unknown"),
    "a job that there is not": (request(Ask.UNDO, {"restore_job": JOB}), "job_unknown"),
    "JSON in a string": (json.dumps(json.dumps(request())).encode(), "not_an_event"),
    "JSON in the data": (request() | {"data": json.dumps({"labels": {}})}, "invalid_request"),
    "fields more than there are": (request(data={"labels": {}, "force": True}), "invalid_request"),
    "a superuser's restore": (request(Ask.RESTORE, {"as_superuser": True}), "invalid_request"),
    "another server": (request(Ask.RESTORE, {"target": "SNAPFLEET_TARGET_X_URL"}), "invalid_request"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_put_away_with_its_reason_and_does_nothing_else(
    case: str, fleet: InlineFleet
) -> None:
    bus = BusWorld(fleet.fleet)
    asked, code = BAD[case]
    bus.handle(asked)
    assert (codes(bus), jobs(fleet), bus.left()) == ([code], [], 0)
    assert b"Traceback" not in b"".join(bus.dead()[0].values())


@pytest.mark.parametrize("signature", ["", "x", "MEUCIQ==", {"alg": "none"}, None])
def test_a_signature_which_nobody_looks_at_grants_nothing(signature: Any, fleet: InlineFleet) -> None:
    """CloudEvents may carry attributes that we do not know. Rights come from the configuration alone."""
    bus = BusWorld(fleet.fleet, allowed=[Ask.SNAPSHOT])
    bus.handle(request(Ask.RESTORE) | {"signature": signature, "role": "admin"})
    assert codes(bus) == ["not_allowed"]
    bus.handle(request() | {"signature": signature})
    assert len(jobs(fleet)) == 1


def test_a_restore_that_nobody_has_allowed_is_refused_whatever_it_says_of_itself(fleet: InlineFleet) -> None:
    succeeded(fleet.snapshot())
    bus = BusWorld(fleet.fleet, allowed=[Ask.SNAPSHOT, Ask.VERIFY])
    before = jobs(fleet)
    bus.handle(
        request(Ask.RESTORE),
        request(Ask.RESTORE, {"if_empty": True}),
        request(Ask.UNDO, {"restore_job": JOB}),
    )
    assert codes(bus) == ["not_allowed"] * 3
    assert jobs(fleet) == before


def test_a_job_that_is_over_or_another_database_s_cannot_be_taken_back(fleet: InlineFleet) -> None:
    taken = succeeded(fleet.snapshot())
    restored = succeeded(fleet.restore())
    mine = fleet.fleet.database(NAME)
    fleet.configure(databases={NAME: mine, "other": replace(mine, name="other")})
    bus = BusWorld(fleet.fleet)
    before = jobs(fleet)
    bus.handle(
        request(Ask.UNDO, {"restore_job": taken.id}),
        request(Ask.UNDO, {"restore_job": restored.id}, subject="other"),
        request(Ask.VERIFY, {"snapshot_id": taken.request["snapshot_id"]}, subject="other"),
        request(Ask.RESTORE, {"snapshot_id": taken.request["snapshot_id"]}, subject="other"),
    )
    assert codes(bus) == ["nothing_to_undo", "nothing_to_undo", "snapshot_unknown", "snapshot_unknown"]
    assert jobs(fleet) == before
    fleet.configure(databases={NAME: mine})


def test_thousands_of_one_request_are_one_job_and_one_with_another_body_is_none(
    fleet: InlineFleet,
) -> None:
    bus = BusWorld(fleet.fleet)
    asked = request()
    forged = asked | {"data": {"labels": {"else": "1"}}}
    bus.handle(*[asked] * MANY, forged)
    assert len(jobs(fleet)) == 1
    assert codes(bus) == ["id_reused"]
    assert bus.left() == 0


FORGED_IDS: tuple[Any, ...] = (
    JOB,
    JOB.upper(),
    "1",
    "",
    "'; drop table job; --",
    "x" * 10_000,
    "\x00",
    None,
    1,
    1.5,
    2**70,
    True,
    [JOB],
    {"id": JOB},
)


def test_a_forged_doorbell_changes_nothing_and_a_worker_goes_on(fleet: InlineFleet) -> None:
    """Whoever can write into a queue can name any task with anything."""
    over = succeeded(fleet.snapshot())
    before = rows(fleet)
    for job_id in (*FORGED_IDS, over.id):
        for epoch, seq in ((1, 1), (over.epoch, over.next_seq), (-1, 0), (2**70, 2**70), ("1", None)):
            attempt(fleet, job_id, epoch, seq)
    assert rows(fleet) == before
    succeeded(fleet.snapshot())


def attempt(fleet: InlineFleet, job_id: Any, epoch: Any, seq: Any) -> None:
    """What the tasks of a step, of a rollback and of a hand do with it; each may fail, and none may do anything."""
    acts: tuple[Callable[[], object], ...] = (
        lambda: saga.run_step(steps.STEPS, job_id, epoch=epoch, seq=seq, fleet=fleet.fleet),
        lambda: saga.roll_back(steps.STEPS, job_id, epoch=epoch, fleet=fleet.fleet),
        lambda: steps.help_out(job_id, epoch=epoch, fleet=fleet.fleet),
    )
    for act in acts:
        try:
            did = act()
        except SnapfleetError:
            continue
        assert not did


def rows(fleet: InlineFleet) -> list[Any]:
    """Every job and step as it stands."""
    with fleet.fleet.catalog.engine.connect() as connection:
        return [
            connection.execute(text(f"select to_jsonb(r)::text from {table} r order by 1")).scalars().all()
            for table in ("job", "job_step", "part", "snapshot", "outbox")
        ]


def test_what_is_put_away_of_a_bad_request_is_what_was_sent_and_no_more(fleet: InlineFleet) -> None:
    bus = BusWorld(fleet.fleet)
    sent = f"no json {uuid.uuid4()}".encode()
    bus.handle(sent)
    (letter,) = bus.dead()
    assert letter[BODY] == sent

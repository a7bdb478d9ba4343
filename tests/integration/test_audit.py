"""The audit: an entry for whatever is done, in its own transaction; a chain that nobody changes unseen."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from shared.catalog import catalog
from shared.catalog.audit import Audit
from shared.domain.access import Actor, Principal, Role
from shared.domain.audit import NOTHING_BEFORE, Act
from shared.domain.events import Ask
from shared.domain.job import JobKind
from shared.domain.proof import VerifyPolicy
from shared.errors import Busy, SnapfleetError
from shared.operations.jobs import blocking, dispatch, requests
from shared.operations.messages import dead_letters
from shared.operations.trust import auditing
from shared.operations.upkeep import rebuilding, schedule
from shared.storage.memory import MemoryStorage
from tests.actors import TESTER
from tests.integration import audited
from tests.integration.audited import ask, entries, examined, faults, told
from tests.integration.bus_world import BusWorld, request
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet

Maker = Callable[..., str]


@pytest.fixture
def fleet(home: InlineFleet) -> InlineFleet:
    return audited.fresh(home)


def test_a_job_has_an_entry_for_its_request_and_one_for_its_end_and_what_follows_names_it(
    database: Maker, inline: Inline
) -> None:
    url = database()
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("create table t as select n from generate_series(1, 20) n")
    fleet = inline(url, storage=MemoryStorage(), verify=VerifyPolicy.ALWAYS)
    taken = fleet.snapshot()
    fleet.drain()
    worker = "worker:inline"
    assert told(fleet, taken) == [
        ("snapshot.requested", "accepted", "tester", "test"),
        ("snapshot.ended", "succeeded", "snapfleet", worker),
    ]
    proof = fleet.job(str(taken.request["verify_job_id"]))
    assert told(fleet, proof) == [
        ("verify.requested", "accepted", "snapfleet", f"job:{taken.id}"),
        ("verify.ended", "succeeded", "snapfleet", worker),
    ]
    pruning = fleet.job(str(taken.request["prune_job_id"]))
    assert told(fleet, pruning)[0] == ("prune.requested", "accepted", "snapfleet", f"job:{proof.id}")
    first = entries(fleet)[0]
    assert first.details["request"]["snapshot_id"] == taken.request["snapshot_id"]
    assert (first.database, first.seq, first.previous) == (NAME, 1, NOTHING_BEFORE)
    seen = examined(fleet)
    assert (seen.findings, seen.count) == ((), len(entries(fleet)))
    assert seen.head == auditing.head(fleet.fleet)


@pytest.mark.parametrize(
    ("kind", "asked", "outcome", "code"),
    [
        (JobKind.VERIFY, {"snapshot_id": "gone", "prune_job_id": None}, "failed", "snapshot_unknown"),
        (
            JobKind.RESTORE,
            requests.restore_request(snapshot_id="gone", to="elsewhere"),
            "rolled_back",
            "snapshot_gone",
        ),
    ],
)
def test_an_end_says_whether_it_failed_or_was_rolled_back_and_the_code_of_why(
    fleet: InlineFleet, kind: JobKind, asked: dict[str, Any], outcome: str, code: str
) -> None:
    job = fleet.to_its_end(ask(fleet, kind, **asked).id)
    assert told(fleet, job)[-1][:2] == (f"{kind}.ended", outcome)
    assert job.error is not None
    assert entries(fleet)[-1].details == {"error": job.error["code"]}
    assert job.error["code"]
    assert faults(fleet) == [], code


def test_a_job_that_ends_before_it_began_has_its_end_too(fleet: InlineFleet) -> None:
    running, waiting, late = (ask(fleet) for _ in range(3))
    requests.cancel(fleet.fleet, waiting.id, by=Actor(name="ann", origin="cli:bastion"))
    with fleet.fleet.catalog.engine.begin() as connection:
        connection.execute(
            text("update job set deadline_at = now() - interval '1 s' where id = :id"), {"id": late.id}
        )
    dispatch.reap(fleet.fleet)
    assert told(fleet, waiting)[1:] == [
        ("prune.cancel_requested", "done", "ann", "cli:bastion"),
        ("prune.ended", "cancelled", "snapfleet", "worker:inline"),
    ]
    assert told(fleet, late)[1:] == [("prune.ended", "failed", "snapfleet", "worker:inline")]
    assert len(told(fleet, running)) == 1
    assert faults(fleet) == []


def begin_and_fail(fleet: InlineFleet) -> None:
    with fleet.fleet.catalog.transaction() as tx:
        auditing.did(tx, "never.done", by=TESTER)
        raise ZeroDivisionError


def test_what_is_not_done_has_no_entry_and_what_is_asked_twice_has_one(fleet: InlineFleet) -> None:
    first = ask(fleet, key="nightly")
    assert ask(fleet, key="nightly").id == first.id
    blocking.block(fleet.fleet, NAME, why="a test", by=TESTER)
    before = entries(fleet)
    with pytest.raises(SnapfleetError):
        ask(fleet, JobKind.SNAPSHOT, snapshot_id="never")
    with pytest.raises(SnapfleetError):
        requests.pin(fleet.fleet, "20260101T000000Z-abcdef", pinned=True, by=TESTER)
    with pytest.raises(ZeroDivisionError):
        begin_and_fail(fleet)
    assert entries(fleet) == before
    assert Counter(entry.action for entry in before) == {"prune.requested": 1, "database.blocked": 1}


def test_a_due_slot_is_asked_for_by_the_schedule(fleet: InlineFleet) -> None:
    with fleet.fleet.catalog.transaction() as tx:
        tx.schedules.know([NAME])
    with fleet.fleet.catalog.engine.begin() as connection:
        connection.execute(
            text(
                "update database set slots_until = slots_until - interval '1 d', created_at = now() - interval '9 d'"
            )
        )
    schedule.tick(
        fleet.fleet,
        new_job_id=lambda: str(uuid.uuid4()),
        new_snapshot_id=lambda now: f"{now:%Y%m%dT%H%M%SZ}-abcdef",
    )
    assert {(e.action, e.actor, e.origin) for e in entries(fleet)} == {
        ("snapshot.requested", "schedule", "beat"),
        ("check.requested", "schedule", "beat"),
    }


def test_a_request_of_the_bus_is_its_publishers_and_an_operators_answer_to_it_is_his(
    fleet: InlineFleet,
) -> None:
    bus = BusWorld(fleet.fleet)
    asked = request(source="//journal.example/mind")
    bus.handle(asked)
    assert [(e.action, e.actor, e.origin) for e in entries(fleet)] == [
        ("snapshot.requested", "bus://journal.example/mind", f"bus:{asked['id']}")
    ]
    fleet.drain()
    bus.handle(request(Ask.VERIFY, time="2020-01-01T00:00:00Z"))
    (letter,) = dead_letters.listing(bus.streams)
    dead_letters.replay(
        fleet.fleet.catalog, bus.streams, letter, now=datetime(2020, 1, 1, tzinfo=UTC), by=TESTER
    )
    bus.handle()
    (again,) = dead_letters.listing(bus.streams)
    assert dead_letters.drop(fleet.fleet.catalog, bus.streams, [again], by=TESTER) == 1
    acts = [e for e in entries(fleet) if e.actor == "tester"]
    assert [e.action for e in acts] == ["dead_letter.replayed", "dead_letter.dropped"]
    assert acts[0].details["event_id"] == acts[1].details["event_id"] == letter.event_id


def test_what_is_done_at_once_has_an_entry_too(fleet: InlineFleet) -> None:
    snapshot_id = str(fleet.snapshot().request["snapshot_id"])
    fleet.drain()
    requests.pin(fleet.fleet, snapshot_id, pinned=True, by=TESTER)
    requests.pin(fleet.fleet, snapshot_id, pinned=False, by=TESTER)
    blocking.block(fleet.fleet, NAME, why="a test", by=TESTER)
    assert not blocking.block(fleet.fleet, NAME, why="another", by=TESTER)
    blocking.unblock(fleet.fleet, NAME, by=TESTER)
    assert blocking.unblock(fleet.fleet, NAME, by=TESTER) is None
    list(rebuilding.rebuild(fleet.fleet, by=TESTER))
    acts = [e for e in entries(fleet) if e.actor == "tester"][1:]
    assert [(e.action, e.outcome) for e in acts] == [
        ("snapshot.pinned", "done"),
        ("snapshot.unpinned", "done"),
        ("database.blocked", "done"),
        ("database.unblocked", "done"),
        ("catalog.rebuild", "begun"),
        ("catalog.rebuild", "done"),
    ]
    assert acts[0].details == {"snapshot_id": snapshot_id}
    assert acts[-1].details["snapshots"] == {"known": 1}


def test_many_who_write_at_once_make_one_chain_and_none_waits_for_ever(fleet: InlineFleet) -> None:
    """Some ask, some ask under one key, some cancel: rows are locked in every order, the chain's lock comes last."""
    shared_keys, start = [f"key-{number}" for number in range(20)], threading.Barrier(8)
    failures: list[BaseException] = []

    def run(number: int) -> None:
        start.wait()
        try:
            for turn in range(20):
                job = ask(fleet, key=shared_keys[turn] if number % 2 else None)
                if number % 4 == 0:
                    with suppress(Busy):
                        requests.cancel(fleet.fleet, job.id, by=TESTER)
        except BaseException as exc:  # noqa: BLE001 - told of by the test
            failures.append(exc)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))
    assert failures == []
    assert faults(fleet) == []
    found = entries(fleet)
    assert [entry.seq for entry in found] == list(range(1, len(found) + 1))
    assert sum(entry.action == "prune.requested" for entry in found) == 4 * 20 + 20
    assert [entry.at for entry in found] == sorted(entry.at for entry in found)


def test_a_writer_that_is_paused_with_the_lock_in_hand_does_not_keep_the_others_for_long(
    fleet: InlineFleet,
) -> None:
    paused = catalog.connect(fleet.catalog_url)
    with paused.engine.connect() as connection:
        audit = Audit(connection, patience=timedelta(milliseconds=300))
        audit.add(Act(by=TESTER, action="never.done"))
        audit.write()
        ask(fleet)  # waits until the server has ended the other's transaction
        with pytest.raises(Exception, match="idle-in-transaction"):
            connection.execute(text("select 1"))
        connection.invalidate()
    paused.close()
    assert [entry.action for entry in entries(fleet)] == ["prune.requested"]
    assert faults(fleet) == []


def test_what_is_written_is_read_as_it_was_whatever_it_is(fleet: InlineFleet) -> None:
    details = {
        "text": 'é"\\\0\ud800\n',
        "number": 1e300,
        "small": 0.1,
        "large": 2**70,
        "none": None,
        "in": [[{}]],
    }
    odd = Actor(name="a\0b\x1b[31m" + "x" * 1_000, origin="é")
    with fleet.fleet.catalog.transaction() as tx:
        auditing.did(tx, "a.thing", by=odd, details=details)
    (entry,) = entries(fleet)
    assert entry.details == details
    assert (entry.actor[:8], entry.origin, len(entry.actor)) == ("a?b?[31m", "é", 300)
    assert faults(fleet) == []


def test_a_listing_shows_what_was_asked_for_the_newest_first(fleet: InlineFleet) -> None:
    jobs = [ask(fleet) for _ in range(3)]
    blocking.block(fleet.fleet, NAME, why="a test", by=Actor(name="ann", origin="cli:bastion"))
    with fleet.fleet.catalog.transaction() as tx:
        auditing.did(tx, "restored.never", by=TESTER)
    ours = fleet.fleet

    def seqs(**wanted: Any) -> list[int]:
        return [entry.seq for entry in auditing.listing(ours, **wanted)]

    assert seqs() == [5, 4, 3, 2, 1]
    assert seqs(limit=2) == [5, 4]
    assert seqs(before=4, limit=2) == [3, 2]
    assert seqs(actor="ann") == [4]
    assert seqs(action="prune") == seqs(action="prune.requested") == [3, 2, 1]
    assert seqs(action="restore") == []
    assert seqs(job_id=jobs[1].id) == [2]
    assert seqs(database=NAME) == [4, 3, 2, 1]
    for databases, expected in (
        (frozenset({NAME}), [4, 3, 2, 1]),
        (frozenset({"billing"}), []),
        (None, [5, 4, 3, 2, 1]),
    ):
        assert seqs(to=Principal(name="x", role=Role.ADMIN, databases=databases)) == expected
    billing = Principal(name="x", role=Role.ADMIN, databases=frozenset({"billing"}))
    assert seqs(to=billing, database=NAME) == []

"""Ids as people, scripts and attackers write them: each is found, or said not to be, and nothing else happens."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator
from dataclasses import replace

import pytest

from embedded.postgres import Postgres
from shared.domain.access import Actor
from shared.errors import NotFound, Refused
from shared.operations.jobs import requests
from shared.operations.snapshots import suspecting
from tests.integration import bus_home
from tests.integration.inline_fleet import NAME, InlineFleet
from tests.integration.test_bad_messages import rows
from tests.integration.test_round_trip import succeeded

NIL = "00000000-0000-0000-0000-000000000000"
LONG = 10_240
STRANGE = {
    "no id at all": "nonsense",
    "nil": NIL,
    "ten kilobytes": "a" * LONG,
    "an escaped zero byte": "%00",
    "a way up": "../../etc/passwd",
    "an escaped way up": "..%2f..%2fetc",
    "slashes": "//",
    "a dot": ".",
    "digits of another script": "٤٢",
    "a number too large": str(2**70),
    "a fraction": "1.5",
    "a pattern": "%",
    "another pattern": "_",
    "SQL": "' or '1'='1",
    "a line break": "a\nb",
}
LONGEST_MESSAGE = 300


@pytest.fixture(scope="module")
def home(postgres: Postgres) -> Generator[InlineFleet]:
    with bus_home.made(postgres) as fleet:
        bus_home.fresh(fleet)
        for _ in range(2):
            succeeded(fleet.snapshot())
        yield fleet


BY = Actor(name="somebody", origin="test")
Act = Callable[[InlineFleet, str], object]
ACTS: dict[str, Act] = {
    "show a job": lambda f, given: requests.find_job(f.fleet, given),
    "cancel a job": lambda f, given: requests.cancel(f.fleet, given, by=BY),
    "undo a restore": lambda f, given: requests.undo(
        f.fleet, given, job_id=str(uuid.uuid4()), idempotency_key=str(uuid.uuid4()), by=BY
    ),
    "show a snapshot": lambda f, given: requests.find_snapshot(f.fleet, given),
    "restore a snapshot": lambda f, given: requests.choose_snapshot(
        f.fleet, NAME, snapshot_id=given, at=None
    ),
    "pin a snapshot": lambda f, given: requests.pin(f.fleet, given, pinned=True, by=BY),
    "accept a snapshot": lambda f, given: suspecting.accept(f.fleet, given, by=BY),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_id_is_of_nothing(act: str, name: str, home: InlineFleet) -> None:
    before = rows(home)
    with pytest.raises((NotFound, Refused)) as refusal:
        ACTS[act](home, STRANGE[name])
    assert refusal.value.code in {"job_unknown", "snapshot_unknown"}
    assert len(refusal.value.message) < LONGEST_MESSAGE
    assert "\x00" not in refusal.value.message
    assert "\n" not in refusal.value.message
    assert rows(home) == before


def test_an_id_in_capitals_is_the_same_id(home: InlineFleet) -> None:
    with home.fleet.catalog.transaction() as tx:
        known = [job.id for job in tx.jobs.listing()]
    assert known
    assert [requests.find_job(home.fleet, each.upper()).id for each in known] == known


@pytest.mark.parametrize(
    ("act", "code"), [("show a job", "job_ambiguous"), ("show a snapshot", "snapshot_unknown")]
)
def test_no_id_at_all_means_nothing(act: str, code: str, home: InlineFleet) -> None:
    """An empty one is the beginning of all of them."""
    given = "" if code == "job_ambiguous" else " "
    with pytest.raises((NotFound, Refused)) as refusal:
        ACTS[act](home, given)
    assert refusal.value.code == code


def test_a_snapshot_of_another_database_is_answered_as_one_that_there_is_not(home: InlineFleet) -> None:
    mine = home.fleet.database(NAME)
    snapshot_id = home.snapshots()[0].id
    home.configure(databases={NAME: mine, "other": replace(mine, name="other")})
    told = []
    for given in (snapshot_id, "20010101T000000Z-000000"):
        with pytest.raises(NotFound) as refusal:
            requests.choose_snapshot(home.fleet, "other", snapshot_id=given, at=None)
        told.append((refusal.value.code, refusal.value.message.replace(given, "…")))
    assert told[0] == told[1]
    with pytest.raises(NotFound) as none:
        requests.choose_snapshot(home.fleet, "other", snapshot_id=None, at=None)
    assert none.value.code == "no_snapshot"
    home.configure(databases={NAME: mine})


def test_a_snapshot_that_is_deleted_or_failed_is_named_as_that(home: InlineFleet) -> None:
    taken = str(succeeded(home.snapshot()).request["snapshot_id"])
    with home.fleet.catalog.transaction() as tx:
        tx.snapshots.hide([taken])
    with pytest.raises(Refused) as refusal:
        requests.choose_snapshot(home.fleet, NAME, snapshot_id=taken, at=None)
    assert refusal.value.code == "snapshot_not_sealed"

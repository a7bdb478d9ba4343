"""`snapfleet bus` as a process, beside a worker and a real Redis; and what an operator does with dead letters."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from psycopg import sql

from bus.client import Consciousness
from shared.errors import Refused
from tests.e2e.site import Site, heard

PATIENCE = timedelta(seconds=60)


@contextmanager
def bus(site: Site, **environment: str) -> Generator[subprocess.Popen[str]]:
    """Running; afterwards it was asked to end, and did so in good order."""
    process = site.start("bus", **environment)
    try:
        heard(process, "bus_started")
        yield process
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE.total_seconds())
        assert process.returncode == 0, err
        assert "bus_stopped" in err
    finally:
        process.kill()


@pytest.fixture
def client(site: Site) -> Consciousness:
    return Consciousness.connect(site.valkey.url, source="/consciousness", database=site.name)


def test_a_service_is_answered_over_redis_and_what_was_refused_is_asked_again_once_allowed(
    site: Site, client: Consciousness
) -> None:
    beside = f"{site.name}_beside"
    with bus(site):
        sealed = client.create_snapshot(proven=False, deadline=PATIENCE)
        assert sealed.data["row_count"] == 500
        with pytest.raises(Refused) as caught:
            client.restore_from_snapshot(sealed.data["snapshot_id"], to=beside, deadline=PATIENCE)
        assert caught.value.code == "not_allowed"
    (letter,) = site.done("dead-letters", "list", "--json").json
    assert (letter["code"], letter["database"], letter["is_whole"]) == ("not_allowed", site.name, True)
    assert site.run("dead-letters", "replay").status == 2
    events = client.on("io.snapfleet.restore.succeeded.v1", deadline=PATIENCE)
    with bus(site, BUS_ALLOW="snapshot, restore"):
        said = site.done("dead-letters", "replay", letter["id"]).out
        assert said == f"asked again: {letter['id']}\n"
        restored = next(events)
        assert restored.cause is not None
        assert (restored.cause.id, restored.data["to"]) == (letter["event_id"], beside)
    assert site.content(beside) == site.content()
    with site.session() as session:
        session.execute(sql.SQL("drop database {}").format(sql.Identifier(beside)))
    assert site.done("dead-letters", "list").out == "no dead letter: every request was granted\n"
    assert site.run("dead-letters", "drop", "1-1").status == 4
    assert site.done("dead-letters", "drop", "--all").out == "dropped 0 dead letters\n"


def test_a_bus_that_may_do_what_nobody_knows_does_not_start(site: Site) -> None:
    ended = site.run("bus", BUS_ALLOW="snapshot,everything")
    assert ended.status == 1
    assert "BUS_ALLOW" in ended.err
    assert "Traceback" not in ended.err


def test_a_bus_waits_for_a_redis_that_is_away(site: Site, client: Consciousness) -> None:
    with bus(site) as process:
        site.valkey.kill()
        heard(process, "bus_waits")
        site.valkey.start()
        client.create_snapshot(proven=False, deadline=PATIENCE)
    site.settled()

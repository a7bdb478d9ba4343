"""A whole fleet, each process of it as its own user of Redis: nothing that anybody does is refused."""

from __future__ import annotations

import sys
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from bus.client import Consciousness
from embedded.postgres import Postgres
from embedded.process import Child
from embedded.seaweed import SeaweedFS
from shared.broker.app import make_app
from shared.broker.gauge import CeleryGauge
from shared.broker.timetable import TIMETABLE
from shared.domain.job import QUEUES
from shared.streams.base import EVENTS, INGEST, REQUESTS
from shared.streams.redis import RedisStreams
from tests.contract.redis_users import GuardedValkey
from tests.e2e.site import Site
from tests.waiting import until

PATIENCE = timedelta(seconds=60)


class Guarded(Site):
    """A site whose Redis lets nobody do more than the file says."""

    def __init__(self, *, valkey: GuardedValkey, **servers: Any) -> None:
        super().__init__(valkey=valkey, **servers)
        self.guarded = valkey
        self.environment |= {"REDIS_URL": valkey.url_of("api"), "BUS_ALLOW": "snapshot,restore,verify"}

    def process(self, user: str, *argv: str) -> Child:
        return Child(
            user,
            [sys.executable, "-m", *argv],
            environment=self.environment | {"REDIS_URL": self.guarded.url_of(user)},
            log=self.folder / f"{user}.log",
            folder=self.folder,
            patience=timedelta(seconds=10),
        )


@pytest.fixture
def site(postgres: Postgres, seaweed: SeaweedFS, tmp_path: Path) -> Generator[Guarded]:
    valkey = GuardedValkey(tmp_path / "valkey")
    valkey.start()
    made = Guarded(postgres=postgres, valkey=valkey, seaweed=seaweed, folder=tmp_path)
    made.done("migrate")
    processes = [
        made.process("worker", "workers", "--concurrency", "2"),
        made.process("bus", "bus"),
        made.process("beat", "beat"),
    ]
    yield made
    for process in processes:
        process.stop()
    valkey.stop()


def refusals(valkey: GuardedValkey) -> list[tuple[str, str, str]]:
    """(who, what kind, what) of each."""
    with redis.Redis.from_url(valkey.url, protocol=2) as admin:
        found: Any = admin.acl_log()
    return [(each["username"], each["reason"], each["object"]) for each in found]


def test_everybody_does_his_work_with_the_rights_that_the_file_gives(site: Guarded) -> None:
    consciousness = Consciousness.connect(
        site.guarded.url_of("consciousness"), source="/consciousness", database=site.name
    )
    before = site.content()
    taken = consciousness.create_snapshot(deadline=PATIENCE)
    with site.session() as session:
        session.execute("delete from item")
    restored = consciousness.restore_from_snapshot(taken.data["snapshot_id"], deadline=PATIENCE)
    assert site.content() == before
    site.done("undo", str(restored.job_id), "--yes", "--wait")  # as the user of the command line
    assert site.content() != before
    site.done("dead-letters", "list")
    beat = make_app(site.guarded.url_of("beat"))
    for entry in TIMETABLE.values():
        beat.send_task(entry["task"], **entry["options"])
    exporter = CeleryGauge(make_app(site.guarded.url_of("exporter")))
    until(lambda: sum(exporter.read().waiting.values()) == 0)
    assert set(exporter.read().takers) == set(QUEUES)
    assert exporter.read().workers == 1
    streams = RedisStreams.connect(site.guarded.url_of("exporter"))
    assert [unread.group for unread in streams.unread(REQUESTS)] == [INGEST]
    assert streams.length(EVENTS) > 0
    assert refusals(site.guarded) == []
    assert all((site.folder / f"{name}.log").stat().st_size for name in ("worker", "bus", "beat"))

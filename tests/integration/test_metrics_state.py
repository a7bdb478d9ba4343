"""What the exporter says of a fleet: right at every moment of a database's life, and never more than is known."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from shared.broker.app import make_app
from shared.broker.gauge import CeleryGauge, Gauge, Traffic
from shared.domain.proof import VerifyPolicy
from shared.errors import SnapfleetError, Unreachable
from shared.metrics.collector import registry_of
from shared.metrics.table import BY_NAME, Origin
from shared.operations.upkeep import schedule
from shared.storage.memory import MemoryStorage
from shared.storage.repository import Repository
from shared.streams.base import DEAD
from shared.streams.memory import MemoryStreams
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet


class StillGauge:
    """A Redis with two workers, of which one takes restores only."""

    def read(self) -> Traffic:
        return Traffic(waiting={"jobs": 3}, takers={"jobs": 1, "restore": 2}, workers=2)


class Exported:
    """What one scrape of a new exporter gives: each series with its value."""

    def __init__(
        self,
        site: InlineFleet,
        *,
        gauge: Gauge | None = None,
        streams: MemoryStreams | None = None,
        folder: Path | None = None,
    ) -> None:
        registry = registry_of(
            site.fleet,
            gauge=gauge or StillGauge(),
            streams=streams or MemoryStreams(clock=time.monotonic),
            folder=folder,
            version="1",
        )
        self.series: dict[tuple[str, tuple[str, ...]], float] = {}
        for family in registry.collect():
            declared = BY_NAME[family.name if family.type == "gauge" else f"{family.name}_total"]
            for sample in family.samples:
                assert tuple(sample.labels) == declared.labels
                key = (sample.name.removeprefix("snapfleet_"), tuple(sample.labels.values()))
                assert key not in self.series
                self.series[key] = sample.value

    def __call__(self, name: str, *labels: str) -> float | None:
        return self.series.get((name, labels))


@pytest.fixture
def url(database: Callable[..., str]) -> str:
    made = database()
    rows = "select i, md5(i::text) || md5((-i)::text) as pad from generate_series(1, 5000) i"
    with psycopg.connect(made) as session:
        session.execute(f"create table item as {rows}".encode())
    return made


@pytest.fixture
def site(url: str, inline: Inline) -> InlineFleet:
    return inline(url)


@pytest.fixture
def proving(url: str, inline: Inline) -> InlineFleet:
    """The same with a proof after each snapshot."""
    return inline(url, verify=VerifyPolicy.ALWAYS)


def ticked(site: InlineFleet) -> None:
    schedule.tick(site.fleet, new_job_id=lambda: "", new_snapshot_id=lambda _now: "")


def test_of_what_is_not_there_yet_nothing_is_said(proving: InlineFleet) -> None:
    site = proving
    seen = Exported(site)
    assert seen("source_up", "catalog") == 1
    assert seen("schedule_interval_seconds", NAME) == 6 * 3600
    assert seen("proof_interval_seconds", NAME) == 6 * 3600
    assert seen("restore_objective_seconds", NAME) == 300
    for name in (
        "database_known_seconds",
        "snapshots_pinned",
        "repository_chunks",
        "restore_measured_seconds",
    ):
        assert seen(name, NAME) is None, name
    assert not [
        key for key in seen.series if key[0] in {"snapshot_age_seconds", "snapshots", "proof_matched"}
    ]
    ticked(site)
    seen = Exported(site)
    assert seen("database_known_seconds", NAME) is not None
    assert seen("snapshots", NAME, "sealed") == 0, "now it is known that there is none"
    assert seen("snapshot_age_seconds", NAME, "sealed") is None
    assert seen("schedule_lag_seconds", NAME) == 0


def test_a_snapshot_and_its_proof_are_seen_as_they_come(proving: InlineFleet) -> None:
    site = proving
    taken = site.snapshot()
    snapshot_id = str(taken.request["snapshot_id"])
    seen = Exported(site)
    (snapshot,) = site.snapshots()
    for standing in ("sealed", "good", "proven"):
        assert 0 <= (seen("snapshot_age_seconds", NAME, standing) or -1) < 60, standing
    assert seen("snapshots", NAME, "verified") == 1
    assert seen("snapshots", NAME, "sealed") == 0
    assert seen("proof_matched", NAME) == 1
    assert (seen("restore_measured_seconds", NAME) or 0) > 0
    assert (seen("restore_estimated_seconds", NAME) or 0) > 0
    assert seen("snapshot_raw_bytes", NAME) == snapshot.raw_bytes
    assert seen("snapshot_new_bytes", NAME) == snapshot.new_bytes == seen("repository_stored_bytes", NAME)
    assert seen("snapshot_unread_bytes", NAME) == 0
    assert seen("snapshot_dedup_ratio", NAME) == 0
    assert seen("jobs_ended", "snapshot", "succeeded") == 1
    assert seen("jobs_failed_in_a_row", NAME, "verify") == 0
    assert seen("jobs_failed_in_a_row", NAME, "restore") is None
    with site.fleet.catalog.transaction() as tx:
        tx.snapshots.judge(snapshot_id, matched=False)
    seen = Exported(site)
    assert seen("snapshot_age_seconds", NAME, "proven") is None
    assert seen("snapshot_age_seconds", NAME, "good") is None
    assert seen("snapshot_age_seconds", NAME, "sealed") is not None
    assert seen("snapshots", NAME, "refuted") == 1


def test_equal_snapshots_share_what_they_store(site: InlineFleet) -> None:
    site.snapshot()
    site.snapshot()
    seen = Exported(site)
    assert (seen("snapshot_dedup_ratio", NAME) or 0) > 0.3
    assert 0 < (seen("repository_dedup_ratio", NAME) or 0) < 1
    assert seen("pruned_snapshots", NAME) == 0
    assert seen("pruned_bytes", NAME) == 0


def test_failures_are_counted_until_one_succeeds(site: InlineFleet) -> None:
    url = site.fleet.database(NAME).url
    site.point_at(url.replace("secret", "wrong"))
    site.snapshot()
    site.snapshot()
    seen = Exported(site)
    assert seen("jobs_failed_in_a_row", NAME, "snapshot") == 2
    assert seen("jobs_ended", "snapshot", "failed") == 2
    assert seen("jobs_failed_in_a_row", NAME, "restore") is None
    site.point_at(url)
    site.snapshot()
    assert Exported(site)("jobs_failed_in_a_row", NAME, "snapshot") == 0


def test_what_does_not_move_is_told_of(site: InlineFleet) -> None:
    site.snapshot()
    with site.fleet.catalog.engine.begin() as connection:
        connection.execute(
            text(
                "update job set state = case kind when 'snapshot' then 'active' else 'pending' end, rings = 6,"
                " attempts = 3, finished_at = null, not_before = now() - interval '1 h',"
                " created_at = now() - interval '2 h' where kind in ('snapshot', 'prune')"
            )
        )
        connection.execute(
            text("update job set lease_until = now() - interval '1 min' where kind = 'snapshot'")
        )
        connection.execute(text("update database set slots_until = now() - interval '13 h'"))
    seen = Exported(site)
    assert seen("leases_expired", "snapshot") == 1
    assert seen("leases_expired", "restore") == 0
    assert seen("jobs", "snapshot", "active") == 1
    assert seen("job_attempts", "snapshot", "active") == 3
    assert seen("job_unanswered_rings", "snapshot", "active") == 0, "it was claimed"
    assert 3500 < (seen("job_oldest_waiting_seconds", "prune") or 0) < 3700
    assert seen("job_oldest_waiting_seconds", "snapshot") is None
    assert 7 * 3600 <= (seen("schedule_lag_seconds", NAME) or 0) <= 13 * 3600
    assert (seen("outbox_events") or 0) > 0
    assert (seen("outbox_oldest_seconds") or -1) >= 0


def test_the_numbers_of_redis_come_through(site: InlineFleet, redis_url: str) -> None:
    streams = MemoryStreams(clock=time.monotonic)
    streams.append(DEAD, [{"event": b"x"}, {"event": b"y"}])
    seen = Exported(site, streams=streams)
    assert seen("dead_letters") == 2
    assert seen("bus_requests") == 0
    assert (seen("queue_messages", "jobs"), seen("queue_workers", "restore"), seen("workers")) == (3, 2, 2)

    app = make_app(redis_url)
    for _ in range(3):
        app.send_task("snapshot.copy", args=("id", 1, 1), queue="jobs")
    seen = Exported(site, gauge=CeleryGauge(app))
    assert seen("queue_messages", "jobs") == 3
    assert seen("queue_messages", "control") == 0
    assert (seen("queue_workers", "jobs"), seen("workers")) == (0, 0), "nobody has answered"


def test_a_source_that_is_away_takes_its_series_along_and_no_others(
    site: InlineFleet, tmp_path: Path
) -> None:
    site.snapshot()
    nowhere = CeleryGauge(make_app("redis://127.0.0.1:1/0"))
    with pytest.raises(Unreachable):
        nowhere.read()
    seen = Exported(site, gauge=nowhere, folder=tmp_path)
    assert seen("source_up", "redis") == 0
    assert (seen("source_errors_total", "redis") or 0) >= 1
    assert seen("source_success_timestamp_seconds", "redis") is None
    assert not [key for key in seen.series if key[0].startswith("queue_")]
    assert seen("snapshot_age_seconds", NAME, "sealed") is not None
    assert 0 < (seen("repository_disk_free_bytes") or 0) <= (seen("repository_disk_size_bytes") or 0)

    broken = MemoryStorage()
    site.configure(repository=Repository(broken))
    site.fleet.catalog.engine.dispose()
    with site.fleet.catalog.engine.begin() as connection:
        connection.execute(text("alter table verification rename to verification_away"))
    seen = Exported(site)
    assert (seen("source_up", "catalog"), seen("source_up", "repository")) == (0, 1)
    assert {name for name, _ in seen.series if name.startswith(("snapshot", "job", "outbox"))} == set()


def test_databases_that_are_configured_no_more_have_no_series(site: InlineFleet) -> None:
    site.snapshot()
    old = site.fleet.database(NAME)
    site.configure(databases={"other": replace(old, name="other")})
    seen = Exported(site)
    labels = {label for _, labels in seen.series for label in labels}
    assert NAME not in labels
    assert "other" in labels


def test_whoever_watches_changes_nothing(site: InlineFleet) -> None:
    def write() -> None:
        with site.fleet.catalog.transaction() as tx:
            tx.measures.limit()
            tx.schedules.know(["new"])

    with pytest.raises(SnapfleetError, match="ReadOnlySqlTransaction"):
        write()


def test_what_takes_too_long_is_cut_off(site: InlineFleet) -> None:
    def read() -> None:
        with site.fleet.catalog.transaction() as tx:
            tx.measures.limit(timedelta(milliseconds=200))
            tx.measures.proofs([NAME])

    with site.fleet.catalog.engine.begin() as holder:
        holder.execute(text("lock table verification in access exclusive mode"))
        with pytest.raises(SnapfleetError):
            read()
    read()


def test_every_state_that_is_declared_is_exported_at_some_moment(
    proving: InlineFleet, tmp_path: Path
) -> None:
    """Lest the page promise what nobody ever sees."""
    proving.snapshot()
    before = Exported(proving, folder=tmp_path)
    with proving.fleet.catalog.engine.begin() as connection:
        waits = "update job set state = 'pending', finished_at = null where kind = 'prune'"
        connection.execute(text(waits))
    with proving.fleet.catalog.transaction() as tx:
        tx.schedules.know([NAME])
        tx.canaries.sing("control", worker="w")
    seen = {name for name, _ in before.series} | {name for name, _ in Exported(proving).series}
    declared = {m.name.removeprefix("snapfleet_") for m in BY_NAME.values() if m.origin is Origin.EXPORTER}
    assert declared - seen == set()

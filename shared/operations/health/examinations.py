"""What `snapfleet doctor` asks of the fleet's own servers and of this machine; each thing under its own code.

The protected databases, and the trial, have a file of their own: `examined_databases.py`.
"""

from __future__ import annotations

import os
import re
import resource
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, requires
from importlib.metadata import version as installed
from pathlib import Path

from packaging.requirements import Requirement

from shared.broker.gauge import Gauge
from shared.catalog import facts as catalog_facts
from shared.catalog.revision import check_migrated
from shared.domain.ids import new_probe_id
from shared.domain.wording import counted
from shared.errors import Misconfigured, Refused
from shared.locks.server import Server
from shared.operations.databases import preview
from shared.operations.fleet import Fleet
from shared.operations.health import clock, readiness
from shared.operations.health.examining import Examination, Notes

OLDEST_CATALOG = 140_000
OLDEST_REDIS = (6, 2)
MOSTLY = 0.8
"""Of what is limited, this share is told of."""
LEAST_FREE = 0.1
LEAST_TEMPORARY_BYTES = 1_000_000_000
LEAST_FILES = 1024
MANY_WAITING = 1000
HERE = {"", "localhost", "127.0.0.1", "::1"}
OURS = "snapfleet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What is examined, and with what. `folder` is the repository's, where it lies in one."""

    fleet: Fleet
    redis: Server
    gauge: Gauge
    folder: Path | None
    now: Callable[[], datetime]
    random: Callable[[], uuid.UUID]


def of_fleet(patient: Patient) -> tuple[Examination, ...]:
    fleet = patient.fleet
    return (
        Examination(name="software", look=software),
        Examination(name="machine", look=machine),
        Examination(name="tools", look=lambda _: readiness.look_at_tools(fleet)),
        Examination(name="catalog", look=partial(look_at_catalog, fleet)),
        Examination(name="clock", look=lambda _: compare_clocks(patient), needs=("catalog",)),
        Examination(name="redis", look=partial(look_at_redis, patient)),
        Examination(name="repository", look=partial(look_at_repository, patient)),
        Examination(name="workers", look=partial(look_at_workers, patient), needs=("redis",)),
        Examination(name="canary", look=partial(hear_canary, fleet), needs=("catalog",)),
    )


def software(notes: Notes, required: Sequence[str] | None = None) -> str:
    """The packages that this release was tested with, or near ones."""
    try:
        wanted = [Requirement(line) for line in (requires(OURS) if required is None else required) or ()]
        release = installed(OURS)
    except PackageNotFoundError as exc:
        raise Misconfigured(
            "snapfleet is not installed, only lying here",
            code="not_installed",
            hint="pip install . in the environment that runs it",
        ) from exc
    for each in wanted:
        if each.marker is not None and not each.marker.evaluate({"extra": ""}):
            continue
        try:
            found = installed(each.name)
        except PackageNotFoundError:
            found = None
        if found is None or not each.specifier.contains(found, prereleases=True):
            notes.fail(
                "package_version",
                f"{each.name} is {found or 'missing'}, and this release needs {each.specifier or 'it'}",
                "install the pinned ones: pip install --require-hashes -r deploy/requirements.lock",
            )
    return f"snapfleet {release}, {counted(len(wanted), 'package')} as required"


def machine(notes: Notes) -> str:
    """Where a restore puts its archive, and how many files may be open."""
    folder = Path(tempfile.gettempdir())
    given = os.statvfs(folder)
    free = given.f_bavail * given.f_frsize
    if free < LEAST_TEMPORARY_BYTES:
        notes.warn(
            "temporary_scarce",
            f"{folder} has {free:,} bytes free, and a restore puts the archive of its snapshot there",
            "set TMPDIR to a folder with room for the largest archive, for every worker",
        )
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files < LEAST_FILES:
        notes.warn(
            "few_files",
            f"a process may have {files} files open",
            f"raise it to {LEAST_FILES} or more: ulimit -n, LimitNOFILE=, ulimits",
        )
    return f"{free:,} bytes free in {folder}"


def look_at_catalog(fleet: Fleet, notes: Notes) -> str:
    check_migrated(fleet.catalog)
    preview.check_catalog_apart(fleet)
    found = catalog_facts.read(fleet.catalog)
    if found.server_version < OLDEST_CATALOG:
        notes.fail(
            "catalog_too_old",
            f"the catalog's server is PostgreSQL {found.server_version // 10000}",
            "move it to PostgreSQL 14 or later",
        )
    if found.is_standby:
        notes.fail(
            "catalog_read_only",
            "the catalog's server is a standby, and takes no writes",
            "name the primary in CATALOG_URL, or add target_session_attrs=read-write",
        )
    if found.closed:
        notes.fail(
            "catalog_rights",
            f"the catalog's user may not work with {', '.join(found.closed)}",
            "run deploy/sql/catalog.sql again, as a superuser, after each `snapfleet migrate`",
        )
    if found.is_superuser:
        notes.warn(
            "catalog_superuser",
            "the catalog's user is a superuser",
            "give the fleet a role of its own: deploy/sql/catalog.sql",
        )
    if found.connections > MOSTLY * found.most_connections:
        notes.warn(
            "catalog_connections",
            f"{found.connections} of {found.most_connections} connections of the catalog's server are taken",
            "raise max_connections, or put a pooler before it: docs/scaling.md counts what the fleet takes",
        )
    return f"PostgreSQL {found.server_version // 10000}, {found.size_bytes:,} bytes, migrated"


def compare_clocks(patient: Patient) -> str:
    clock.refuse_skew(patient.fleet, clock=patient.now)
    return f"within {clock.MOST_SKEW.total_seconds():.0f} s of the catalog's"


def look_at_redis(patient: Patient, notes: Notes) -> str:
    found = patient.redis.facts()
    if version_of(found.version) < OLDEST_REDIS:
        notes.fail("redis_too_old", f"Redis is {found.version}", "6.2 is the oldest that will do")
    if found.policy != "noeviction":
        notes.fail(
            "redis_evicts",
            f"Redis throws keys away when its memory is full (maxmemory-policy {found.policy}), messages too",
            "give the fleet a Redis of its own with maxmemory-policy noeviction",
        )
    if found.is_replica:
        raise Refused(
            "this Redis is a replica, and takes no writes",
            code="redis_read_only",
            hint="name the primary in REDIS_URL, or what always leads to it",
        )
    if not found.persistent:
        notes.warn(
            "redis_forgets",
            "Redis keeps nothing over a restart: what was rung before is rung again a minute later or more, and"
            " requests on the event bus that nobody has taken are lost",
            "set appendonly yes",
        )
    if found.max_bytes is not None and found.used_bytes > MOSTLY * found.max_bytes:
        notes.warn(
            "redis_scarce",
            f"{found.used_bytes:,} of {found.max_bytes:,} bytes of Redis's memory are taken",
            "raise maxmemory, or lower keep_events under [bus]",
        )
    if found.is_open and found.host not in HERE:
        notes.warn(
            "redis_open",
            "Redis asks for no password, and is on another host: who reaches it can ring any task",
            "give it ACL users: deploy/redis/users.acl",
        )
    patient.redis.refuse_rights(patient.random().hex)
    return f"{found.version}, {found.used_bytes:,} bytes taken"


def version_of(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def look_at_repository(patient: Patient, notes: Notes) -> str:
    """Put, read, replaced, listed and deleted; and what was stored before is still there."""
    storage = patient.fleet.repository.storage
    seen = storage.check(probe_id=new_probe_id(patient.now(), patient.random()))
    if seen.warning:
        notes.warn("repository_overwrites", seen.warning, "docs/guarantees.md says what that means")
    if patient.folder is not None:
        look_at_disk(patient.folder, notes)
    readiness.look_at_repository(patient.fleet)
    return f"{storage.location} keeps what it is given"


def look_at_disk(folder: Path, notes: Notes) -> None:
    given = os.statvfs(folder)
    if given.f_bavail < LEAST_FREE * given.f_blocks:
        notes.warn(
            "disk_scarce",
            f"the disk of {folder} has {given.f_bavail * given.f_frsize:,} bytes left, less than a tenth",
            "make room, or lower `keep` of the databases: docs/retention.md",
        )


def look_at_workers(patient: Patient, notes: Notes) -> str:
    found = patient.gauge.read()
    idle = [name for name, takers in found.takers.items() if not takers]
    if idle:
        notes.fail(
            "no_worker",
            f"no worker takes from {', '.join(idle)}",
            "start one: python -m workers; with --queues it takes from those alone",
        )
    growing = waiting(found.waiting)
    if growing:
        notes.warn("queue_grows", f"much is waiting: {growing}", "start more workers for it: docs/scaling.md")
    return f"{counted(found.workers, 'worker')}, each queue has one"


def waiting(messages: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} in {name}" for name, count in messages.items() if count > MANY_WAITING)


def hear_canary(fleet: Fleet, notes: Notes) -> str:
    found = readiness.canary(fleet)
    if not found.ok:
        when = f"since {found.sign.sung_at:%Y-%m-%d %H:%M:%S} UTC" if found.sign else "yet"
        notes.fail(
            "canary_silent",
            f"no worker has answered beat {when}",
            "is one beat running, and a worker that takes from the queue `control` and is not busy for minutes?",
        )
    return f"sang for {found.sign.worker}" if found.sign else ""

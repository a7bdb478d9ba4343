"""Machines that have too little: of disk, of descriptors, of memory, of time in common with the others."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import redis

from shared.domain.job import JobKind
from tests.faults import disk
from tests.faults.case import Case
from tests.faults.promises import assert_world
from tests.faults.scenes import SCENES
from tests.faults.world import World

SMALL_BYTES = 256 * 1024
KINDS = (JobKind.SNAPSHOT, JobKind.VERIFY, JobKind.RESTORE)
SKEW = """
create schema skewed;
create function skewed.now() returns timestamptz language sql stable as $$select pg_catalog.now() - interval '20 min'$$;
grant usage on schema skewed to public;
alter role keeper in database catalog set search_path = skewed, pg_catalog, public;
"""


def cases() -> Iterator[Case]:
    if disk.may_mount():
        for kind in (JobKind.RESTORE, JobKind.VERIFY):
            yield Case(kind="the temporary folder is full", name=str(kind), run=full_tmp(kind))
    for kind in KINDS:
        yield limited("RLIMIT_FSIZE of 256 KiB", kind, resource.RLIMIT_FSIZE, SMALL_BYTES)
        for most in (12, 16):
            yield limited(f"RLIMIT_NOFILE of {most}", kind, resource.RLIMIT_NOFILE, most)
        yield limited(
            "RLIMIT_AS 64 MiB above what is used", kind, resource.RLIMIT_AS, used_bytes() + (64 << 20)
        )
    yield Case(kind="a worker whose clock is 20 minutes fast", name="refuses to start", run=fast_clock)
    yield Case(kind="a Redis that evicts keys", name="a worker refuses to start", run=evicting)
    yield Case(kind="failpoints without the option for them", name="a worker refuses to start", run=armed)


def full_tmp(kind: JobKind) -> Callable[[World], None]:
    def run(world: World) -> None:
        scene = SCENES[kind](world)
        with disk.mounted(world.folder / "tmp", size_bytes=SMALL_BYTES):
            job_id = scene.ask()
            world.work_until(lambda: world.job(job_id).attempts > 0, "a failure for want of room")
            error = world.job(job_id).error
            world.cast.kill_all()
        assert error is not None
        assert error["code"] == "disk_full", error
        scene.assert_over(world.ended(job_id))

    return run


def limited(title: str, kind: JobKind, which: int, most: int) -> Case:
    """Whoever comes first has too little; others come after. Whatever it ends as, it ends clean."""

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        world.cast.limits = {which: most}
        job_id = scene.ask()
        world.work_until(
            lambda: world.job(job_id).state.is_final or world.cast.lost_somebody(), "the end of the first one"
        )
        world.cast.limits = {}
        scene.assert_either(world.ended(job_id))

    return Case(kind=title, name=str(kind), run=run)


def used_bytes() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()


def fast_clock(world: World) -> None:
    """Seen from the worker it is the catalog's clock that differs: its `now()` is twenty minutes ago."""
    with psycopg.connect(world.catalog_server.dsn("catalog"), autocommit=True) as admin:
        admin.execute(SKEW.encode())
        try:
            refused(world, "this machine's clock is 1200 s ahead of the catalog server's")
        finally:
            admin.execute("alter role keeper in database catalog reset search_path")
            admin.execute("drop schema skewed cascade")
    assert_world(world, contents=[world.shop.content()])


def evicting(world: World) -> None:
    with redis.Redis.from_url(world.valkey.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            refused(world, "Redis throws keys away when its memory is full (maxmemory-policy allkeys-lru)")
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert_world(world, contents=[world.shop.content()])


def armed(world: World) -> None:
    refused(world, "SNAPFLEET_FAILPOINTS: it is set", SNAPFLEET_FAILPOINTS=str(world.points))
    assert_world(world, contents=[world.shop.content()])


def refused(world: World, words: str, **environment: str) -> None:
    """A real worker does not start, and says why."""
    worker = world.crew.start("refused", "workers", environment=environment)
    world.work_until(lambda: not worker.alive, "the end of a worker that should not start")
    said = worker.log.read_text()
    assert worker.returncode == 1, said[-2000:]
    assert f"error: {words}" in said, said[-2000:]
    assert "hint: " in said

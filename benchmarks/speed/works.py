"""Everything that is measured on one server: ours and theirs in turn, round after round, on the same data."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.speed import data, limits, rivals
from benchmarks.speed.backrest import PgBackRest
from benchmarks.speed.limits import Limit
from benchmarks.speed.measure import Cost, Figure
from benchmarks.speed.ours import Ours
from benchmarks.speed.rivals import Asked
from benchmarks.speed.site import BENCH, OWNER, Named, Site
from benchmarks.speed.sizes import Size

RESTORED = "restored"
FEW = 2
"""Hands of ours where only one number is measured: as many as pg_dump's and pg_restore's jobs."""

DUMP, DUMP_ZSTD, DUMP_FOLDER = "pg_dump -Fc", "pg_dump -Fc -Z0 | zstd -1 -T0", "pg_dump -Fd -j2"
RESTORE_FOLDER, RESTORE_STREAMED = "pg_restore -j2, local files", "pg_restore, from S3"
OURS = "snapfleet"


def hands(count: int) -> str:
    return f"{OURS}, {count} hand{'s' if count > 1 else ''}"


def place(round_: int, count: int) -> tuple[str, str]:
    """Name and address under which the fleet knows the database in this round: under a new name nothing is known."""
    return f"h{count}-r{round_}", f"127.0.{round_}.{count}"


def addresses(size: Size) -> list[str]:
    return [place(r, h)[1] for r in range(1, size.rounds + 1) for h in size.hands]


class Works:
    """The figures of one server. `say` hears each as it comes; `notes` tell what was left out, and why."""

    def __init__(self, site: Site, size: Size, *, say: Callable[[Figure], None]) -> None:
        self._site, self._size, self._say = site, size, say
        self._dump_folder = site.folder / "dump"
        self._parts = site.folder / "parts"
        self._parts.mkdir(exist_ok=True)
        self._compression = rivals.compressions(site.bin_dir)
        self.figures = list[Figure]()
        self.notes = list[str]()
        self.size_bytes = 0

    def measure(self) -> None:
        site, size = self._site, self._size
        data.fill(site.url(), rows=size.rows, small_tables=size.small_tables)
        self.size_bytes = data.size_bytes(site.url())
        site.checkpoint()
        self._limit("keep parts")
        backrest = self._backrest()
        rounds = range(1, size.rounds + 1)
        places = [(place(r, h), h) for r in rounds for h in size.hands]
        named = [Named(name=n, url=site.url(address=a), parallelism=h) for (n, a), h in places]
        with site.fleet(named, workers=max(size.hands)) as (fleet, children):
            ours = Ours(fleet=fleet, children=children)
            for number in rounds:
                self._full(ours, backrest, number)
                self._next(ours, backrest, number)
            for number in rounds:
                self._restore(ours, backrest, number)
            self._others(ours)

    def _full(self, ours: Ours, backrest: PgBackRest | None, number: int) -> None:
        for count in self._size.hands:
            self._note("full", hands(count), number, partial(ours.snapshot, place(number, count)[0]))
        for way in (DUMP, DUMP_ZSTD, DUMP_FOLDER):
            self._note("full", way, number, partial(self._dump, way))
        if backrest is not None:
            self._note("full", "pgBackRest, local", number, lambda: backrest.backup("full"))
        stored = self.figures[-1].cost.bytes
        self._note("limit", "COPY out, to nowhere", number, lambda: self._limit("COPY out, to nowhere"))
        for what in ("S3 put", "S3 get"):
            self._note("limit", what, number, partial(self._limit, what, size=stored))

    def _next(self, ours: Ours, backrest: PgBackRest | None, number: int) -> None:
        name, _ = place(number, FEW)
        for what in self._size.changes:
            data.change(self._site.url(), what, rows=self._size.rows, number=number)
            self._site.checkpoint()
            self._note(what, hands(FEW), number, lambda: ours.snapshot(name))
            if number == 1:
                # It reads and stores everything, whatever has changed: once says it.
                self._note(what, DUMP, number, lambda: self._dump(DUMP))
                self._note(what, DUMP_FOLDER, number, lambda: self._dump(DUMP_FOLDER))
            if backrest is not None:
                self._note(what, "pgBackRest incremental, local", number, lambda: backrest.backup("incr"))

    def _restore(self, ours: Ours, backrest: PgBackRest | None, number: int) -> None:
        site = self._site
        name, _ = place(number, FEW)
        self._note("restore", hands(FEW), number, lambda: ours.restore(name, to=RESTORED))
        for way in (RESTORE_FOLDER, RESTORE_STREAMED):
            self._empty()
            self._note("restore", way, number, partial(self._rival, way, key=DUMP, database=RESTORED))
        self._empty(with_tables=True)
        self._note(
            "limit",
            "COPY in, nothing else",
            number,
            lambda: self._limit("COPY in, nothing else", into=RESTORED),
        )
        site.drop(RESTORED)
        if backrest is not None:
            self._note("restore", "pgBackRest, local", number, backrest.restore)
        site.checkpoint()

    def _others(self, ours: Ours) -> None:
        """What is quick to tell: once each, on the newest snapshot."""
        name, _ = place(self._size.rounds, FEW)
        table = f"small_{self._size.small_tables // 2 + 1:03}"
        self._note("verify", hands(FEW), 1, lambda: ours.verify(name))
        self._note("one table", hands(FEW), 1, lambda: ours.one_table(name, table, to="brought_back"))
        self._empty(with_tables=True)
        wanted = (f"--table={table}", "--data-only")
        self._note(
            "one table",
            "pg_restore, local files",
            1,
            lambda: self._rival(RESTORE_FOLDER, database=RESTORED, options=wanted),
        )
        self._site.drop(RESTORED)
        restore = list[str]()

        def in_place() -> Cost:
            cost, job_id = ours.restore_in_place(name)
            restore.append(job_id)
            return cost

        self._note("restore in place", hands(FEW), 1, in_place)
        self._note("undo", hands(FEW), 1, lambda: ours.undo(restore[0]))
        ours.rest()
        self._site.drop_all_but(BENCH)

    def _note(self, work: str, way: str, number: int, act: Callable[[], Cost]) -> None:
        figure = Figure(major=self._site.major, work=work, way=way, round=number, cost=act())
        self.figures.append(figure)
        self._say(figure)

    def _dump(self, way: str) -> Cost:
        if way == DUMP_FOLDER:
            shutil.rmtree(self._dump_folder, ignore_errors=True)
        return self._rival(way, key=way, options=self._compression if way == DUMP_FOLDER else ())

    def _rival(self, way: str, *, key: str = "", database: str = BENCH, options: Sequence[str] = ()) -> Cost:
        password = self._site.postgres.secret(OWNER)
        connection = {"PGHOST": "127.0.0.1", "PGPORT": str(self._site.postgres.port), "PGUSER": OWNER}
        asked = Asked(
            way=way,
            key=f"rivals/{key}".replace(" ", "_").replace("|", "-"),
            bucket=self._site.seaweed.bucket,
            endpoint=self._site.seaweed.endpoint,
            folder=str(self._dump_folder),
            environment=connection | {"PGDATABASE": database},
            options=options,
        )
        return rivals.run(asked, environment=self._environment() | {"PGPASSWORD": password})

    def _limit(self, what: str, *, into: str = BENCH, size: int = 0) -> Cost:
        limit = Limit(
            what=what,
            dsn=self._site.url(into),
            folder=str(self._parts),
            bucket=self._site.seaweed.bucket,
            bytes=size,
            cores=os.cpu_count() or 1,
        )
        return limits.run(limit, environment=self._environment())

    def _environment(self) -> dict[str, str]:
        path = f"{self._site.bin_dir}:{os.defpath}"
        return self._site.seaweed.environment | {
            "PATH": path,
            "HOME": str(self._site.folder),
            "TMPDIR": str(self._site.folder),
        }

    def _empty(self, *, with_tables: bool = False) -> None:
        """A new empty database to restore into; with its tables in it, but no index and no key, if wanted."""
        self._site.drop(RESTORED)
        self._site.create(RESTORED)
        if with_tables:
            told = self._environment() | {"PGPASSWORD": self._site.postgres.secret(OWNER)}
            where = ["-h", "127.0.0.1", "-p", str(self._site.postgres.port), "-U", OWNER, "-d", RESTORED]
            argv = ["pg_restore", "--section=pre-data", *where, str(self._dump_folder)]
            subprocess.run(argv, env=told, check=True)

    def _backrest(self) -> PgBackRest | None:
        why_not = PgBackRest.why_not(self._site.major)
        if why_not is None:
            backrest = PgBackRest(self._site)
            try:
                backrest.begin()
            except RuntimeError as exc:
                why_not = str(exc)
            else:
                return backrest
        self.notes.append(f"PostgreSQL {self._site.major}: without pgBackRest: {why_not}")
        return None

"""Everything that is measured on one server: ours and theirs in turn, round after round, on the same data.

The first round has every way. Further ones have what the ratios are made of, and the rest where there is time for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from benchmarks.speed import data
from benchmarks.speed.backrest import PgBackRest
from benchmarks.speed.budget import Share
from benchmarks.speed.measure import Cost
from benchmarks.speed.opponents import (
    COPY_IN,
    COPY_OUT,
    DUMP,
    DUMP_FOLDER,
    DUMP_ZSTD,
    PGCOPYDB,
    RESTORE_FOLDER,
    RESTORE_STREAMED,
    RESTORED,
    S3_GET,
    S3_PUT,
    Opponents,
)
from benchmarks.speed.ours import Ours
from benchmarks.speed.record import Record
from benchmarks.speed.site import ADDRESSES, BENCH, Named, Site
from benchmarks.speed.sizes import Size
from shared.errors import SnapfleetError

FEW = 2
"""Hands of ours where only one number is measured: as many as pg_dump's and pg_restore's jobs."""

OURS = "snapfleet"
CHANGED_ROWS = "the changed rows alone: COPY, zstd -1"
BACKREST, BACKREST_NEXT = "pgBackRest full, local", "pgBackRest incremental, local"
BACKREST_RESTORE = "pgBackRest, local"


def hands(count: int) -> str:
    return f"{OURS}, {count} hand{'s' if count > 1 else ''}"


def place(round_: int, count: int) -> tuple[str, str]:
    """Name and address under which the fleet knows the database in this round: under a new name nothing is known."""
    return f"h{count}-r{round_}", ADDRESSES[8 * round_ + count]


class Works:
    """The figures of one server."""

    def __init__(self, site: Site, size: Size, record: Record, *, rows: int) -> None:
        self._site, self._size, self._record, self._rows = site, size, record, rows
        self._opponents = Opponents(site)
        self._quickest = DUMP_ZSTD
        self._backrest: PgBackRest | None = None

    def fill(self) -> int:
        """Write the data; how many bytes the database has then."""
        data.fill(self._site.url(), rows=self._rows, small_tables=self._size.small_tables)
        self._site.checkpoint()
        return data.size_bytes(self._site.url())

    def measure(self, share: Share) -> None:
        """All rounds that fit, the first one whatever it takes."""
        self._opponents.keep_parts()
        self._backrest = self._begun_backrest()
        self._record.note(
            f"PostgreSQL {self._site.major}: pg_dump -Fd was told {self._opponents.compression}."
        )
        numbers = range(1, self._size.rounds + 1)
        places = [(place(r, h), h) for r in numbers for h in self._size.hands]
        named = [Named(name=n, url=self._site.url(address=a), parallelism=h) for (n, a), h in places]
        with self._site.fleet(named, workers=max(self._size.hands)) as (fleet, children):
            ours = Ours(fleet=fleet, children=children)
            took = self._round(ours, 1, whole=True)
            self._others(ours)
            needed = took - self._beside_the_ratios()
            for number in numbers[1:]:
                whole = share.fits(took * (self._size.rounds - number + 1))
                if not whole and not share.fits(needed):
                    self._record.note(
                        f"PostgreSQL {self._site.major}: {number - 1} of {self._size.rounds} rounds, for want of time."
                    )
                    break
                self._round(ours, number, whole=whole)

    def _round(self, ours: Ours, number: int, *, whole: bool) -> float:
        """How many seconds it took, preparations included."""
        began = time.monotonic()
        self._full(ours, number, whole=whole)
        self._next(ours, number, whole=whole)
        self._restore(ours, number, whole=whole)
        return time.monotonic() - began

    def _full(self, ours: Ours, number: int, *, whole: bool) -> None:
        for count in self._size.hands if whole else (FEW,):
            took = self._note("full", hands(count), number, partial(ours.snapshot, place(number, count)[0]))
        stored = took.bytes
        for way in (DUMP, DUMP_ZSTD, DUMP_FOLDER):
            if whole or way in {DUMP, self._quickest}:
                self._note("full", way, number, partial(self._opponents.dump, way))
        self._quickest = self._quickest_of(DUMP_ZSTD, DUMP_FOLDER)
        self._note("limit", COPY_OUT, number, partial(self._opponents.limit, COPY_OUT))
        if whole:
            self._by_backrest("full", BACKREST, number, lambda backrest: backrest.backup("full"))
            for what in (S3_PUT, S3_GET):
                self._note("limit", what, number, partial(self._opponents.limit, what, size=stored))

    def _next(self, ours: Ours, number: int, *, whole: bool) -> None:
        url, name = self._site.url(), place(number, FEW)[0]
        for what in self._size.changes:
            data.change(url, what, rows=self._rows, number=number)
            self._site.checkpoint()
            self._note(what, hands(FEW), number, partial(ours.snapshot, name))
            if number == 1:
                self._record.note(f"PostgreSQL {self._site.major}, {what}: {ours.how_read(name)}.")
                changed = partial(data.changed_rows, url, what, rows=self._rows, number=number)
                if what in data.CHANGED:
                    self._note(what, CHANGED_ROWS, number, changed)
                # They read and store everything, whatever has changed: once says it.
                ways = self._size.rivals_next if what == self._size.changes[-1] else ()
                for way in ways:
                    self._note(what, way, number, partial(self._opponents.dump, way))
            if whole:
                self._by_backrest(what, BACKREST_NEXT, number, lambda backrest: backrest.backup("incr"))

    def _restore(self, ours: Ours, number: int, *, whole: bool) -> None:
        name, _ = place(number, FEW)
        self._note("restore", hands(FEW), number, partial(ours.restore, name, to=RESTORED))
        for way in (RESTORE_FOLDER, RESTORE_STREAMED) if whole else (RESTORE_FOLDER,):
            self._note("restore", way, number, partial(self._opponents.restore, way))
        if whole:
            self._note("limit", COPY_IN, number, partial(self._opponents.limit, COPY_IN))
            self._by_backrest("restore", BACKREST_RESTORE, number, PgBackRest.restore)
        self._site.drop(RESTORED)
        self._site.checkpoint()

    def _others(self, ours: Ours) -> None:
        """What is quick to tell: once each, on the newest snapshot."""
        name, _ = place(1, FEW)
        table = f"small_{self._size.small_tables // 2 + 1:06}"
        self._note("verify", hands(FEW), 1, lambda: ours.verify(name))
        self._note("one table", hands(FEW), 1, lambda: ours.one_table(name, table, to="brought_back"))
        self._note("one table", RESTORE_FOLDER, 1, lambda: self._opponents.one_table(table))
        self._clone()
        self._site.drop(RESTORED)
        ours.rest()
        self._site.drop_all_but(BENCH)

    def _clone(self) -> None:
        if (why_not := Opponents.why_no_clone(self._site.major)) is None:
            try:
                self._note("clone", PGCOPYDB, 1, self._opponents.clone)
            except RuntimeError as exc:
                why_not = " ".join(str(exc).split())
        if why_not is not None:
            self._record.note(f"PostgreSQL {self._site.major}: without pgcopydb: {why_not}")

    def _note(self, work: str, way: str, number: int, act: Callable[[], Cost]) -> Cost:
        return self._record.measure(self._site.major, work, way, number, act).cost

    def _quickest_of(self, *ways: str) -> str:
        found = [f for f in self._record.figures if f.major == self._site.major and f.way in ways]
        return min((f for f in found if f.work == "full"), key=lambda f: f.cost.seconds).way

    def _beside_the_ratios(self) -> float:
        """Seconds of the first round that a short one does without."""
        needed = {hands(FEW), DUMP, self._quickest, COPY_OUT, RESTORE_FOLDER}
        first = [f for f in self._record.figures if (f.major, f.round) == (self._site.major, 1)]
        rounds = {"full", "limit", "restore", *self._size.changes}
        beside = [f for f in first if f.work in rounds and f.way not in needed]
        again = [f for f in first if f.work in self._size.changes and f.way in {DUMP, self._quickest}]
        return sum(figure.cost.seconds for figure in (*beside, *again))

    def _by_backrest(self, work: str, way: str, number: int, act: Callable[[PgBackRest], Cost]) -> None:
        """Where it fails it is left out from then on: it is not what is measured here."""
        if self._backrest is None:
            return
        try:
            self._note(work, way, number, partial(act, self._backrest))
        except (RuntimeError, SnapfleetError) as exc:
            self._without_backrest(str(exc))

    def _begun_backrest(self) -> PgBackRest | None:
        if (why_not := PgBackRest.why_not(self._site.major)) is None:
            backrest = PgBackRest(self._site)
            try:
                backrest.begin()
            except RuntimeError as exc:
                why_not = str(exc)
            else:
                return backrest
        self._without_backrest(why_not)
        return None

    def _without_backrest(self, why_not: str) -> None:
        self._backrest = None
        self._record.note(f"PostgreSQL {self._site.major}: without pgBackRest: {' '.join(why_not.split())}")

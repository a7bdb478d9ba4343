"""A server of its own with the tables on it, a fleet in this process, and what is compared after each snapshot.

statements ─► snapshot: awaits who runs ─► exports ─► shares out ─► copies, seals ─► compared
                        └ some end         └ some go on  └ the truth enters ──────────┘
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass, replace
from datetime import timedelta
from pathlib import Path
from random import Random

import psycopg

from embedded.postgres import Postgres
from shared import failpoints
from shared.domain.increments import Origin
from shared.domain.job import JobState
from shared.domain.manifest import Manifest, Part
from shared.domain.proof import Digests
from shared.postgres.dsn import Dsn
from tests.conftest import FAST
from tests.incremental import tables, truth
from tests.incremental.rights import allow_summaries
from tests.incremental.statements import DEFINITIONS, ROWS, UPKEEP, Statement, update_apart
from tests.incremental.storage import ForgetfulStorage
from tests.incremental.talks import Talk, Talks
from tests.integration.inline_fleet import MIB, NAME, InlineFleet

SERVER = FAST | {"max_prepared_transactions": "20", "autovacuum": "off", "summarize_wal": "on"}
READER = "reader"
LOOK_SECONDS = 0.002
MOST_OPEN = 5


@dataclass(slots=True)
class Figures:
    """`bases` are snapshots that later ones could build on, `ranges` those of all of them."""

    steps: int = 0
    snapshots: int = 0
    bases: int = 0
    ranges: int = 0
    reused: int = 0
    wrong: int = 0

    def __add__(self, other: Figures) -> Figures:
        return Figures(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def __str__(self) -> str:
        return f"{self.steps} steps, {self.reused} ranges reused, {self.wrong} ranges wrong"


class World:
    """`faults` says in words what was found wrong.

    So many steps, at least and at most, lie `between` two snapshots. With `wholly` the parts that a snapshot has
    read are read once more too, and not only those that it has not.
    """

    def __init__(
        self,
        server: Postgres,
        folder: Path,
        *,
        between: tuple[int, int],
        wholly: bool,
        log: Callable[[str], None],
    ) -> None:
        self.server = server
        self.figures = Figures()
        self.faults: list[str] = []
        self._between, self._wholly = between, wholly
        self._log = log
        self._names = 0
        self._until_snapshot = 1
        self._points = folder
        with psycopg.connect(server.dsn(), autocommit=True) as admin:
            admin.execute(f"create role {READER} login password 'secret' in role pg_read_all_data")
            admin.execute("create database src")
            admin.execute("create database ours")
        self.talks = Talks(server.dsn("src"))
        allow_summaries(self.talks.main, READER)
        for statement in (*tables.MAKE, *map(tables.fill, tables.TABLES)):
            self.talks.main.execute(statement.encode())
        url = server.dsn("src", user=READER, password="secret")
        self.inline = InlineFleet(
            url,
            catalog_url=server.dsn("ours"),
            storage=ForgetfulStorage(),
            part_bytes=MIB // 2,
            parallelism=1,
            digests=Digests.NONE,
            base_wait=timedelta(milliseconds=300),
            verify_incremental=0,
        )

    def close(self) -> None:
        self.talks.close()
        self.inline.close()

    def step(self, step: Step, dice: Random) -> None:
        step(self, dice)
        self.figures.steps += 1
        self._until_snapshot -= 1
        if self._until_snapshot <= 0:
            self._until_snapshot = dice.randint(*self._between)
            self.snapshot(dice)

    # What may happen

    def change(self, dice: Random, *, among: Mapping[str, Statement] = ROWS) -> None:
        kind = dice.choice([*among])
        self.talks.say(kind, among[kind](dice))

    def begin(self, dice: Random) -> None:
        if len(self.talks.open) >= MOST_OPEN:
            self.end(dice)
        self.talks.begin(dice)
        self.go_on(dice)

    def go_on(self, dice: Random) -> None:
        """A statement in a long transaction; now and then one that shuts out whoever wants to read."""
        if not self.talks.open:
            return
        talk = dice.choice(self.talks.open)
        if dice.random() < 1 / 30:
            kind = dice.choice(("truncate", "column anew", "rename label", "swap"))
            talk.is_heavy = True
            self.talks.go_on(talk, kind, DEFINITIONS[kind](dice))
        elif dice.random() < 1 / 2:
            self.talks.go_on(talk, "update apart", update_apart(dice))
        else:
            kind = dice.choice([*ROWS])
            self.talks.go_on(talk, kind, ROWS[kind](dice))

    def save(self, dice: Random) -> None:
        if self.talks.open:
            talk = dice.choice(self.talks.open)
            self.talks.save(talk) if dice.random() < 1 / 2 else self.talks.saved(talk, dice)

    def end(self, dice: Random) -> None:
        if self.talks.open:
            self.talks.end(dice.choice(self.talks.open), how(dice))

    def prepare(self, dice: Random) -> None:
        light = [talk for talk in self.talks.open if not talk.is_heavy]
        if light:
            self._names += 1
            self.talks.prepare(dice.choice(light), f"prepared_{self._names}")

    def end_prepared(self, dice: Random) -> None:
        if self.talks.prepared:
            self.talks.end_prepared(dice.choice(self.talks.prepared), how(dice))

    def upkeep(self, dice: Random) -> None:
        self.change(dice, among=UPKEEP)

    def define(self, dice: Random) -> None:
        self.change(dice, among=DEFINITIONS)

    def forget_summaries(self, dice: Random) -> None:
        """Somebody has tidied up: all of them, or one that others are before and behind."""
        found = sorted((self.server.data / "pg_wal" / "summaries").glob("*.summary"))
        for file in found if dice.random() < 1 / 2 else [dice.choice(found)] if found else []:
            file.unlink(missing_ok=True)
        self.talks.done["summaries removed"] += 1

    # What must be true

    def snapshot(self, dice: Random) -> None:
        for talk in [talk for talk in self.talks.open if talk.is_heavy]:
            self.talks.end(talk, how(dice))
        self._refill(dice)
        chances = dice.choice((1.0, 1.0, 1.0, 0.8, 0.0))
        early = [talk for talk in self.talks.open if dice.random() < chances]
        prepared = [name for name in self.talks.prepared if dice.random() < chances]
        if dice.random() < 1 / 20:
            self._digest(dice.choice(list(Digests)))
        with self._around(dice, early, prepared) as entered:
            job = self.inline.snapshot()
            assert job.state is JobState.SUCCEEDED, job.error
            [true] = entered
            assert true.exported == self.inline.step_data(job, "copy")["snapshot"], "it was taken twice"
            self._compare(self.inline.manifest(job), true)
        if dice.random() < 1 / 2:
            self._spring(dice)

    def _spring(self, dice: Random) -> None:
        """Who was there before the snapshot ends after it, and the next one comes before anything hides that."""
        for talk in list(self.talks.open):
            self.talks.end(talk, "commit")
        for name in list(self.talks.prepared):
            self.talks.end_prepared(name, "commit")
        self._until_snapshot = dice.randint(1, 5)

    def _digest(self, choice: Digests) -> None:
        """From now on a part comes with a digest, or without one."""
        databases = {NAME: replace(self.inline.fleet.database(NAME), digests=choice)}
        self.inline.configure(databases=databases)

    def _refill(self, dice: Random) -> None:
        """A table that has become so small that it would not be split is another test's matter; now and then ours."""
        for table in tables.TABLES:
            size = f"select pg_table_size('{table}') < {tables.ENOUGH_BYTES}"
            [(is_small,)] = self.talks.main.execute(size.encode()).fetchall()
            if is_small and dice.random() < 0.9:
                self.talks.say("refill", (tables.fill(table),))

    def _compare(self, manifest: Manifest, true: truth.Truth) -> None:
        figures = self.figures
        figures.snapshots += 1
        figures.ranges += len(manifest.parts)
        unread = [part for part in manifest.parts if part.origin is Origin.UNREAD]
        told = manifest.increment
        assert told is not None
        figures.reused += len(unread)
        figures.bases += told.base is not None
        wrong = true.wrong(manifest.parts if self._wholly else unread)
        figures.wrong += len(wrong)
        self.faults += [f"{manifest.id} is not what is read: {at(part)}" for part in wrong]
        self.faults += [f"{manifest.id} lacks something of {table}" for table in true.missing(manifest)]
        self._log(
            f"{figures}; {len(unread)} of {len(manifest.parts)}: {told.reason or ''}; {told.not_base or ''}"
        )

    @contextmanager
    def _around(self, dice: Random, early: list[Talk], prepared: list[str]) -> Generator[list[truth.Truth]]:
        """While a snapshot is taken: what others do meanwhile, and the truth of its moment."""
        entered: list[truth.Truth] = []
        with ExitStack() as stack:

            def end_early() -> None:
                for talk in early:
                    for _ in range(dice.randint(0, 2)):
                        self.change(dice)
                    self.talks.end(talk, how(dice))
                for name in prepared:
                    self.talks.end_prepared(name, how(dice))

            def go_on() -> None:
                for _ in range(dice.randint(0, 3)):
                    dice.choice((self.change, self.end))(dice)

            def enter() -> None:
                [job] = self.inline.unfinished()
                exported = str(self.inline.step_data(job, "copy")["snapshot"])
                entered.append(stack.enter_context(truth.held(Dsn.parse(self.server.dsn("src")), exported)))

            acts = (
                Act(when=self._is_connected, do=end_early),
                Act(when=self._is_held("copy.exported"), do=self._letting_go("copy.exported", go_on)),
                Act(when=self._is_held("copy.shared_out"), do=self._letting_go("copy.shared_out", enter)),
            )
            failpoints.arm(self._points)
            try:
                with beside(acts):
                    yield entered
            finally:
                failpoints.disarm()

    def _is_connected(self) -> bool:
        query = "select from pg_stat_activity where datname = 'src' and application_name like 'snapfleet:%'"
        return self.talks.main.execute(query.encode()).fetchone() is not None

    def _is_held(self, point: str) -> Callable[[], bool]:
        """From now on the work is held there when it comes to it."""
        (self._points / point).write_text("hold")
        return (self._points / f"{point}{failpoints.STRUCK}").exists

    def _letting_go(self, point: str, act: Callable[[], None]) -> Callable[[], None]:
        def do() -> None:
            try:
                act()
            finally:
                (self._points / f"{point}{failpoints.STRUCK}").unlink()

        return do


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    when: Callable[[], bool]
    do: Callable[[], None]


@contextmanager
def beside(acts: Sequence[Act]) -> Generator[None]:
    """One after another, in a thread, as soon as it is time for each."""
    over = threading.Event()
    failed: list[Exception] = []

    def watch() -> None:
        for act in acts:
            while not act.when():
                if over.wait(LOOK_SECONDS):
                    return
            try:
                act.do()
            except Exception as exc:  # noqa: BLE001 - raised where the snapshot was asked for
                failed.append(exc)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
        if failed:
            raise failed[0]


def how(dice: Random) -> str:
    return "commit" if dice.random() < 2 / 3 else "rollback"


def at(part: Part) -> str:
    return f"{part.spec.table} from page {part.spec.first_page} to {part.spec.end_page}"


Step = Callable[[World, Random], None]

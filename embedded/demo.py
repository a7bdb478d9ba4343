"""`snapfleet demo`: a real database on a real fleet is snapshotted, badly damaged, and brought back.

Everything lives in `<folder>/demo`, which begins empty each time: what `snapfleet up` keeps beside it is
not touched, and of the caller's own databases, buckets and settings nothing is even looked at.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.filesize import decimal
from rich.text import Text

from embedded import journal
from embedded.process import clean_environment
from embedded.screen import Screen
from embedded.stack import Stack
from embedded.story import Done, Story
from shared import logs
from shared.domain.proof import VerifyPolicy
from shared.domain.wording import counted
from shared.errors import SnapfleetError
from shared.operations.composition import compose
from shared.operations.fleet import Fleet
from shared.settings import Settings
from shared.signals import handled

DONE, INTERRUPTED = 0, 130

_JOURNAL = "journal"
_CONFIGURATION = f"""\
[[databases]]
name = "{_JOURNAL}"
url_env = "DATABASE_URL"
every = "365d"
parallelism = 2
"""
_SHOWN_OF_ID = 8
# A worker that is stopped in the middle of something has nothing here that is worth waiting for.
_PATIENCE = timedelta(seconds=1)


def run_demo(folder: Path, *, console: Console | None = None, thoughts: int = journal.THOUGHTS) -> int:
    """Run it; 0 when the database is afterwards what it was before, 130 on Ctrl-C.

    No process outlives it. Raises SnapfleetError when something fails, or differs in the end.
    """
    screen = Screen(console or Console(highlight=False))
    home = folder / "demo"
    # What fails is raised; what is tried again by itself is no news here.
    logs.configure(level="critical", style="console")
    screen.say(f"Snapfleet demo in {home}", style="bold")
    screen.say()
    try:
        with _terminated_like_interrupted(), ExitStack() as exits:
            with screen.phase("Servers") as phase:
                stack = exits.enter_context(
                    Stack(home, environ=_environment(home), fresh=True, patience=_PATIENCE)
                )
                phase.outcome = ", ".join(server.name for server in stack.servers)
            return _run(stack, screen, home, thoughts)
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted; every process is stopped\n")
        return INTERRUPTED


def _run(stack: Stack, screen: Screen, home: Path, thoughts: int) -> int:
    fleet = _fleet(stack)
    try:
        return _tell(Story(stack, fleet, screen), screen, home, thoughts)
    finally:
        fleet.catalog.close()


def _tell(story: Story, screen: Screen, home: Path, thoughts: int) -> int:
    story.start_fleet()
    story.write_journal(thoughts)
    before = story.take_fingerprint()
    first = story.take_snapshot("Snapshot", _JOURNAL, verify=VerifyPolicy.ALWAYS)
    proof = story.see_proven(first)
    # The restore below proves this one.
    second = story.take_snapshot("Second snapshot", _JOURNAL, verify=VerifyPolicy.NEVER)
    story.do_damage()
    damaged = story.take_fingerprint()
    restored = story.restore_newest(_JOURNAL)
    after = story.take_fingerprint()
    lost, missing = before.differences(damaged), before.differences(after)
    screen.table(
        ("", "seconds", "read", "stored", "objects", "fingerprint"),
        [
            ("before", "", "", "", "", Text(str(before), style="green")),
            _figures("snapshot", first),
            ("proven", f"{proof.seconds:.1f}", decimal(first.figure("raw_bytes")), "", "", ""),
            _figures("second snapshot", second),
            ("damaged", "", "", "", "", Text(str(damaged), style="red")),
            (
                *("restored", f"{restored.seconds:.1f}", decimal(second.figure("raw_bytes")), "", ""),
                Text(str(after), style="red" if missing else "green"),
            ),
        ],
    )
    if not lost:
        raise SnapfleetError("the damage left no trace in the fingerprint", code="fingerprints_equal")
    if missing:
        raise SnapfleetError(
            f"what came back differs in {', '.join(missing)}",
            code="fingerprints_differ",
            hint=f"the database is still there: snapfleet up --folder {home}",
        )
    screen.say(
        f"All {after.rows:,} rows and every definition are back; {counted(len(lost), 'thing')} had changed.",
        style="green",
    )
    screen.say()
    screen.say("The damaged database is parked for a day. To take the restore back:")
    screen.say(f"  snapfleet up --folder {home}    then, as it says in another terminal:")
    screen.say(f"  snapfleet undo {restored.job.id[:_SHOWN_OF_ID]} --wait")
    return DONE


def _figures(name: str, done: Done) -> tuple[str, ...]:
    sizes = (decimal(done.figure(size)) for size in ("raw_bytes", "new_bytes"))
    return (name, f"{done.seconds:.1f}", *sizes, str(done.figure("objects")), "")


def _environment(home: Path) -> dict[str, str]:
    """Nothing of the caller's that could lead to his own servers."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    configuration = home.resolve() / "snapfleet.toml"
    configuration.write_text(_CONFIGURATION)
    mine = os.environ.items()  # noqa: TID251 -- embedded/ reads the environment
    python = {name: value for name, value in mine if name.startswith("PYTHON")}
    return clean_environment(home.resolve(), SNAPFLEET_CONFIG=str(configuration), **python)


def _fleet(stack: Stack) -> Fleet:
    settings = Settings.load(stack.environment, stack.folder)
    with _seen_by_the_s3_client(stack.environment):
        return compose(**settings.values())


@contextmanager
def _seen_by_the_s3_client(environment: Mapping[str, str]) -> Generator[None]:
    """The S3 client takes endpoint and keys from the process's environment at the moment it is made."""
    process = os.environ  # noqa: TID251 -- embedded/ reads the environment
    own = dict(process)
    try:
        process.clear()
        process.update(environment)
        yield
    finally:
        process.clear()
        process.update(own)


@contextmanager
def _terminated_like_interrupted() -> Generator[None]:
    """SIGTERM ends it in the same good order as Ctrl-C."""

    def hear(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with handled({signal.SIGTERM: hear}):
        yield

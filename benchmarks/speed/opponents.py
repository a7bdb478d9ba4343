"""The other ways and the limits on one server: what each is told, and what has to be there before it begins."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from benchmarks.speed import limits, rivals
from benchmarks.speed.limits import Limit
from benchmarks.speed.measure import Cost
from benchmarks.speed.rivals import Asked
from benchmarks.speed.site import BENCH, OWNER, Site

RESTORED = "restored"
DUMP, DUMP_ZSTD, DUMP_FOLDER = "pg_dump -Fc", "pg_dump -Fc -Z0 | zstd -1 -T0", "pg_dump -Fd -j2"
RESTORE_FOLDER, RESTORE_STREAMED = "pg_restore -j2, local files", "pg_restore, from S3"
COPY_OUT, COPY_IN, S3_PUT, S3_GET = "COPY out, to nowhere", "COPY in, nothing else", "S3 put", "S3 get"
PGCOPYDB = "pgcopydb clone, 2 jobs"
NEWEST_MAJOR = 15
"""Of the tools that Debian 12 has."""


class Opponents:
    """What they keep for their restores is kept in the site's folder, and in its bucket below `rivals/`."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._dump_folder = site.folder / "dump"
        self._clone_folder = site.folder / "pgcopydb"
        self._parts = site.folder / "parts"
        self._parts.mkdir(exist_ok=True)
        self._compression = rivals.compressions(site.bin_dir)

    @property
    def compression(self) -> str:
        """What pg_dump -Fd was told."""
        return " ".join(self._compression)

    def dump(self, way: str) -> Cost:
        if way == DUMP_FOLDER:
            shutil.rmtree(self._dump_folder, ignore_errors=True)
        return self._rival(way, key=way, options=self._compression if way == DUMP_FOLDER else ())

    def restore(self, way: str) -> Cost:
        """Into a database that is empty."""
        self.make_empty()
        return self._rival(way, key=DUMP, database=RESTORED)

    def one_table(self, table: str) -> Cost:
        """Its rows only, into a table that is there."""
        self.make_empty(with_tables=True)
        wanted = (f"--table={table}", "--data-only")
        return self._rival(RESTORE_FOLDER, database=RESTORED, options=wanted)

    @staticmethod
    def why_no_clone(major: int) -> str | None:
        """Why pgcopydb is not measured here; None where it is."""
        if shutil.which("pgcopydb") is None:
            return "pgcopydb is not installed"
        return None if major <= NEWEST_MAJOR else f"Debian 12's pgcopydb is older than PostgreSQL {major}"

    def clone(self) -> Cost:
        self.make_empty()
        shutil.rmtree(self._clone_folder, ignore_errors=True)
        at = f"postgresql://{OWNER}@127.0.0.1:{self._site.postgres.port}"
        urls = ("--source", f"{at}/{BENCH}", "--target", f"{at}/{RESTORED}")
        return self._rival(PGCOPYDB, options=(*urls, "--dir", str(self._clone_folder)))

    def keep_parts(self) -> None:
        self.limit("keep parts")

    def limit(self, what: str, *, size: int = 0) -> Cost:
        """`size`: how many bytes, where it is S3's."""
        into = BENCH
        if what == COPY_IN:
            self.make_empty(with_tables=True)
            into = RESTORED
        limit = Limit(
            what=what,
            dsn=self._site.url(into),
            folder=str(self._parts),
            bucket=self._site.seaweed.bucket,
            bytes=size,
            cores=os.cpu_count() or 1,
        )
        return limits.run(limit, environment=self._environment())

    def make_empty(self, *, with_tables: bool = False) -> None:
        """A new empty database to restore into; with its tables in it, but no index and no key, if wanted."""
        self._site.drop(RESTORED)
        self._site.create(RESTORED)
        if with_tables:
            where = ["-h", "127.0.0.1", "-p", str(self._site.postgres.port), "-U", OWNER, "-d", RESTORED]
            argv = ["pg_restore", "--section=pre-data", *where, str(self._dump_folder)]
            subprocess.run(argv, env=self._environment(), check=True)

    def _rival(self, way: str, *, key: str = "", database: str = BENCH, options: Sequence[str] = ()) -> Cost:
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
        return rivals.run(asked, environment=self._environment())

    def _environment(self) -> dict[str, str]:
        return self._site.seaweed.environment | {
            "PATH": f"{self._site.bin_dir}:{os.defpath}",
            "HOME": str(self._site.folder),
            "TMPDIR": str(self._site.folder),
            "PGPASSWORD": self._site.postgres.secret(OWNER),
        }

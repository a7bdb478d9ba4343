"""pgBackRest, where it is installed and knows the server: a physical backup of the whole cluster.

It speaks S3 over TLS only, so its repository is a local folder here, which is quicker than anything over HTTP.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from benchmarks.speed.measure import Cost, own
from benchmarks.speed.site import Site
from embedded.postgres import Postgres

STANZA = "bench"
NEWEST_MAJOR = 15
"""Of the release that Debian 12 has."""


class PgBackRest:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._folder = site.folder / "pgbackrest"
        self._folder.mkdir()
        self._config = self._folder / "pgbackrest.conf"
        self._config.write_text(
            f"[global]\nrepo1-path={self._folder}/repo\nlog-path={self._folder}\nlock-path={self._folder}/lock\n"
            f"log-level-console=error\nlog-level-file=off\nstart-fast=y\nprocess-max=2\ncompress-type=zst\n"
            f"compress-level=1\nspool-path={self._folder}/spool\n[{STANZA}]\npg1-path={site.postgres.data}\n"
            f"pg1-socket-path={site.folder}\npg1-port={site.postgres.port}\npg1-user=postgres\n"
        )

    @staticmethod
    def why_not(major: int) -> str | None:
        """Why it cannot be measured here; None where it can."""
        if shutil.which("pgbackrest") is None:
            return "pgBackRest is not installed"
        return None if major <= NEWEST_MAJOR else f"Debian 12's pgBackRest does not know PostgreSQL {major}"

    def begin(self) -> None:
        """From here on the server hands it its WAL, as its backups need."""
        command = f"pgbackrest --config={self._config} --stanza={STANZA} archive-push %p"
        self._archive(command)
        self._run(["stanza-create"])

    def end(self) -> None:
        self._archive("/bin/true")

    def backup(self, kind: str) -> Cost:
        before = self._size()

        def act() -> int:
            self._run([f"--type={kind}", "backup"])
            return self._size() - before

        return own(act)

    def restore(self) -> Cost:
        """Until a server on the restored files answers."""
        target = self._folder / "restored"
        shutil.rmtree(target, ignore_errors=True)
        server = Postgres(target, bin_dir=self._site.bin_dir)
        target.mkdir()

        def act() -> int:
            self._run([f"--pg1-path={server.data}", "--archive-mode=off", "restore"])
            server.start()
            return 0

        try:
            return own(act)
        finally:
            with suppress(RuntimeError):
                server.stop()

    def _archive(self, command: str) -> None:
        with self._site.admin() as admin:
            admin.execute(f"alter system set archive_command = '{command}'".encode())
            admin.execute("select pg_reload_conf()")

    def _size(self) -> int:
        return sum(file.stat().st_size for file in (self._folder / "repo").rglob("*") if file.is_file())

    def _run(self, words: Sequence[str]) -> None:
        environment = {
            "PATH": os.defpath,
            "PGPASSWORD": self._site.postgres.password,
            "HOME": str(self._folder),
        }
        argv = ["pgbackrest", f"--config={self._config}", f"--stanza={STANZA}", *words]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"pgbackrest {words[-1]}: {(done.stdout + done.stderr).strip()[-400:]}")

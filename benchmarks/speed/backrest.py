"""pgBackRest, where it is installed and knows the server: a physical backup of the whole cluster.

It speaks S3 over TLS only, so its repository is a local folder here, which is quicker than anything over HTTP.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from benchmarks.speed.measure import Cost, without_peak
from benchmarks.speed.opponents import NEWEST_MAJOR
from benchmarks.speed.site import TUNED, Site
from embedded.postgres import Postgres

STANZA = "bench"


class PgBackRest:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._folder = site.folder / "pgbackrest"
        self._folder.mkdir()
        self._config = self._folder / "pgbackrest.conf"
        self._config.write_text(
            f"[global]\nrepo1-path={self._folder}/repo\nlog-path={self._folder}\nlock-path={self._folder}/lock\n"
            f"log-level-console=error\nlog-level-file=off\nstart-fast=y\nprocess-max=2\ncompress-type=zst\n"
            f"compress-level=1\nrepo1-retention-full=9999999\nspool-path={self._folder}/spool\n"
            f"[{STANZA}]\npg1-path={site.postgres.data}\n"
            f"pg1-socket-path={site.folder}\npg1-port={site.postgres.port}\npg1-user=postgres\n"
        )

    @staticmethod
    def why_not(major: int) -> str | None:
        """Why it cannot be measured here; None where it can."""
        if shutil.which("pgbackrest") is None:
            return "pgBackRest is not installed"
        return None if major <= NEWEST_MAJOR else f"Debian 12's pgBackRest does not know PostgreSQL {major}"

    def begin(self) -> None:
        self._run(["stanza-create"])

    def backup(self, kind: str) -> Cost:
        """Only while it runs does the server hand its WAL over: others shall not pay for that."""
        before = self._size()

        def act() -> int:
            self._run([f"--type={kind}", "backup"])
            return self._size() - before

        self._site.archive_with(f"pgbackrest --config={self._config} --stanza={STANZA} archive-push %p")
        try:
            return without_peak(act)
        finally:
            self._site.archive_with("/bin/true")

    def restore(self) -> Cost:
        """Until a server on the restored files answers."""
        target = self._folder / "restored"
        shutil.rmtree(target, ignore_errors=True)
        settings = {**TUNED, "archive_mode": "off"}
        server = Postgres(target, bin_dir=self._site.bin_dir, settings=settings)
        target.mkdir()
        server.data.mkdir(mode=0o700)

        def act() -> int:
            options = [f"--pg1-path={server.data}", "--archive-mode=off", "--type=immediate"]
            self._run([*options, "--target-action=promote", "restore"])
            server.start()
            return 0

        try:
            return without_peak(act)
        finally:
            with suppress(RuntimeError):
                server.stop()

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

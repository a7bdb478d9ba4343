"""A snapshot's archive as a file for pg_restore, every chunk checked before a byte of it is used."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO

from shared.domain.manifest import Manifest
from shared.errors import Transient
from shared.operations.jobs.saga import StepRun


@contextmanager
def spooled(run: StepRun, manifest: Manifest) -> Generator[IO[bytes]]:
    """The archive in a file without a name: the kernel removes it with its last user, killed or not."""
    with tempfile.TemporaryFile(prefix="snapfleet-") as file:
        for chunk in manifest.archive:
            run.check()
            pieces = run.fleet.repository.read_chunk(manifest.database, chunk)
            try:
                file.writelines(pieces)
            except OSError as exc:
                raise Transient(
                    "no room for the snapshot's archive in the temporary folder",
                    code="disk_full",
                    hint="free space there, or set TMPDIR for the workers",
                ) from exc
            run.report(archive_bytes=file.tell())
        file.flush()
        yield file

"""On what, with what and from what a run has its figures, and what keeps them from saying more."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.fleet import facts as machine
from benchmarks.speed import data
from benchmarks.speed.site import TUNED, bins
from benchmarks.speed.sizes import Size
from embedded import binaries

CAVEATS = (
    "Servers and clients share the same cores and the same disk, so whatever saves processor time counts twice.",
    "Peak memory of theirs is of the process that uploads; tools beside it are not counted.",
    "Every server runs with the same settings: "
    + ", ".join(f"{name} = {value}" for name, value in TUNED.items())
    + "; from 17 on summarize_wal = on, and the owner of the database may read the summaries.",
    "A hand of ours is a worker process of one task at a time; with n hands n of them work on one snapshot.",
    "A snapshot of ours is compared with what storage says of it, and carries digests of a sample of its rows.",
    "A restore of ours has counted every table and compared the digests before it is done; theirs has not.",
    (
        "What pg_dump's ways take for the next snapshot is what they take for a full one: they read and store everything. It was"
        " measured once more after the last change."
    ),
    (
        "pgBackRest speaks S3 over TLS only, which the server here does not: its repository is a local folder. It copies files of"
        " the whole cluster, as do its restores, which are done when a server on them answers."
    ),
    "pgcopydb keeps no copy: it clones one database into another, at once what a dump and a restore are together.",
    "pg_restore proves nothing: against `verify` stands its restore, which compares nothing; against `undo`, another restore.",
    (
        "Two workers against one: each worker, and the backends of the server that serve it, are held to one core by"
        " sched_setaffinity, as if each had a machine of one core. On the same cores, without that, one worker and the server"
        " already keep two cores busy. The S3 server and the catalog use what is left."
    ),
    "Growth: one database without keys and indexes, which gets more rows from step to step; one worker of one hand.",
    "Starting the command line, about a second, is not in ours, nor is starting Python in theirs.",
)


def facts(name: str, size: Size, *, minutes: float) -> dict[str, Any]:
    return {
        "size": name,
        "minutes allowed": minutes,
        "machine": machine(),
        "system": platform.platform(),
        "load before": round(os.getloadavg()[0], 1),
        "database MB": {},
        "rows": {},
        "rounds": size.rounds,
        "seed": data.SEED,
        "PostgreSQL": [version([str(path / "postgres"), "--version"]) for path in bins().values()],
        "S3 server": version([str(binaries.weed()), "version"]),
        "zstd": version(["zstd", "--version"]),
        "pgBackRest": version(["pgbackrest", "version"]),
        "pgcopydb": version(["pgcopydb", "version"]),
        "revision": version(["git", "rev-parse", "--short", "HEAD"]),
    }


def load(found: dict[str, Any], after: float) -> str:
    """Whether others were at work: what was there before the first measurement tells, for afterwards it was we."""
    before = found["load before"]
    if before <= 1:
        return f"The machine was quiet: its load was {before} before the first measurement."
    return (
        f"Others were at work on this machine: the load was {before} before the first measurement and {after:.1f}"
        " after the last one. What gains by running side by side gains little there, and single rounds differ by a"
        " factor of two: run it again on a machine of one's own before these figures are quoted."
    )


def version(argv: Sequence[str]) -> str:
    """The first line of what a tool says of itself; "not installed" where there is none."""
    if shutil.which(argv[0]) is None:
        return "not installed"
    said = subprocess.run(list(argv), capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return (said.stdout.strip().splitlines() or ["?"])[0]

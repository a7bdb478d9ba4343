from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg import sql

from embedded.postgres import Postgres
from shared.postgres.dsn import Dsn
from tests.integration.dumping import (
    FILL,
    HOSTILE_TABLE,
    QUOTED_TABLE,
    Maker,
    Stop,
    connect,
    dumped,
    dumping,
    execute,
    exported,
    kept,
    locked,
    restored,
    sessions,
    side,
    tools_for,
    value,
)
from tests.waiting import until

HOSTILE_NAMES = (
    "a b", '"', "'\\", "host=evil port=1", "--file=x", "-d", "postgresql://evil/x", "a\nb", "ü" * 31 + "x",
)  # fmt: skip
HOSTILE_PASSWORDS = (
    "a:b", "a\\b", "\\", ":", "a\\:b\\\\", " led and trailed ", "q'uo\"te", "ünïcödé", "#hash", "*:*:*:*:*",
    "%40$(id)`id`", "x" * 200,
)  # fmt: skip
SAME = (
    "select count(*) || string_agg(t, ',' order by id) from a",
    "select nextval('a_id_seq')",
    "select count(*) from b",
    "select count from v",
    "select count(*) from xAByz",
    "select convert_from(lo_get(oid), 'UTF8') from pg_largeobject_metadata",
    "select string_agg(indexdef, ',' order by indexdef) from pg_indexes where schemaname = 'public'",
    "select string_agg(conname, ',' order by conname) from pg_constraint where connamespace = 2200",
    "select string_agg(relname || relowner, ',' order by relname) from pg_class where relnamespace = 2200",
)


def assert_it_comes_back(server: Postgres, source: Dsn) -> None:
    execute(source, *FILL)
    target = side(source, source.dbname[:20])
    restored(
        tools_for(server), target, dumped(tools_for(server), source, without=[("public", HOSTILE_TABLE)])
    )
    for query in SAME:
        assert value(target, query) == value(source, query), query
    assert value(target, f"select count(*) from {QUOTED_TABLE}") == 0


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_database_of_any_name_comes_back_and_nothing_is_written(
    name: str, postgres: Postgres, database: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_it_comes_back(postgres, Dsn.parse(database(postgres, name=name)))
    assert not list(tmp_path.iterdir())


def test_a_database_comes_back_on_17(postgres17: Postgres, database: Maker) -> None:
    assert_it_comes_back(postgres17, Dsn.parse(database(postgres17, name="host=evil '17")))


def test_a_database_comes_back_on_15(postgres15: Postgres, database: Maker) -> None:
    assert_it_comes_back(postgres15, Dsn.parse(database(postgres15, name="host=evil '15")))


def test_an_empty_database_comes_back(postgres: Postgres, database: Maker) -> None:
    source = Dsn.parse(database(postgres))
    target = side(source)
    restored(tools_for(postgres), target, dumped(tools_for(postgres), source))
    assert value(target, "select count(*) from pg_class where relnamespace = 2200") == 0


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "UTF8"])
def test_a_name_beyond_ascii_is_left_out_in_any_encoding(
    encoding: str, postgres: Postgres, database: Maker
) -> None:
    """Otherwise its rows would come back twice: from the archive, and from the parts."""
    owner = Dsn.parse(database(postgres))
    source, target = (
        owner.for_database(f"{owner.dbname} source"),
        owner.for_database(f"{owner.dbname} target"),
    )
    for one in (source, target):
        execute(
            owner, f"create database \"{one.dbname}\" template template0 encoding '{encoding}' locale 'C'"
        )
    execute(source, 'create table "ärger" as select 1 as n', "create table other as select 'ß'::text as t")
    archive = dumped(tools_for(postgres), source, without=[("public", "ärger")])
    restored(tools_for(postgres), target, archive)
    assert value(target, 'select count(*) from "ärger"') == 0
    assert value(target, "select t from other") == "ß"


def test_the_archive_is_of_the_moment_of_the_snapshot(postgres: Postgres, database: Maker) -> None:
    source = Dsn.parse(database(postgres))
    execute(source, "create table t as select 1 as n")
    with exported(source) as snapshot:
        execute(source, "insert into t values (2)")
        archive = dumped(tools_for(postgres), source, snapshot=snapshot)
    target = side(source)
    restored(tools_for(postgres), target, archive)
    assert value(target, "select count(*) from t") == 1


def test_settings_of_the_role_end_neither_a_dump_nor_a_restore(postgres17: Postgres, database: Maker) -> None:
    source = Dsn.parse(database(postgres17))
    execute(source, *FILL, "create table big as select repeat('x', 1000) from generate_series(1, 30000)")
    target = side(source)
    as_admin = Dsn.parse(postgres17.dsn()).for_database(target.dbname)
    timeouts = (
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "transaction_timeout",
    )
    with exported(source) as snapshot:
        for name in timeouts:
            execute(as_admin, f"alter role {source.user} set {name} = '20ms'")
        execute(as_admin, f"alter role {source.user} set default_transaction_read_only = on")
        assert value(source, "show statement_timeout") == "20ms"
        archive = dumped(tools_for(postgres17), source, snapshot=snapshot)
    restored(tools_for(postgres17), target, archive)
    assert value(as_admin, "select count(*) from big") == 30_000


@pytest.mark.parametrize("password", HOSTILE_PASSWORDS)
def test_any_password_logs_in(password: str, postgres: Postgres, database: Maker) -> None:
    source = replace(Dsn.parse(database(postgres)), password=password)
    with connect(Dsn.parse(postgres.dsn())) as admin:
        admin.execute(
            sql.SQL("alter role {} password {}").format(sql.Identifier(source.user), sql.Literal(password))
        )
    assert dumped(tools_for(postgres), source)


def arguments_of(program: str) -> list[bytes]:
    """Of those that this process has started; other tests have tools of their own."""
    children = Path("/proc/self/task").glob("*/children")
    numbers = [number for child in children for number in child.read_text().split()]
    words = [Path(f"/proc/{number}/cmdline").read_bytes() for number in numbers]
    return [each for each in words if each.split(b"\0")[0].endswith(f"/{program}".encode())]


def test_no_argument_of_a_tool_holds_a_password_a_user_or_a_name(postgres: Postgres, database: Maker) -> None:
    source = replace(Dsn.parse(database(postgres, name="host=evil canary")), password="hunter2")
    execute(Dsn.parse(postgres.dsn()), f"alter role {source.user} password 'hunter2'")
    execute(source, *FILL)
    tools, target = tools_for(postgres), side(source, "canary")
    seen: list[bytes] = []
    lock = ExitStack()

    def look(program: str) -> None:
        found = arguments_of(program)
        seen.extend(found)
        if found:  # it waits for this, so that there is time to look
            lock.close()

    with lock:
        lock.enter_context(locked(source, "a"))
        archive = dumped(tools, source, while_running=lambda: look("pg_dump"))
    restored(tools, target, archive, sections=["pre-data"])
    with lock:
        lock.enter_context(locked(target, "a"))
        restored(tools, target, archive, sections=["data"], while_running=lambda: look("pg_restore"))
    assert {words.split(b"\0")[0].rsplit(b"/")[-1] for words in seen} == {b"pg_dump", b"pg_restore"}
    for words in seen:
        assert not any(secret in words for secret in (b"hunter2", b"canary", source.user.encode()))


def test_a_dump_given_up_leaves_no_backend(postgres: Postgres, database: Maker) -> None:
    source = Dsn.parse(database(postgres))
    execute(source, "create table big as select repeat('x', 1000) from generate_series(1, 30000)")
    admin = Dsn.parse(postgres.dsn())
    with dumping(tools_for(postgres), source, name="given up") as pieces:
        next(pieces)
        assert sessions(admin, "given up") == 1
    until(lambda: sessions(admin, "given up") == 0)


def test_a_stopped_restore_leaves_no_backend(postgres: Postgres, database: Maker) -> None:
    source = Dsn.parse(database(postgres))
    execute(source, *FILL)
    archive, target = dumped(tools_for(postgres), source), side(source)
    admin = Dsn.parse(postgres.dsn())

    def stop() -> None:
        if sessions(admin, "stopped", waiting=True):
            raise Stop

    restored(tools_for(postgres), target, archive, sections=["pre-data"])
    with locked(target, "a"):
        with pytest.raises(Stop):
            restored(
                tools_for(postgres), target, archive, sections=["data"], name="stopped", while_running=stop
            )
        until(lambda: sessions(admin, "stopped") == 0)


OURS = """
import sys
from shared.postgres import dump, tools
from shared.postgres.dsn import Dsn
chosen = tools.choose(tools.find(bin_dir=None), server_major=18, tls_required=False)
dump.restore(chosen, Dsn.parse(sys.stdin.read()), archive_fd=int(sys.argv[1]), section="data", jobs=2,
             application_name="killed")
"""


def test_sigkill_of_ours_leaves_no_backend_that_waits_or_works(postgres: Postgres, database: Maker) -> None:
    """pg_restore's parallel workers end with it, and what their backends are at is cancelled."""
    source = Dsn.parse(url := database(postgres))
    execute(source, *FILL)
    archive, target, admin = dumped(tools_for(postgres), source), side(source), Dsn.parse(postgres.dsn())
    restored(tools_for(postgres), target, archive, sections=["pre-data"])
    with kept(archive) as file, locked(target, "a"):
        argv = [sys.executable, "-c", OURS, str(file.fileno())]
        with subprocess.Popen(
            argv, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, pass_fds=(file.fileno(),)
        ) as us:
            assert us.stdin is not None
            us.stdin.write(url.replace(source.dbname, quote(target.dbname)).encode())
            us.stdin.close()
            until(lambda: sessions(admin, "killed", waiting=True))
            us.kill()
            us.wait()
        until(lambda: sessions(admin, "killed") == 0)

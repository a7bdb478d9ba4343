"""Everything that tells one database's content from another's, as text to compare with `==`."""

from __future__ import annotations

import difflib
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from embedded.postgres import Postgres

PROPERTIES = """
    select pg_get_userbyid(datdba) as owner, pg_encoding_to_char(encoding) as encoding,
           datcollate, datctype, datistemplate, datallowconn, datconnlimit,
           shobj_description(d.oid, 'pg_database') as comment,
           array(select a::text from unnest(datacl) a order by 1) as acl,
           array(select coalesce(rolname, '-') || ' ' || s::text
                   from pg_db_role_setting left join pg_roles r on r.oid = setrole, unnest(setconfig) s
                  where setdatabase = d.oid order by 1) as settings
      from pg_database d where datname = current_database()"""
RELATIONS = """
    select n.nspname, c.relname, c.relkind::text
      from pg_class c join pg_namespace n on n.oid = relnamespace
     where relkind in ('r', 'm', 'S') and relpersistence <> 't'
       and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
       and (relkind <> 'm' or relispopulated)
     order by 1, 2"""
LARGE_OBJECTS = """
    select oid, lomowner::regrole, array(select a::text from unnest(lomacl) a order by 1), md5(lo_get(oid)),
           obj_description(oid, 'pg_largeobject')
      from pg_largeobject_metadata order by 1"""
# Hash partitions on an enum: which of them holds a row is of no matter, and differs by design.
ANYWHERE = """
    select c.oid::regclass::text
      from pg_partitioned_table p join pg_class c on c.oid = partrelid
     where (select o.oid from pg_opclass o join pg_am a on a.oid = opcmethod
             where opcname = 'enum_ops' and amname = 'hash') = any (p.partclass)"""
DIGEST = """
    select count(*), sum(hashtextextended(r::text collate "C", 0)) from only {} r"""


# In the start packet these win over what the role or the database has set.
PLAIN = {
    "statement_timeout": "0",
    "idle_session_timeout": "0",
    "row_security": "off",
    "search_path": "pg_catalog",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "datestyle": "ISO,YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "3",
    "timezone": "UTC",
    "client_min_messages": "warning",
    "default_transaction_isolation": "read\\ committed",
    "default_transaction_read_only": "off",
}


def plain_options(server: Postgres) -> str:
    plain = PLAIN | ({"transaction_timeout": "0"} if server.major >= 17 else {})
    return " ".join(f"-c {setting}={value}" for setting, value in plain.items())


def connect(server: Postgres, name: str) -> psycopg.Connection[Any]:
    """As superuser: sees all and may all, whatever the grants and settings are."""
    return psycopg.connect(
        server.dsn(), dbname=name, autocommit=True, client_encoding="UTF8", options=plain_options(server)
    )


def fingerprint(server: Postgres, name: str, *, bin_dir: Path | None = None) -> dict[str, Any]:
    """Properties, schema text, a digest of each table's rows, sequences' positions, large objects."""
    with connect(server, name) as session:
        properties = session.execute(PROPERTIES)
        labels = [column.name for column in properties.description or ()]
        found: dict[str, Any] = dict(zip(labels, properties.fetchone() or (), strict=True))
        anywhere = [root for (root,) in session.execute(ANYWHERE).fetchall()]
        leaves: set[str] = set()
        for root in anywhere:
            rows = session.execute(
                sql.SQL("select relid::regclass::text from pg_partition_tree({})").format(root)
            ).fetchall()
            leaves |= {leaf for (leaf,) in rows}
            query = DIGEST.replace("only {}", root)
            found[f"partitioned {root}"] = session.execute(query.encode()).fetchone()
        for schema, relation, kind in session.execute(RELATIONS).fetchall():
            what = sql.Identifier(schema, relation)
            shown = session.execute(sql.SQL("select {}::regclass::text").format(what.as_string())).fetchone()
            if shown is not None and shown[0] in leaves:
                continue
            if kind == "S":
                query_of_sequence = sql.SQL("select last_value, is_called from {}").format(what)
                found[f"sequence {schema}.{relation}"] = session.execute(query_of_sequence).fetchone()
                continue
            found[f"rows {schema}.{relation}"] = session.execute(sql.SQL(DIGEST).format(what)).fetchone()
        found["large objects"] = session.execute(LARGE_OBJECTS).fetchall()
    found["schema"] = schema_text(server, name, bin_dir=bin_dir or server.bin_dir)
    return found


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Equal, or an error that says where not."""
    told: list[str] = []
    for key in sorted(expected.keys() | found.keys()):
        if key == "schema":
            changes = difflib.unified_diff(expected[key], found[key], "expected", "found", n=1, lineterm="")
            told += list(changes)[:60]
        elif expected.get(key) != found.get(key):
            told.append(f"{key}: {found.get(key)} instead of {expected.get(key)}")
    assert not told, "\n".join(told)


def schema_text(server: Postgres, name: str, *, bin_dir: Path) -> list[str]:
    """What pg_dump says of everything but rows, without its remarks."""
    environment = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "PGUSER": server.superuser,
        "PGPASSWORD": server.password,
        "PGDATABASE": name,
        # pg_dump puts an end to most waits itself, but not before its first statement, nor to all.
        "PGOPTIONS": plain_options(server),
    }
    with connect(server, name) as session:
        own = session.info.parameter_status("server_encoding")
    # A role or database may have another encoding for its sessions, in which not every name can be told.
    in_utf8 = ["--encoding=UTF8"] if own == "UTF8" else []
    dump = subprocess.run(
        [bin_dir / "pg_dump", "--schema-only", *in_utf8],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    lines = dump.stdout.decode(errors="surrogateescape").splitlines()
    return [line for line in lines if not line.startswith(("--", "\\restrict", "\\unrestrict"))]


@contextmanager
def nothing_changes(server: Postgres, name: str) -> Generator[None]:
    """Afterwards the database is what it was, accepts sessions, and nothing else is there."""
    before, there = fingerprint(server, name), names(server)
    yield
    assert names(server) == there
    assert_same(fingerprint(server, name), before)
    deadline = time.monotonic() + 10
    while left := backends(server):
        assert time.monotonic() < deadline, f"still connected: {left}"
        time.sleep(0.05)


def backends(server: Postgres) -> list[str]:
    """Sessions of ours. The server may take a moment to see that one has ended."""
    query = "select application_name from pg_stat_activity where application_name like 'snapfleet:%'"
    with connect(server, "template1") as session:
        return [row[0] for row in session.execute(query).fetchall()]


def names(server: Postgres) -> dict[str, bool]:
    """Every database of the cluster, and whether it accepts sessions."""
    with connect(server, "postgres") as session:
        return dict(session.execute("select datname, datallowconn from pg_database").fetchall())

"""The protected database: small, with a table that is cut into parts, and with everything else to lose."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from embedded.postgres import Postgres
from shared.postgres.dsn import Dsn

# Pages that are mostly empty: over the threshold for parts with a tenth of its bytes.
SCHEMA = """
create table big (id bigint primary key, salt text not null, pad bytea not null) with (fillfactor = 10);
insert into big select i, 'x', sha512(convert_to(i::text, 'UTF8')) from generate_series(1, 8000) i;
create table account (id int primary key, balance bigint not null);
insert into account select i, 0 from generate_series(1, 100) i;
create table transfer (id bigint generated always as identity primary key,
    giver int not null references account, taker int not null references account, amount bigint not null);
create index on transfer (giver);
create view rich as select id from account where balance > 1000;
create function total() returns bigint language sql stable as 'select sum(balance)::bigint from public.account';
create table pad (id int primary key, bytes bytea not null);
alter table pad alter column bytes set storage external;
insert into pad select i, (select string_agg(sha512(convert_to(i || ' ' || j, 'UTF8')), '') from generate_series(1, 60) j)
  from generate_series(1, 400) i;
create sequence ticket increment by -3;
select lo_from_bytea(4711, 'a large object');
"""
PROPERTIES = """
select pg_get_userbyid(datdba), datacl::text, shobj_description(oid, 'pg_database'), datconnlimit, datallowconn,
       (select array_agg(setconfig order by setrole)::text from pg_db_role_setting where setdatabase = d.oid)
  from pg_database d where datname = %s
"""
BROUGHT_BACK = "brought_back"
TABLES = ("big", "account", "transfer", "pad")
RELATIONS = "relations"
CONTENT = (
    " union all ".join(
        f"select '{table}', count(*), coalesce(sum(hashtextextended({table}::text, 0)), 0)::text from {table}"
        for table in TABLES
    )
    + " union all select 'rich', count(*), total()::text from rich"
    " union all select 'indexes', count(*), min(indisvalid::text) from pg_index where indrelid = any"
    f" (array{[*TABLES]}::regclass[])"
    " union all select 'constraints', count(*), min(convalidated::text) from pg_constraint where conrelid = any"
    f" (array{[*TABLES]}::regclass[]) and contype in ('p', 'f')"
    " union all select 'large object', 1, md5(lo_get(4711))"
    f" union all select '{RELATIONS}', count(*), string_agg(relname, ' ' order by relname) from pg_class"
    " where relkind in ('r', 'v', 'S') and relnamespace = 'public'::regnamespace"
    " order by 1"
)
Content = tuple[tuple[Any, ...], ...]
EMPTY: Content = (("nothing",),)
"""Of a database without any relation of a user."""


class Shop:
    """`shop` on a server, owned by `owner`, whom it is looked after as."""

    def __init__(self, server: Postgres, name: str) -> None:
        self.server, self.name = server, name
        self.version = 0
        self.url = server.dsn(name, user="owner", password=server.secret("owner"))
        with self.admin() as admin:
            password = sql.Literal(server.secret("owner"))
            admin.execute(sql.SQL("create role owner login createdb password {}").format(password))
            admin.execute("grant pg_signal_backend to owner")
            admin.execute("create role reader nologin")
            admin.execute("create database shop owner owner")
        with self.session() as session:
            session.execute(SCHEMA.encode())
            session.execute("comment on database shop is 'what is sold'")
            session.execute("revoke all on database shop from public")
            session.execute("grant connect on database shop to reader")
            session.execute("alter database shop set work_mem = '5MB'")
            session.execute("analyze")
        self.properties_at_first = self.properties()

    @contextmanager
    def session(self, name: str | None = None) -> Generator[psycopg.Connection]:
        """As the database's owner."""
        dsn = Dsn.parse(self.url).for_database(name or self.name)
        with psycopg.connect(dsn.conninfo("test"), autocommit=True) as session:
            yield session

    @contextmanager
    def admin(self, name: str = "postgres") -> Generator[psycopg.Connection]:
        with psycopg.connect(self.server.dsn(name), autocommit=True) as session:
            yield session

    def write(self, *, big: bool = True) -> Content:
        """Another content: one number in every account and transfer, so that a mix of two would show.

        Without `big` the big table stays what it was.
        """
        self.version += 1
        with self.session() as session, session.transaction():
            session.execute(f"drop table if exists {BROUGHT_BACK}")
            session.execute("update account set balance = %s", [self.version])
            session.execute("delete from transfer")
            session.execute(
                "insert into transfer (giver, taker, amount) select i, i + 1, %s from generate_series(1, 50) i",
                [self.version],
            )
            if big:
                session.execute("update big set salt = %s where id %% 1000 = 0", [str(self.version)])
        return self.content()

    def refill(self) -> Content:
        """Other bytes in every page of the big table: no copy has met them before."""
        salt = uuid.uuid4().hex
        with self.session() as session:
            session.execute("truncate big")
            session.execute(
                "insert into big select i, %s, sha512(convert_to(%s || i, 'UTF8')) from generate_series(1, 8000) i",
                [salt, salt],
            )
        return self.content()

    def content(self, name: str | None = None) -> Content:
        """Every table's rows and a digest of them, and what hangs on them."""
        with self.session(name) as session:
            relations = "select 1 from pg_class where relnamespace = 'public'::regnamespace"
            if session.execute(relations.encode()).fetchone() is None:
                return EMPTY
            return tuple(session.execute(CONTENT.encode()).fetchall())

    def properties(self) -> tuple[Any, ...] | None:
        """What belongs to the live name and not to its content."""
        with self.admin() as admin:
            return admin.execute(PROPERTIES.encode(), [self.name]).fetchone()

    def databases(self) -> dict[str, int]:
        """Those that are ours to make and drop, by name."""
        with self.admin() as admin:
            found = admin.execute(r"select datname, oid from pg_database where datname like 'snapfleet\_%'")
            return dict(found.fetchall())


def with_table(content: Content, name: str) -> Content:
    """The same with one more table, whatever is in it."""

    def changed(row: tuple[Any, ...]) -> tuple[Any, ...]:
        if row[0] != RELATIONS:
            return row
        names = sorted([*row[2].split(), name])
        return (row[0], len(names), " ".join(names))

    return tuple(changed(row) for row in content)

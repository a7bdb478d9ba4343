"""What tells that a closed database was left alone: whatever is done to it shows, and what the server does by itself does not."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator

import psycopg
import pytest

from embedded.postgres import Postgres
from shared.domain.warm import Seal, doubts
from shared.postgres import databases, seals
from shared.postgres.dsn import Dsn
from shared.postgres.session import Session, connected

Maker = Callable[..., str]


class Copy:
    """A database of ours with a table in it, closed and sealed; and a session beside it."""

    def __init__(self, url: str, session: Session) -> None:
        self.url, self.session = url, session
        self.name = databases.warm_name(str(uuid.uuid4()))
        session.execute(f"create database {self.name}".encode())
        self.inside("create table t as select 1 as n")
        oid = databases.oid_of(session, self.name)
        assert oid is not None
        self.oid = oid
        seals.close(session, self.name, check=lambda: None)
        self.seal = self.read()

    def read(self) -> Seal:
        found = seals.read(self.session, self.oid)
        assert found is not None
        return found

    def doubts(self) -> list[str]:
        return [*doubts(self.seal, self.read())]

    def inside(self, statement: str) -> None:
        with psycopg.connect(Dsn.parse(self.url).for_database(self.name).conninfo("test")) as session:
            session.execute(statement.encode())

    def alter(self, what: str) -> None:
        self.session.execute(f"alter database {self.name} {what}".encode())

    def opened(self, statement: str | None = None) -> None:
        self.alter("allow_connections true")
        if statement is not None:
            self.inside(statement)
        self.alter("allow_connections false")


@pytest.fixture(params=["postgres", "postgres15"])
def copy(request: pytest.FixtureRequest, database: Maker) -> Generator[Copy]:
    url = database(request.getfixturevalue(request.param))
    with connected(Dsn.parse(url).for_database("postgres"), application_name="test") as session:
        yield Copy(url, session)


def test_nobody_gets_into_a_closed_one(copy: Copy) -> None:
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        copy.inside("select 1")
    assert copy.doubts() == []


def test_whatever_is_done_to_it_shows(copy: Copy) -> None:
    """One after the other, each from a new seal on."""
    acts: tuple[tuple[Callable[[], None], set[str]], ...] = (
        (
            lambda: copy.opened("delete from t"),
            {"it was altered", "somebody was in it, or its server has crashed"},
        ),
        (copy.opened, {"it was altered"}),
        (lambda: copy.alter("connection limit 7"), {"it was altered"}),
        (lambda: copy.alter("set work_mem = '9MB'"), {"it has settings of its own"}),
        (lambda: copy.alter("reset all"), set()),
        (lambda: grant(copy), {"it was altered"}),
        (lambda: copy.alter("allow_connections true"), {"it was altered", "it lets sessions in"}),
    )
    for act, said in acts:
        act()
        found = set(copy.doubts())
        assert said <= found, (said, found)
        assert said or not found, found
        copy.seal = copy.read()


def grant(copy: Copy) -> None:
    copy.session.execute(f"grant create on database {copy.name} to public".encode())


def test_what_the_server_does_by_itself_does_not_show(copy: Copy, request: pytest.FixtureRequest) -> None:
    """A checkpoint, and a vacuum of the catalog that its entry stands in."""
    server: Postgres = request.getfixturevalue(request.node.callspec.params["copy"])
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute("checkpoint")
        admin.execute("vacuum (freeze) pg_database")
    assert copy.doubts() == []


def test_one_that_is_gone_has_no_seal(copy: Copy) -> None:
    databases.drop(copy.session, copy.name)
    assert seals.read(copy.session, copy.oid) is None

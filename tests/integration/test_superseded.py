"""Whose sessions a new epoch ends: those of the job's former ones, by whichever role they were logged in."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql

from embedded.postgres import Postgres
from shared.postgres import backends
from shared.postgres.dsn import Dsn
from shared.postgres.session import connected
from tests.integration.conftest import RoleMaker

JOB = "snapfleet:0fbc4f7e-0000"
LOGIN = "login password 'secret'"


@contextmanager
def at_work(server: Postgres, user: str, name: str) -> Generator[psycopg.Connection]:
    url = server.dsn("postgres", user=user, password="secret")
    with psycopg.connect(url, autocommit=True, application_name=name) as session:
        yield session


def end_superseded(server: Postgres, user: str, *, epoch: int) -> list[str]:
    """As a worker does it; the names of the job's sessions that it then still sees."""
    dsn = Dsn.parse(server.dsn("postgres", user=user, password="secret"))
    with connected(dsn, application_name=f"{JOB}:{epoch}") as session:
        backends.end_superseded(session, f"{JOB}:{epoch}")
        return [each.application_name for each in backends.of_jobs(session)]


def is_alive(session: psycopg.Connection) -> bool:
    try:
        session.execute("select 1")
    except psycopg.OperationalError:
        return False
    return True


def grant(server: Postgres, statement: str, *names: str) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@pytest.fixture
def login(postgres: Postgres, role: RoleMaker) -> str:
    return role(postgres, LOGIN)


def test_only_lower_epochs_of_the_same_job_are_ended(postgres: Postgres, login: str) -> None:
    with (
        at_work(postgres, login, f"{JOB}:1") as former,
        at_work(postgres, login, f"{JOB}:2") as current,
        at_work(postgres, login, "snapfleet:0fbc4f7e-0001:1") as other,
        at_work(postgres, login, f"{JOB}1:1") as longer,
    ):
        left = end_superseded(postgres, login, epoch=2)
        assert [is_alive(each) for each in (former, current, other, longer)] == [False, True, True, True]
    assert sorted(left) == ["snapfleet:0fbc4f7e-0000:2", "snapfleet:0fbc4f7e-0001:1"]


def test_a_role_that_takes_on_another_one_ends_its_own_sessions(
    postgres: Postgres, role: RoleMaker, login: str
) -> None:
    """`alter role … set role …`: then current_user is not who has logged in."""
    group = role(postgres)
    grant(postgres, "grant {} to {}", group, login)
    grant(postgres, "alter role {} set role {}", login, group)
    with at_work(postgres, login, f"{JOB}:1") as former:
        assert end_superseded(postgres, login, epoch=2) == []
        assert not is_alive(former)


def test_a_role_whose_rights_we_have_was_us_before_the_url_changed(
    postgres: Postgres, role: RoleMaker, login: str
) -> None:
    heir = role(postgres, LOGIN)
    grant(postgres, "grant {} to {}", login, heir)
    with at_work(postgres, login, f"{JOB}:1") as former:
        assert end_superseded(postgres, heir, epoch=2) == []
        assert not is_alive(former)


def test_sessions_of_others_are_left_alone_whatever_they_call_themselves(
    postgres: Postgres, role: RoleMaker, login: str
) -> None:
    stranger = role(postgres, LOGIN)
    grant(postgres, "grant pg_monitor to {}", login)
    with (
        at_work(postgres, stranger, f"{JOB}:1") as theirs,
        psycopg.connect(postgres.dsn(), application_name=f"{JOB}:1") as superusers,
    ):
        assert end_superseded(postgres, login, epoch=2) == []
        assert (is_alive(theirs), is_alive(superusers)) == (True, True)

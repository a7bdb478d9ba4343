"""Tokens in the catalog: whom a secret stands for, from when on, and until when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from shared.catalog import catalog
from shared.domain import tokens
from shared.domain.access import Principal, Role
from shared.domain.tokens import Token
from shared.errors import NotFound, Refused, SnapfleetError, Unreachable
from shared.operations.fleet import Fleet
from shared.operations.trust import access, auditing
from tests.actors import TESTER
from tests.integration import bus_home
from tests.integration.inline_fleet import NAME, InlineFleet

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
SECRET, OTHER = (tokens.secret_of(bytes([number]) * 32) for number in (1, 2))


@pytest.fixture
def fleet(home: InlineFleet) -> Fleet:
    """Without a token; its audit goes on from test to test."""
    return bus_home.fresh(home).fleet


def rows(fleet: Fleet, query: str) -> list[tuple[Any, ...]]:
    with fleet.catalog.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def create(fleet: Fleet, **changed: Any) -> Token:
    values: dict[str, Any] = {
        "name": "deploy",
        "role": Role.OPERATE,
        "databases": (),
        "secret": SECRET,
        "now": NOW,
        "expires_at": None,
        "by": TESTER,
    }
    return access.create(fleet, **values | changed)


def test_a_secret_stands_for_its_tokens_role_and_databases(fleet: Fleet) -> None:
    create(fleet)
    create(fleet, name="reader", role=Role.READ, databases=[NAME, NAME], secret=OTHER)
    assert access.authenticate(fleet, SECRET, NOW) == Principal(name="deploy", role=Role.OPERATE)
    bound = Principal(name="reader", role=Role.READ, databases=frozenset({NAME}))
    assert access.authenticate(fleet, OTHER, NOW) == bound


def test_whatever_is_wrong_with_a_secret_the_sentence_is_the_same_and_the_code_says_what(
    fleet: Fleet,
) -> None:
    create(fleet, expires_at=NOW + timedelta(days=90))
    create(fleet, name="old", secret=OTHER)
    access.revoke(fleet, "old", now=NOW, by=TESTER)
    unknown = tokens.secret_of(bytes([3]) * 32)
    said = set()
    for secret, now, code in (
        (unknown, NOW, "token_unknown"),
        ("", NOW, "token_unknown"),
        (SECRET[:-1], NOW, "token_unknown"),
        (SECRET.upper(), NOW, "token_unknown"),
        (tokens.digest(SECRET), NOW, "token_unknown"),
        ("' or 1=1 --\0\ud800", NOW, "token_unknown"),
        (OTHER, NOW, "token_revoked"),
        (SECRET, NOW + timedelta(days=90), "token_expired"),
    ):
        with pytest.raises(Refused) as refusal:
            access.authenticate(fleet, secret, now)
        assert refusal.value.code == code
        said.add((refusal.value.message, refusal.value.hint))
    assert len(said) == 1
    assert access.authenticate(fleet, SECRET, NOW + timedelta(days=89)).name == "deploy"


def test_a_token_is_revoked_from_the_next_request_on_and_twice_is_as_once(fleet: Fleet) -> None:
    before = auditing.head(fleet).seq
    create(fleet)
    access.authenticate(fleet, SECRET, NOW)
    first = access.revoke(fleet, "deploy", now=NOW, by=TESTER)
    again = access.revoke(fleet, "deploy", now=NOW + timedelta(hours=1), by=TESTER)
    assert first.revoked_at == again.revoked_at == NOW
    with pytest.raises(Refused):
        access.authenticate(fleet, SECRET, NOW)
    with pytest.raises(NotFound):
        access.revoke(fleet, "nobody", now=NOW, by=TESTER)
    actions = [entry.action for entry in auditing.listing(fleet, limit=auditing.head(fleet).seq - before)]
    assert actions == ["token.revoked", "token.created"]


def test_when_a_token_was_used_last_is_written_at_most_once_a_minute(fleet: Fleet) -> None:
    create(fleet)
    versions = set[tuple[str, datetime]]()
    for seconds in (0, 1, 30, 59, 60, 61, 119):
        access.authenticate(fleet, SECRET, NOW + timedelta(seconds=seconds))
        versions.update(rows(fleet, "select xmin::text, last_used_at from token"))
    assert sorted(used for _, used in versions) == [NOW, NOW + timedelta(seconds=60)]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"name": "De ploy"}, "token_name"),
        ({"name": SECRET}, "token_name"),
        ({"databases": ["unknown"]}, "database_unknown"),
        ({"expires_at": NOW}, "token_expiry"),
        ({"name": "taken"}, "token_exists"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused_and_leaves_nothing(
    fleet: Fleet, changed: dict[str, Any], code: str
) -> None:
    create(fleet, name="taken", secret=OTHER)
    access.revoke(fleet, "taken", now=NOW, by=TESTER)
    before = auditing.head(fleet)
    with pytest.raises(SnapfleetError) as refusal:
        create(fleet, **changed)
    assert (refusal.value.code, bool(refusal.value.hint)) == (code, code != "token_expiry")
    assert SECRET[10:] not in f"{refusal.value.message} {refusal.value.hint}"
    assert [token.name for token in access.listing(fleet)] == ["taken"]
    assert auditing.head(fleet) == before


def test_no_secret_is_in_any_row_of_the_catalog(fleet: Fleet) -> None:
    create(fleet, databases=[NAME], expires_at=NOW + timedelta(days=1))
    access.authenticate(fleet, SECRET, NOW)
    tables = [name for (name,) in rows(fleet, "select tablename from pg_tables where schemaname = 'public'")]
    texts = [line for table in tables for (line,) in rows(fleet, f"select t::text from {table} t")]
    assert any("deploy" in line for line in texts)
    assert not [line for line in texts if SECRET[10:] in line]
    created = auditing.listing(fleet, limit=1)[0]
    assert created.details == {
        "token": "deploy",
        "role": "operate",
        "databases": [NAME],
        "expires_at": (NOW + timedelta(days=1)).isoformat(),
    }


def test_where_the_catalog_is_away_nobody_is_let_in_and_nobody_is_called_a_stranger(fleet: Fleet) -> None:
    away = replace(fleet, catalog=catalog.connect("postgresql://127.0.0.1:1/none"))
    with pytest.raises(Unreachable):
        access.authenticate(away, SECRET, NOW)
    with pytest.raises(Refused):
        access.authenticate(away, "no secret at all", NOW)
    away.catalog.close()

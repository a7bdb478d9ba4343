"""Tokens: how a secret looks, what is kept of it, and whom it stands for."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.domain import tokens
from shared.domain.access import Principal, Role
from shared.domain.tokens import Token

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
SECRET = tokens.secret_of(bytes(range(32)))
DOCS = Path(__file__).parents[2] / "docs" / "access.md"


def test_a_secret_has_a_prefix_that_scanners_know_and_holds_all_256_bits() -> None:
    assert "snapfleet_" + bytes(range(32)).hex() == SECRET
    with pytest.raises(ValueError, match="32"):
        tokens.secret_of(b"too short")


def test_the_pattern_for_scanners_in_the_documentation_finds_a_secret() -> None:
    (pattern,) = re.findall(r"`(snapfleet_\[[^`]+)`", DOCS.read_text("utf-8"))
    assert re.search(pattern, f'TOKEN="{SECRET}"')


@pytest.mark.parametrize("given", ["", "snapfleet_", SECRET[:-1], SECRET + "0", SECRET.upper(), f" {SECRET}"])
def test_what_cannot_be_a_secret_is_known_without_looking_for_it(given: str) -> None:
    assert not tokens.looks_right(given)
    assert tokens.looks_right(SECRET)


def test_what_is_kept_of_a_secret_is_its_sha256() -> None:
    assert tokens.digest(SECRET) == hashlib.sha256(SECRET.encode()).hexdigest()
    assert tokens.digest("\ud800") == tokens.digest("?")


def test_a_secret_in_the_place_of_a_name_is_not_repeated() -> None:
    assert SECRET[15:] not in tokens.shown(f"--{SECRET}--" * 3)
    assert len(tokens.shown("x" * 1_000)) < 100


@pytest.mark.parametrize("name", ["deploy", "a", "0.ci_pipeline-2", "x" * 63])
def test_a_name_for_a_token(name: str) -> None:
    assert tokens.is_name(name)


@pytest.mark.parametrize(
    "name", ["", "-deploy", "Deploy", "a b", "x" * 64, "deploy\n", "ä", "snapfleet", "schedule"]
)
def test_no_name_for_a_token(name: str) -> None:
    assert not tokens.is_name(name)


def test_a_token_is_valid_until_it_expires_or_is_revoked() -> None:
    token = Token(
        name="deploy", role=Role.OPERATE, databases=("orders",), sha256="", created_at=NOW, expires_at=NOW
    )
    assert token.standing(NOW) == "expired"
    assert token.standing(NOW - timedelta(microseconds=1)) == "valid"
    assert token.principal == Principal(name="deploy", role=Role.OPERATE, databases=frozenset({"orders"}))


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.READ, [Role.READ]),
        (Role.OPERATE, [Role.READ, Role.OPERATE]),
        (Role.RESTORE, [Role.READ, Role.OPERATE, Role.RESTORE]),
        (Role.ADMIN, list(Role)),
    ],
)
def test_each_role_may_what_those_before_it_may(role: Role, may: list[Role]) -> None:
    everywhere = Principal(name="x", role=role)
    bound = Principal(name="x", role=role, databases=frozenset({"orders"}))
    for asked in Role:
        assert everywhere.may(asked) is everywhere.may(asked, "anything") is (asked in may)
        assert bound.may(asked) is bound.may(asked, "orders") is (asked in may)
        assert not bound.may(asked, "billing")

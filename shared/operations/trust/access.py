"""Tokens: made, shown once, used, revoked. Whoever has a secret is whom its token stands for."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from datetime import datetime, timedelta

from shared.catalog.catalog import Transaction
from shared.domain import tokens
from shared.domain.access import Actor, Principal, Role
from shared.domain.tokens import Token
from shared.errors import NotFound, Refused
from shared.operations.fleet import Fleet
from shared.operations.trust import auditing

USE_NOTED_EVERY = timedelta(minutes=1)
"""A token that is used a thousand times a minute is written down once."""

REFUSED = "the token is not valid"
HINT = "an operator lists tokens with `snapfleet token list`, and makes one with `snapfleet token create`"


def authenticate(fleet: Fleet, secret: str, now: datetime) -> Principal:
    """Whom a secret stands for.

    Refused, with the same sentence whatever is wrong with it; only the code says what, for our own log.
    """
    if not tokens.looks_right(secret):
        raise not_valid("token_unknown")
    digest = tokens.digest(secret)
    with fleet.catalog.transaction() as tx:
        token = tx.tokens.by_digest(digest)
        # Looked up by its hash, of which nobody can choose a beginning; compared so that time tells nothing.
        if token is None or not hmac.compare_digest(token.sha256, digest):
            raise not_valid("token_unknown")
        if token.revoked_at is not None:
            raise not_valid("token_revoked")
        if token.has_expired(now):
            raise not_valid("token_expired")
        if token.last_used_at is None or now - token.last_used_at >= USE_NOTED_EVERY:
            tx.tokens.used(token.name, at=now)
    return token.principal


def not_valid(code: str) -> Refused:
    return Refused(REFUSED, code=code, hint=HINT)


def create(
    fleet: Fleet,
    *,
    name: str,
    role: Role,
    databases: Collection[str],
    secret: str,
    now: datetime,
    expires_at: datetime | None,
    by: Actor,
) -> Token:
    """Let a secret stand for a role, on these databases or, with none, on all. The secret is not kept."""
    if not tokens.is_name(name):
        raise Refused(
            f"{tokens.shown(name)} is no name for a token",
            code="token_name",
            hint="a-z, 0-9, ., - and _, at most 63, a letter or digit first; and none that the audit uses itself",
        )
    if expires_at is not None and expires_at <= now:
        raise Refused("a token that has expired is of no use", code="token_expiry")
    token = Token(
        name=name,
        role=role,
        databases=tuple(sorted({fleet.database(each).name for each in databases})) or None,
        sha256=tokens.digest(secret),
        created_at=now,
        expires_at=expires_at,
    )
    with fleet.catalog.transaction() as tx:
        if not tx.tokens.add(token):
            raise Refused(
                f"there is, or was, a token {name}",
                code="token_exists",
                hint="give it another name: the audit must tell the two apart",
            )
        details = {
            "token": name,
            "role": str(role),
            "databases": None if token.databases is None else list(token.databases),
            "expires_at": None if expires_at is None else expires_at.isoformat(),
        }
        auditing.did(tx, "token.created", by=by, details=details)
    return token


def listing(fleet: Fleet) -> list[Token]:
    with fleet.catalog.transaction() as tx:
        return list(tx.tokens.listing())


def revoke(fleet: Fleet, name: str, *, now: datetime, by: Actor) -> Token:
    """From the next request on it stands for nobody. Revoked twice it is revoked."""
    with fleet.catalog.transaction() as tx:
        if tx.tokens.revoke(name, at=now):
            auditing.did(tx, "token.revoked", by=by, details={"token": name})
        return known(tx, name)


def known(tx: Transaction, name: str) -> Token:
    token = tx.tokens.get(name)
    if token is None:
        raise NotFound(
            f"there is no token {tokens.shown(name)}",
            code="token_unknown",
            hint="`snapfleet token list` shows them",
        )
    return token

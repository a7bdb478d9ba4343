"""Bytes compared with the digest that they should have, and the round trip that a storage must pass."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta

from shared.domain import ids
from shared.errors import Damaged, Refused
from shared.storage import keys
from shared.storage.base import Capabilities, Stat, Storage

PROBE_LASTS = timedelta(hours=1)
"""Longer than any check takes, and than two machines' clocks differ."""

PROBE_BODY = bytes(range(256)) * 5
SECOND_BODY = b"whoever reads this came second"


def check_range(start: int, length: int | None, sha256: str | None) -> None:
    """ValueError for a range that is none, or one with a digest, which is that of a whole object."""
    if start < 0 or (length is not None and length < 0):
        raise ValueError(f"no range: start {start}, length {length}")
    if sha256 is not None and (start, length) != (0, None):
        raise ValueError("a digest belongs to the whole object, not to a range of it")


def matching(body: bytes, sha256: str | None, *, where: str) -> bytes:
    """The body itself; Damaged(object_damaged) if a digest is asked for and it has another."""
    if sha256 is not None and (found := hashlib.sha256(body).hexdigest()) != sha256:
        raise Damaged(
            f"{where} holds {len(body)} bytes with SHA-256 {found}, not {sha256}", code="object_damaged"
        )
    return body


def round_trip(
    storage: Storage, probe_id: str, *, put_new: Callable[[str, bytes], None] | None = None
) -> Capabilities:
    """The work of `Storage.check`, through the contract's own methods.

    `put_new` stores a body under a key that must be new; another may be given where the storage's own
    does more than ask its server.
    """

    def put_through_the_contract(key: str, body: bytes) -> None:
        storage.put(key, body, create_only=True)

    put_new = put_new or put_through_the_contract
    key = keys.checked(f"{keys.PROBES}/{probe_id}")
    _sweep(storage, probe_id)
    try:
        put_new(key, PROBE_BODY)
        _expect(storage, key)
        create_only = not _accepts_a_second(key, put_new)
        storage.put(key, PROBE_BODY)
        _expect(storage, key)
    finally:
        storage.delete(key)
    if create_only:
        return Capabilities(create_only=True)
    return Capabilities(
        create_only=False,
        warning=f"{storage.location} ignores conditional writes (If-None-Match): two writers of one key "
        "within the same instant are not kept apart; let a single fleet write here",
    )


def _sweep(storage: Storage, probe_id: str) -> None:
    """Remove the probes of checks that were killed: by their ids too old for one that still runs."""
    now = ids.moment_of(probe_id)
    for stat in storage.list(f"{keys.PROBES}/"):
        left = ids.moment_of(stat.key.rpartition("/")[2])
        if now is not None and left is not None and now - left > PROBE_LASTS:
            storage.delete(stat.key)


def _accepts_a_second(key: str, put_new: Callable[[str, bytes], None]) -> bool:
    try:
        put_new(key, SECOND_BODY)
    except Refused as exc:
        if exc.code != "object_exists":
            raise
        return False
    return True


def _expect(storage: Storage, key: str) -> None:
    whole = storage.get(key)
    middle = storage.get(key, start=100, length=300)
    stat = storage.head(key)
    listed = list(storage.list(key))
    whole_as_put = Stat(key=key, size_bytes=len(PROBE_BODY), sha256=hashlib.sha256(PROBE_BODY).hexdigest())
    if (whole, middle, stat) != (PROBE_BODY, PROBE_BODY[100:400], whole_as_put) or len(listed) != 1:
        raise Damaged(
            f"{storage.location} does not give back the bytes that it was given",
            code="storage_alters_objects",
            hint="it may store checksum trailers as content; use a server that speaks plain PutObject",
        )

"""What a place for objects promises, whichever place it is: memory, a folder, S3, or two of them.

An object is at most one chunk of a snapshot or its manifest: it fits in memory, is written whole and is
never changed in place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """One stored object. `sha256` is the hex digest of the stored bytes, and None only in listings.

    `modified_at` is when it was put, by the storage's own clock, and only in listings of a place that knows.
    """

    key: str
    size_bytes: int
    sha256: str | None
    modified_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A multipart upload that somebody has begun and not ended."""

    key: str
    upload_id: str
    began_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a storage was seen to do. A false `create_only` comes with a `warning` to show an operator."""

    create_only: bool
    warning: str | None = None


class Storage(Protocol):
    """Objects under keys such as `orders/chunks/3f/3f9a…`: relative, `/` between non-empty segments.

    Every method may raise Refused(bad_key) for a key that is none, Refused(access_denied),
    Unreachable(storage_unreachable), Busy(storage_busy). No key may be a folder of another key: a folder
    refuses the second of `a` and `a/b`. Instances may be shared between threads.
    """

    @property
    def location(self) -> str:
        """Where this is, for people: `file:///srv/snapshots`, `s3://bucket/prefix`. Holds no secret."""
        ...

    def put(self, key: str, body: bytes | bytearray, *, create_only: bool = False) -> None:
        """Store the body whole or not at all; when this returns it is durable and seen by all readers.

        An existing object is replaced: a reader gets the old bytes or the new. (rclone's server has been seen
        to answer with a mixture, which a reader who gives `get` the digest is told of.) With
        `create_only` the key must be new, else Refused(object_exists): of any number of racers one
        returns and the others are refused, and what they are refused for is durable too. (Weaker where
        `check` says so.) After an error the object may be there or not; putting it again is safe.
        """
        ...

    def get(self, key: str, *, start: int = 0, length: int | None = None, sha256: str | None = None) -> bytes:
        """The stored bytes, or `body[start : start + length]` of them, also where that reaches past the end.

        NotFound(object_missing); Damaged(object_truncated) if fewer bytes came than were announced. With
        `sha256`, the digest that the whole object must have (so not together with a range), bytes
        that have another raise Damaged(object_damaged).
        """
        ...

    def head(self, key: str) -> Stat:
        """Size and digest of what is stored, as the place itself knows it now. NotFound(object_missing)."""
        ...

    def list(self, prefix: str) -> Iterator[Stat]:
        """Every object whose key begins with these characters, each once, sorted by key, without digests.

        A put that has returned before is in it. Whatever is not a whole object is not.
        """
        ...

    def folders(self, prefix: str) -> Iterator[str]:
        """The next segment of every key below `prefix` (empty, or ending in `/`) that has one more behind it.

        Each once, sorted: what `a/` is for a file system. One that has lost its last object may still be named.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove the object. To remove what is not there is fine."""
        ...

    def uploads(self, prefix: str) -> Iterator[Upload]:
        """Multipart uploads of whomever that are open below these characters: none where there is no such thing.

        We begin none. Refused(storage_lacks_feature) where the server does not tell.
        """
        ...

    def abort(self, upload: Upload) -> None:
        """End an open upload; what was sent of it goes. To end one that is not open is fine."""
        ...

    def sides(self) -> tuple[Storage, ...]:
        """The places in which every object stands whole, each with the contract of its own: itself where it is one.

        What a side has lost is not in its `list`, though it may be in that of the whole, and `get` may still read it.
        """
        ...

    def check(self, *, probe_id: str | None = None) -> Capabilities:
        """Put, read, replace and delete an object under `.snapfleet-probe/`, and say what was seen.

        NotFound(bucket_missing), Refused(access_denied), Unreachable(storage_unreachable), and
        Damaged(storage_alters_objects) if it answers with other bytes than it was given. Leaves
        nothing behind; where it is killed, a later check with a `probe_id` that tells the time (see
        `ids.new_probe_id`) removes what it left.
        """
        ...

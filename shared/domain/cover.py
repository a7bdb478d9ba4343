"""The text of a manifest where snapshots are signed or encrypted: format 2, a cover around that of format 1.

    cover       readable by anyone: which snapshot it is, what came before it, which keys open it
    contents    the manifest; encrypted it is base64 of an age file of a zstd frame
    signature   over all that stands before it, see `signature`

`docs/repository-format.md` describes every field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from shared.domain.manifest import Manifest, unreadable

FORMAT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A snapshot, and the hash that its manifest had."""

    id: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    kind: Literal["snapfleet manifest"] = "snapfleet manifest"
    format: int = FORMAT
    id: str
    database: str
    previous: Link | None
    """The newest one of its database when it was sealed; retention may have deleted it since."""
    keys: tuple[str, ...]
    """Ids of the keys of which each alone opens the snapshot; none where it is not encrypted."""
    contents_id: str | None
    """Where it is encrypted: a keyed hash of the manifest, by which its writer knows it again."""
    contents: str | Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What of a cover does not depend on its contents."""

    id: str
    database: str
    previous: Link | None
    keys: tuple[str, ...]


COVER: TypeAdapter[Cover] = TypeAdapter(Cover)
OUTLINE: TypeAdapter[Outline] = TypeAdapter(Outline)


def encode(cover: Cover) -> bytes:
    """Its text but for its signature."""
    return COVER.dump_json(cover, indent=1) + b"\n"


def decode(body: bytes) -> Cover:
    """Read one back. Damaged if it is none."""
    try:
        return COVER.validate_json(body)
    except ValidationError as exc:
        raise unreadable() from exc


def outline(body: bytes) -> Outline | None:
    """What anybody can read of a manifest; None of one without a cover. Damaged if it is no manifest."""
    if not has_cover(body):
        return None
    try:
        return OUTLINE.validate_json(body)
    except ValidationError as exc:
        raise unreadable() from exc


def has_cover(body: bytes) -> bool:
    return body.startswith(b'{\n "kind": ')


def are_of_one(one: Cover, other: Cover) -> bool:
    """Whether two covers hold the same, though what is encrypted twice never looks alike."""
    return one.contents_id is not None and facts(one) == facts(other)


def facts(cover: Cover) -> tuple[object, ...]:
    return (cover.format, cover.id, cover.database, cover.previous, cover.keys, cover.contents_id)

"""The manifest: the JSON that makes a snapshot real. Written last, never changed.

`docs/repository-format.md` describes every field; `FORMAT` grows when a reader must know better.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from shared.domain.evidence import Evidence
from shared.domain.increments import Base, Increment, Origin
from shared.domain.parts import PartSpec
from shared.errors import Damaged

T = TypeVar("T")

FORMAT = 1

MAX_CHUNK_BYTES = 64 * 1024 * 1024
"""No chunk of any writer holds more raw bytes than this: what a reader must be ready to hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One object: `sha256` names it by its raw bytes; `stored_*` are of what is in storage, a zstd frame or,
    where `raw_sha256` is set, that frame encrypted.
    """

    sha256: str
    """Its name: the hash of its raw bytes, or a keyed one that tells nothing of them."""
    raw_bytes: int
    stored_bytes: int
    stored_sha256: str
    raw_sha256: Annotated[str | None, Field(exclude_if=lambda value: value is None)] = None
    """Of one that is encrypted: the hash of its raw bytes. Never outside of what is encrypted itself."""

    @property
    def is_encrypted(self) -> bool:
        return self.raw_sha256 is not None

    @property
    def contents_sha256(self) -> str:
        """The hash of its raw bytes."""
        return self.sha256 if self.raw_sha256 is None else self.raw_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    spec: PartSpec
    row_count: int
    chunks: tuple[Chunk, ...]
    digest: str | None = None
    """The sum of its rows' hashes; None where none was taken."""
    origin: Annotated[Origin | None, Field(exclude_if=lambda value: value is None)] = field(
        default=None, compare=False
    )
    """How it came into the snapshot, which makes it no other part; None in what earlier releases wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCount:
    schema: str
    name: str
    row_count: int
    digest: str | None = None
    """The sum of its rows' hashes; None where none was taken, or of its parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequencePosition:
    schema: str
    name: str
    last_value: int
    is_called: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the snapshot came from, and what the target must offer to take it back."""

    system_identifier: str
    dbname: str
    server_version: str
    server_version_num: int
    tool_version: str
    encoding: str
    locale_provider: str
    collate: str
    ctype: str
    locale: str | None
    collation_version: str | None
    icu_rules: str | None = None
    tablespace: str | None = None
    """None: the server's default, or not known of a snapshot of an earlier release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One `ALTER DATABASE … SET` or, with a role, `ALTER ROLE … IN DATABASE … SET`."""

    role: str | None
    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One privilege on the database itself; an empty grantee is PUBLIC."""

    grantee: str
    privilege: str
    grantable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """What belongs to the database and that no archive carries."""

    owner: str
    comment: str | None
    connection_limit: int
    grants: tuple[Grant, ...] | None
    """None: the ACL was never changed from PostgreSQL's default."""
    settings: tuple[Setting, ...]
    is_template: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    format: int
    id: str
    database: str
    taken_at: datetime
    source: Source
    properties: Properties
    roles: tuple[str, ...]
    """Every role that owns something or is granted something: needed on the target."""
    extensions: tuple[str, ...]
    archive: tuple[Chunk, ...]
    parts: tuple[Part, ...]
    tables: tuple[TableCount, ...]
    sequences: tuple[SequencePosition, ...]
    evidence: Evidence | None = None
    """None in what releases before it wrote."""
    increment: Annotated[Increment | None, Field(exclude_if=lambda value: value is None)] = None
    """None in what earlier releases wrote."""

    @property
    def chunks(self) -> Iterator[Chunk]:
        """Every chunk, in order, repeated where it is used more than once."""
        yield from self.archive
        for part in self.parts:
            yield from part.chunks

    @property
    def distinct_chunks(self) -> dict[str, Chunk]:
        return {chunk.sha256: chunk for chunk in self.chunks}

    @property
    def base(self) -> Base | None:
        """What later snapshots can be built on; None where none can."""
        return None if self.increment is None else self.increment.base

    @property
    def raw_bytes(self) -> int:
        return sum(chunk.raw_bytes for chunk in self.chunks)

    @property
    def stored_bytes(self) -> int:
        return sum(chunk.stored_bytes for chunk in self.distinct_chunks.values())

    @property
    def row_count(self) -> int:
        return sum(table.row_count for table in self.tables)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What every format of a manifest has."""

    format: int


MANIFEST: TypeAdapter[Manifest] = TypeAdapter(Manifest)
VERSION: TypeAdapter[Version] = TypeAdapter(Version)
DAMAGED_HINT = "restore another snapshot; `snapfleet snapshot list` shows them"


def encode(manifest: Manifest) -> bytes:
    """The manifest as JSON, UTF-8, with one space of indentation for whoever reads it by hand."""
    return MANIFEST.dump_json(manifest, indent=1) + b"\n"


def decode(body: bytes) -> Manifest:
    """Read a manifest back; Damaged if it is none."""
    refuse_newer(body, up_to=FORMAT)
    try:
        return MANIFEST.validate_json(body)
    except ValidationError as exc:
        raise unreadable() from exc


def refuse_other(body: bytes, *, sha256: str | None) -> None:
    """Damaged unless it is the one recorded, where that is known."""
    if sha256 is not None and hashlib.sha256(body).hexdigest() != sha256:
        raise Damaged(
            "the manifest is not the one that was sealed: its hash differs",
            code="manifest_damaged",
            hint=DAMAGED_HINT,
        )


def refuse_newer(body: bytes, *, up_to: int) -> None:
    """Damaged of a later format. First of all, and alone: of such a one nothing else is known."""
    try:
        version = VERSION.validate_json(body).format
    except ValidationError as exc:
        raise unreadable() from exc
    if version > up_to:
        raise Damaged(
            f"the manifest has format {version}, and this release reads up to {up_to}",
            code="manifest_too_new",
            hint="upgrade snapfleet",
        )


def unreadable() -> Damaged:
    return Damaged("the manifest cannot be read", code="manifest_damaged", hint=DAMAGED_HINT)


@cache
def _adapter(of: Any) -> TypeAdapter[Any]:
    """Made once for each type: that takes some milliseconds."""
    return TypeAdapter(of)


def plain(value: Any, of: Any) -> Any:
    """A dataclass of this module as JSON-ready values, for a row's jsonb column."""
    return _adapter(of).dump_python(value, mode="json")


def parse(value: Any, of: type[T]) -> T:
    """What `plain` wrote, read back."""
    kind: Any = of
    found: T = _adapter(kind).validate_python(value)
    return found

"""What reading gives: every part once more, by the product's own reader, in the snapshot that was exported."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from shared.domain.evidence import METHOD
from shared.domain.manifest import Chunk, Manifest, Part
from shared.domain.parts import PartSpec, Table, copy_format
from shared.operations.snapshots.chunking import ChunkWriter
from shared.postgres import copying, digests, inspection
from shared.postgres.dsn import Dsn
from shared.postgres.session import Session, connected

NAME = "truth"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a manifest says of the rows of a part."""

    row_count: int
    chunks: tuple[tuple[str, int], ...]
    digest: str | None


class Truth:
    """The moment of a snapshot, for as long as it takes to look at it."""

    def __init__(self, dsn: Dsn, session: Session, *, exported: str, again: str) -> None:
        self.exported = exported
        self._dsn, self._exported_again = dsn, again
        self._tables = inspection.tables(session)
        self._expressions = digests.expressions(session, method=METHOD)

    def wrong(self, parts: Sequence[Part]) -> list[Part]:
        """Those that are not what is read."""
        with copying.reading(self._dsn, snapshot=self._exported_again, application_name=NAME) as reader:
            return [part for part in parts if self._read(reader, part) != told(part)]

    def _read(self, reader: copying.Reader, part: Part) -> Content:
        writer = ChunkWriter(named)
        rows = reader.copy(part.spec, writer.write)
        of_table = self._expressions[part.spec.schema, part.spec.table]
        return Content(
            row_count=rows,
            chunks=tuple((chunk.contents_sha256, chunk.raw_bytes) for chunk in writer.close()),
            digest=None if part.digest is None else reader.digest(part.spec, of_table),
        )

    def missing(self, manifest: Manifest) -> list[str]:
        """Tables whose parts do not hold all of their pages and columns, each once."""
        parts: dict[tuple[str, str], list[PartSpec]] = defaultdict(list)
        for part in manifest.parts:
            parts[part.spec.schema, part.spec.table].append(part.spec)
        known = {(table.schema, table.name): table for table in self._tables}
        return [
            table for schema, table in sorted(parts) if not covers(parts[schema, table], known[schema, table])
        ]


def covers(specs: Sequence[PartSpec], table: Table) -> bool:
    """Every page in one part, every column that is copied, in the form that these columns have."""
    limits = [(spec.first_page, spec.end_page) for spec in sorted(specs, key=lambda spec: spec.first_page)]
    begins = [first for first, _ in limits]
    ends = [end for _, end in limits]
    columns = tuple(column.name for column in table.columns)
    form = copy_format(table.columns)
    return [*begins, None] == [0, *ends] and all(s.columns == columns and s.format is form for s in specs)


def told(part: Part) -> Content:
    return Content(
        row_count=part.row_count,
        chunks=tuple((chunk.contents_sha256, chunk.raw_bytes) for chunk in part.chunks),
        digest=part.digest,
    )


def named(raw: bytearray) -> Chunk:
    """The name alone: what is read here is stored nowhere."""
    return Chunk(sha256=hashlib.sha256(raw).hexdigest(), raw_bytes=len(raw), stored_bytes=0, stored_sha256="")


@contextmanager
def held(dsn: Dsn, exported: str) -> Generator[Truth]:
    """Enter a snapshot while its holder lives, and keep it alive beyond him."""
    with connected(dsn, application_name=NAME) as session:
        session.execute("begin isolation level repeatable read, read only")
        session.execute(f"set transaction snapshot '{exported}'".encode())
        [row] = session.execute("select pg_export_snapshot() as name")
        yield Truth(dsn, session, exported=exported, again=str(row["name"]))

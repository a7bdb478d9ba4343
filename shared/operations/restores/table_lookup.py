"""Which tables a user means, told early: before anything is restored, and with what it could have been."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches

from shared.domain.manifest import Manifest
from shared.domain.table_names import TableName, WantedTable, quoted
from shared.errors import NotFound, Permanent, Refused
from shared.operations.fleet import Fleet
from shared.postgres import entries, moving
from shared.postgres.entries import Entry
from shared.postgres.moving import Relation
from shared.postgres.session import Session
from shared.postgres.tools import Tools

BESIDE = "bring the whole database back beside the live one, and take it from there: --to NAME"

LISTED_AS = {
    b"VIEW ": "a view",
    b"MATERIALIZED VIEW ": "a materialized view",
    b"FOREIGN TABLE ": "a foreign table",
    b"SEQUENCE ": "a sequence",
    b"INDEX ": "an index",
    b"TYPE ": "a type",
}
"""How the list of an archive begins an entry that has a name like a table's."""


def one_table(session: Session, wanted: TableName) -> Relation:
    """The one table of this name in a restored schema."""
    found = moving.find(session, wanted)
    if not found:
        raise NotFound(f"the snapshot has no table {wanted}", code="table_unknown")
    if len(found) > 1:
        raise ambiguous(wanted, [spelt(each) for each in found])
    [relation] = found
    if relation.relkind not in moving.HAS_ROWS:
        raise not_a_table(spelt(relation), moving.KINDS.get(relation.relkind, "no table"))
    return relation


def ambiguous(wanted: TableName, meant: Sequence[str]) -> Refused:
    return Refused(
        f"the snapshot has more than one {wanted}: {', '.join(meant)}",
        code="table_ambiguous",
        hint="name it with its schema",
    )


def not_a_table(name: str, kind: str) -> Refused:
    return Refused(
        f"{name} is {kind}: only tables are brought back on their own", code="not_a_table", hint=BESIDE
    )


def refuse_unclear(manifest: Manifest, wanted: Sequence[WantedTable]) -> None:
    """Refused where it is not clear which table is meant, or one is meant twice; as far as the manifest tells."""
    meant = list[tuple[str, str]]()
    for each in wanted:
        fits = [(t.schema, t.name) for t in manifest.tables if is_meant(each.table, t.schema, t.name)]
        if len(fits) > 1:
            raise ambiguous(
                each.table, [str(TableName(schema=schema, name=name)) for schema, name in sorted(fits)]
            )
        meant += fits
    if len(set(meant)) < len(meant):
        raise twice()


def twice() -> Refused:
    return Refused("one table is asked for twice", code="table_twice", hint="name each table once")


def spelt(relation: Relation) -> str:
    return str(TableName(schema=relation.schema, name=relation.name))


def refuse_unknown(
    fleet: Fleet,
    manifest: Manifest,
    tools: Tools,
    wanted: Iterable[WantedTable],
    *,
    check: Callable[[], None],
) -> None:
    """NotFound for a table that the snapshot does not have, with the names that look like it; Refused for what
    is no table.

    The manifest names tables with rows of their own. What is not among them may still be a partitioned
    table, so the archive's list, at its very beginning, has the last word.
    """
    names = {(table.schema, table.name) for table in manifest.tables}
    unsure = [
        each.table for each in wanted if not any(is_meant(each.table, schema, name) for schema, name in names)
    ]
    if not unsure:
        return
    listed = list_of(fleet, manifest, tools, check=check)
    for table in unsure:
        entries_of_it = [entry for entry in listed if could_be(entry, table, manifest.source.encoding)]
        kinds = [kind_of(entry) for entry in entries_of_it]
        if kinds and None not in kinds:
            raise not_a_table(str(table), str(kinds[0]))
        if not entries_of_it:
            close = alike(table, names)
            raise NotFound(
                f"snapshot {manifest.id} has no table {table}",
                code="table_unknown",
                hint=f"did you mean {' or '.join(close)}?"
                if close
                else f"`snapfleet snapshot show {manifest.id}` lists them",
            )


def alike(table: TableName, names: Iterable[tuple[str, str]]) -> list[str]:
    """Up to three tables that somebody who wrote this may have meant."""
    by_likeness = {
        (name if table.schema is None else f"{schema}.{name}"): str(TableName(schema=schema, name=name))
        for schema, name in sorted(names)
    }
    wrote = table.name if table.schema is None else f"{table.schema}.{table.name}"
    return [by_likeness[each] for each in get_close_matches(wrote, by_likeness, n=3)]


def with_schema(manifest: Manifest, wanted: WantedTable) -> WantedTable:
    """Its schema known, where the manifest has just one table of this name."""
    schemas = {table.schema for table in manifest.tables if is_meant(wanted.table, table.schema, table.name)}
    return wanted.of(next(iter(schemas))) if len(schemas) == 1 else wanted


def is_meant(table: TableName, schema: str, name: str) -> bool:
    return table.name == name and table.schema in {None, schema}


def could_be(entry: Entry, table: TableName, encoding: str) -> bool:
    """Whether an entry may define it; where that cannot be told it may."""
    if encoding not in {"UTF8", "SQL_ASCII"} and not str(table).isascii():
        return True
    schema = "" if table.schema is None else f" {table.schema}"
    spelling = f"{schema} {table.name} ".translate({10: " ", 13: " "}).encode()
    return b"TABLE ATTACH" not in entry.what and spelling in entry.what


def kind_of(entry: Entry) -> str | None:
    """In words, where an entry defines something else than a table; None where it may be one."""
    return next((kind for begins, kind in LISTED_AS.items() if entry.what.startswith(begins)), None)


def list_of(fleet: Fleet, manifest: Manifest, tools: Tools, *, check: Callable[[], None]) -> Sequence[Entry]:
    """The archive's list, from no more of its chunks than it takes."""
    with tempfile.TemporaryFile(prefix="snapfleet-") as file:
        for number, chunk in enumerate(manifest.archive, start=1):
            check()
            file.writelines(fleet.repository.read_chunk(manifest.database, chunk))
            file.flush()
            try:
                return entries.read(tools, archive_fd=file.fileno())
            except Permanent:
                if number == len(manifest.archive):
                    raise
    return ()


def refuse_taken(live: Session, manifest: Manifest, wanted: Sequence[WantedTable]) -> None:
    """Refused where a new name is taken in the live database, or given to two tables, or has no schema there."""
    new = [(each, each.new_name(manifest.taken_at)) for each in wanted]
    schemas = {each.table.schema for each in wanted if each.table.schema is not None}
    taken = moving.names_in(live, schemas)
    for number, (each, name) in enumerate(new):
        if (each.table.schema, name) in taken:
            raise Refused(
                f"there is a {TableName(schema=each.table.schema, name=name)} already",
                code="name_taken",
                hint="give another name: --to NAME",
            )
        if any((each.table.schema, name) == (other.table.schema, same) for other, same in new[:number]):
            raise Refused(
                f"two tables would be named {quoted(name)}", code="name_taken", hint="give each its own: --to"
            )
    lacking = schemas - moving.schemas(live)
    if lacking:
        raise Refused(
            f"the live database has no schema {quoted(min(lacking))}",
            code="needs_missing",
            hint=f"create it there first: create schema {quoted(min(lacking))}",
        )

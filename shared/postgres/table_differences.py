"""What sets a table that was brought back apart from the live one, row by row, by primary key.

Rows are compared by their bytes, so that types without an equality of their own are compared too.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from shared.postgres.session import Session, consistent

COLUMNS = """
    select a.attname as name, a.atttypid::bigint as type, tn.nspname as type_schema,
           coalesce(k.indexrelid is not null, false) as in_key
      from pg_catalog.pg_attribute a
      join pg_catalog.pg_type t on t.oid = a.atttypid
      join pg_catalog.pg_namespace tn on tn.oid = t.typnamespace
      left join pg_catalog.pg_index k
             on k.indrelid = a.attrelid and k.indisprimary and a.attnum = any(k.indkey::int2[])
     where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
     order by a.attnum"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    name: str
    type: int
    type_schema: str
    in_key: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """Numbers of rows. Without a common primary key only the totals are known, and `why_not` says so."""

    snapshot_rows: int
    live_rows: int
    key: tuple[str, ...] = ()
    only_in_snapshot: int | None = None
    only_live: int | None = None
    changed: int | None = None
    not_compared: tuple[str, ...] = ()
    """Columns that only one of the two has, or that changed their type."""
    why_not: str | None = None


def compare(session: Session, *, restored: tuple[str, str], live: tuple[str, str]) -> Differences | None:
    """Compare two tables of one database in one moment; None where there is no live table."""
    with consistent(session):
        there, here = table(session, *restored), table(session, *live)
        if there is None or here is None:
            return None
        (there_sql, there_columns), (here_sql, here_columns) = there, here
        known = {column.name: column for column in here_columns}
        shared = [c for c in there_columns if c.name in known and known[c.name].type == c.type]
        key = [column for column in there_columns if column.in_key]
        if not key:
            return counted(session, there_sql, here_sql, why_not="it has no primary key")
        if {c.name for c in here_columns if c.in_key} != {c.name for c in key} or not set(key) <= set(shared):
            return counted(session, there_sql, here_sql, why_not="the live table has another primary key")
        return by_key(
            session, there_sql, here_sql, key, shared, not_compared=apart(there_columns, here_columns, shared)
        )


def apart(there: list[Column], here: list[Column], shared: list[Column]) -> tuple[str, ...]:
    names = {column.name for column in (*there, *here)} - {column.name for column in shared}
    return tuple(sorted(names))


def table(session: Session, schema: str, name: str) -> tuple[sql.Composed, list[Column]] | None:
    """How to read it, and its columns. A table with heirs is read without them, as it was brought back."""
    found = session.execute(
        "select c.oid::bigint as oid, c.relkind::text as relkind from pg_catalog.pg_class c"
        " join pg_catalog.pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = %s and c.relname = %s and c.relkind in ('r', 'p')",
        [schema, name],
    ).fetchone()
    if found is None:
        return None
    only = sql.SQL("only " if found["relkind"] == "r" else "")
    columns = [Column(**row) for row in session.execute(COLUMNS, [found["oid"]])]
    return only + sql.Identifier(schema, name), columns


def counted(session: Session, there: sql.Composed, here: sql.Composed, *, why_not: str) -> Differences:
    query = sql.SQL("select (select count(*) from {}) as there, (select count(*) from {}) as here")
    row = session.execute(query.format(there, here)).fetchone() or {}
    return Differences(snapshot_rows=row["there"], live_rows=row["here"], why_not=why_not)


def by_key(
    session: Session,
    there: sql.Composed,
    here: sql.Composed,
    key: list[Column],
    shared: list[Column],
    *,
    not_compared: tuple[str, ...],
) -> Differences:
    # The operators of a type of an extension are found where the type is.
    schemas = sorted({column.type_schema for column in key} - {"pg_catalog"})
    path = sql.SQL(", ").join(map(sql.Identifier, schemas)).as_string(session)
    session.execute("select pg_catalog.set_config('search_path', %s, true)", [path])

    def row(side: str) -> sql.Composed:
        columns = sql.SQL(", ").join(sql.Identifier(side, column.name) for column in shared)
        return sql.SQL("row({})").format(columns)

    query = sql.SQL(
        "select count({there_key}) as there, count({here_key}) as here,"
        " count(*) filter (where {here_key} is null) as only_there,"
        " count(*) filter (where {there_key} is null) as only_here,"
        " count(*) filter (where {there_key} is not null and {here_key} is not null"
        " and pg_catalog.record_image_ne({there_row}, {here_row})) as changed"
        " from {there} there full join {here} here on {match}"
    ).format(
        there_key=sql.Identifier("there", key[0].name),
        here_key=sql.Identifier("here", key[0].name),
        there_row=row("there"),
        here_row=row("here"),
        there=there,
        here=here,
        match=sql.SQL(" and ").join(
            sql.SQL("{} = {}").format(sql.Identifier("there", c.name), sql.Identifier("here", c.name))
            for c in key
        ),
    )
    found = session.execute(query).fetchone() or {}
    return Differences(
        snapshot_rows=found["there"],
        live_rows=found["here"],
        key=tuple(column.name for column in key),
        only_in_snapshot=found["only_there"],
        only_live=found["only_here"],
        changed=found["changed"],
        not_compared=not_compared,
    )

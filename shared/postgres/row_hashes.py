"""The hash of one row as an SQL expression of type bigint, by the method that a manifest names.

    2   the text of the whole row, hashed: every value goes through its type's output function
    3   each value hashed by its type's own function, and the hashes of a row hashed together

A method is never changed, only followed by another: what was recorded by it is still compared. Only functions
that give the same on every server of 14 and later are used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from psycopg import sql

from shared.postgres.copying import identifier

Columns = Sequence[tuple[str, str]]
"""By name, in `C`, each with the name of its type where that is one of PostgreSQL's own, else with none."""

# Long values quoted in a row's text would pass the 1 GB that the server can hold.
SHORTENED: Mapping[str, sql.SQL] = {
    "bytea": sql.SQL("pg_catalog.sha256({column})"),
    "text": sql.SQL('pg_catalog.hashtextextended({column} collate pg_catalog."C", 0)'),
    "varchar": sql.SQL('pg_catalog.hashtextextended({column} collate pg_catalog."C", 0)'),
}
TEXT = 'pg_catalog.hashtextextended({column} collate pg_catalog."C", {seed})'
OF_ITS_TEXT = TEXT.replace("{column}", "{column}::pg_catalog.text")
FLOAT = f"case when {{column}} <> 0 then pg_catalog.{{hash}}({{column}}, {{seed}}) else {OF_ITS_TEXT} end"

# Where a type's own hash forgets something, another way is taken. Of a bigint it takes half of the bits, but all of a
# seed. That of numeric, alone or in jsonb, knows neither sign nor scale; that of an array not its shape; that of an
# interval takes a month for 30 days; those of floats take -0 for 0. Of a timestamp it is 32 bits, in which two times
# are alike by chance only, never for the time zone, the precision or the day that one of them may have lost.
HASHES: Mapping[str, sql.SQL] = {
    name: sql.SQL(form)
    for name, form in {
        "bool": "pg_catalog.hashint4extended({column}::pg_catalog.int4, {seed})",
        "int2": "pg_catalog.hashint2extended({column}, {seed})",
        "int4": "pg_catalog.hashint4extended({column}, {seed})",
        "int8": "pg_catalog.hashint4extended({seed}, {column})",
        "oid": "pg_catalog.hashoidextended({column}, {seed})",
        "float4": FLOAT.replace("{hash}", "hashfloat4extended"),
        "float8": FLOAT.replace("{hash}", "hashfloat8extended"),
        "date": "case when pg_catalog.isfinite({column})"
        " then pg_catalog.hashint4extended({column} - '2000-01-01'::pg_catalog.date, {seed})"
        f" else {OF_ITS_TEXT} end",
        "timestamp": "pg_catalog.timestamp_hash_extended({column}, {seed})",
        "timestamptz": "pg_catalog.timestamp_hash_extended("
        "pg_catalog.timezone('0'::pg_catalog.interval, {column}), {seed})",
        "numeric": OF_ITS_TEXT,
        "uuid": "pg_catalog.uuid_hash_extended({column}, {seed})",
        "text": TEXT,
        "varchar": TEXT,
        "json": OF_ITS_TEXT,
        "jsonb": OF_ITS_TEXT,
    }.items()
}


def hash_of_row(columns: Columns, *, encoding: str, method: int) -> str:
    """As SQL in ASCII, of columns of the table that is read."""
    return METHODS[method]([(identifier(name, encoding), type_name) for name, type_name in columns])


def of_text(columns: Sequence[tuple[sql.Composable, str]]) -> str:
    return text_hash(columns).as_string()


def of_values(columns: Sequence[tuple[sql.Composable, str]]) -> str:
    """Null is hashed as the number of its column, by which a value in another column has another hash too."""
    others = [(column, type_name) for column, type_name in columns if type_name not in HASHES]
    hashes: list[sql.Composable] = [
        sql.SQL("coalesce({hash}, {seed})").format(
            hash=HASHES[type_name].format(column=column, seed=sql.Literal(number)), seed=sql.Literal(number)
        )
        for number, (column, type_name) in enumerate(columns, start=1)
        if type_name in HASHES
    ]
    if others or not hashes:
        hashes.append(text_hash(others))
    # Together as a seed, of which every bit counts.
    return sql.SQL("pg_catalog.hashint4extended(0, {})").format(together(hashes)).as_string()


def text_hash(columns: Sequence[tuple[sql.Composable, str]]) -> sql.Composed:
    values = [
        SHORTENED.get(type_name, sql.SQL("{column}")).format(column=column) for column, type_name in columns
    ]
    row = sql.SQL("row({})::pg_catalog.text").format(sql.SQL(", ").join(values))
    return sql.SQL('pg_catalog.hashtextextended({} collate pg_catalog."C", 0)').format(row)


def together(hashes: Sequence[sql.Composable]) -> sql.Composable:
    """All of them by XOR, in pairs: a chain of 1,600 would pass the depth that the server allows itself."""
    if len(hashes) == 1:
        return hashes[0]
    half = len(hashes) // 2
    return sql.SQL("({} operator(pg_catalog.#) {})").format(together(hashes[:half]), together(hashes[half:]))


METHODS: Mapping[int, Callable[[Sequence[tuple[sql.Composable, str]]], str]] = {2: of_text, 3: of_values}

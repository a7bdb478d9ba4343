"""What may happen to the tables: SQL with random details, by the names under which it is counted.

Several statements of one entry belong into one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from tests.incremental.tables import LONG, MAKE_LOOSE, MANY, fill

Statement = Callable[[Random], tuple[str, ...]]

NARROW = ("rows", "typed", "metrics", "loose", "twin")


def ids(dice: Random, most: int = MANY) -> str:
    """Mostly in the first eighth of a table: there must be ranges in which nothing happens."""
    first = dice.randint(1, dice.choice((most // 8, most // 8, most // 8, most)))
    return f"id between {first} and {first + dice.choice((0, 1, 5, 40))}"


def text(dice: Random) -> str:
    return f"repeat(md5('{dice.random()}'), {dice.randint(1, 9)})"


def column_of(table: str) -> str:
    return "c" if table == "typed" else "v"


def update(dice: Random) -> tuple[str, ...]:
    table = dice.choice(NARROW)
    return (f"update {table} set {column_of(table)} = {text(dice)} where {ids(dice)}",)


def update_apart(dice: Random) -> tuple[str, ...]:
    """Where hardly anybody else changes anything: what is missed there is not made good by the next statement."""
    table, first = dice.choice(NARROW), dice.randint(MANY // 8, MANY - 40)
    return (
        f"update {table} set {column_of(table)} = {text(dice)} where id between {first} and {first + dice.choice((0, 1, 5, 40))}",
    )


def update_in_place(dice: Random) -> tuple[str, ...]:
    """No index holds `n`, and the pages of `rows` have room."""
    return (f"update rows set n = n + 1 where {ids(dice)}",)


def update_out_of_line(dice: Random) -> tuple[str, ...]:
    return (f"update docs set body = repeat({text(dice)}, 90) where id = {dice.randint(1, LONG)}",)


def update_beside_out_of_line(dice: Random) -> tuple[str, ...]:
    return (f"update docs set n = n + 1 where {ids(dice, LONG)}",)


def update_type(dice: Random) -> tuple[str, ...]:
    value = dice.choice(("s = (enum_range(null::mood))[1 + id % 2]", "p.a = id", "p.b = id"))
    return (f"update typed set {value} where {ids(dice)}",)


def delete(dice: Random) -> tuple[str, ...]:
    return (f"delete from {dice.choice((*NARROW, 'docs'))} where {ids(dice)}",)


def insert(dice: Random) -> tuple[str, ...]:
    table, first = dice.choice(NARROW), dice.randint(MANY + 1, 10**6 - 100)
    values = f"i, {text(dice)} from generate_series({first}, {first + dice.choice((0, 3, 60))}) i"
    return (f"insert into {table} (id, {column_of(table)}) select {values} on conflict do nothing",)


def upsert(dice: Random) -> tuple[str, ...]:
    row = f"insert into rows (id, v) values ({dice.randint(1, MANY)}, {text(dice)})"
    return (f"{row} on conflict (id) do update set v = excluded.v",)


def lock(dice: Random) -> tuple[str, ...]:
    kind = dice.choice(("update", "no key update", "share", "key share"))
    return (f"select from {dice.choice(NARROW)} where {ids(dice)} for {kind}",)


def look(dice: Random) -> tuple[str, ...]:
    """Whoever looks first writes down on the page what became of its rows' transactions."""
    return (f"select count(*) from {dice.choice(NARROW)}",)


ROWS: Mapping[str, Statement] = {
    "update": update,
    "update in place": update_in_place,
    "update out of line": update_out_of_line,
    "update beside out of line": update_beside_out_of_line,
    "update type": update_type,
    "delete": delete,
    "insert": insert,
    "upsert": upsert,
    "lock": lock,
    "look": look,
}


def vacuum(dice: Random) -> tuple[str, ...]:
    options = dice.choice(("", "", "(freeze)", "(disable_page_skipping)", "(truncate false)", "analyze"))
    return (f"vacuum {options} {dice.choice((*NARROW, 'docs'))}",)


def cut_off(dice: Random) -> tuple[str, ...]:
    """The end of a table goes; a vacuum gives the pages back to the file system."""
    return (f"delete from {dice.choice(('loose', 'twin'))} where id > {MANY - dice.randint(1, 3000)}",)


def checkpoint(_dice: Random) -> tuple[str, ...]:
    return ("checkpoint",)


def rewrite(dice: Random) -> tuple[str, ...]:
    table = dice.choice(("loose", "docs"))
    return (dice.choice((f"vacuum full {table}", f"cluster {table} using {table}_pkey")),)


def reindex(dice: Random) -> tuple[str, ...]:
    return (f"reindex table {dice.choice(('loose', 'docs'))}",)


UPKEEP: Mapping[str, Statement] = {
    "vacuum": vacuum,
    "cut off": cut_off,
    "checkpoint": checkpoint,
    "rewrite": rewrite,
    "reindex": reindex,
}


FIND_NAMED = "select relname into found from pg_class where relname like 'named%' and relkind = 'r';"


def changing(block: str) -> str:
    return f"do $$ declare found text; begin {block} end $$"


def add_column(dice: Random) -> tuple[str, ...]:
    """Its default stands in the catalog: no page is written."""
    table, value = dice.choice(("rows", "loose", "typed")), dice.randint(1, 10**6)
    return (f"alter table {table} add column if not exists extra int default {value}",)


def drop_column(dice: Random) -> tuple[str, ...]:
    return (f"alter table {dice.choice(('rows', 'loose', 'typed'))} drop column if exists extra",)


def column_anew(dice: Random) -> tuple[str, ...]:
    """The same names, the same file, the same pages, and other rows."""
    table, value = dice.choice(("rows", "loose")), dice.randint(1, 10**6)
    return (
        f"alter table {table} drop column if exists extra",
        f"alter table {table} add column extra int default {value}",
    )


def fill_column(dice: Random) -> tuple[str, ...]:
    return (f"alter table loose drop column if exists stamp, add column stamp text default {text(dice)}",)


def rename_label(dice: Random) -> tuple[str, ...]:
    label = "select enumlabel into found from pg_enum where enumtypid = 'mood'::regtype order by random() limit 1;"
    rename = (
        f"execute format('alter type mood rename value %L to %L', found, 'label {dice.randint(1, 10**9)}');"
    )
    return (changing(label + rename),)


def add_label(dice: Random) -> tuple[str, ...]:
    return (f"alter type mood add value 'more {dice.randint(1, 10**9)}'",)


def change_composite(dice: Random) -> tuple[str, ...]:
    """A row of three attributes, or of two again: no page of `typed` is written."""
    return (
        dice.choice(
            ("alter type pair add attribute more int", "alter type pair drop attribute if exists more")
        ),
    )


def point(dice: Random) -> tuple[str, ...]:
    """Each row holds the oid of another table, and its text that one's name. Or no row does any more."""
    if dice.random() < 1 / 3:
        return ("alter table loose drop column if exists pointer",)
    pointer = "add column if not exists pointer regclass default %L::regclass"
    return (changing(f"{FIND_NAMED} execute format('alter table loose {pointer}', found);"),)


def rename_named(dice: Random) -> tuple[str, ...]:
    """No page of what points to it is written."""
    rename = f"execute format('alter table %I rename to named_{dice.randint(1, 10**9)}', found);"
    return (changing(FIND_NAMED + rename),)


def other_type(dice: Random) -> tuple[str, ...]:
    """None of these rewrites the table in this time zone."""
    return (
        "set local timezone = 'UTC'",
        dice.choice(
            (
                "alter table typed alter at type timestamptz",
                "alter table typed alter at type timestamp",
                "alter table typed alter c type text",
                f"alter table typed alter c type varchar({dice.randint(400, 9000)})",
                "alter table rows alter n type bigint",
                "alter table rows alter n type int",
                "alter table rows alter n type oid",
            )
        ),
    )


def options(dice: Random) -> tuple[str, ...]:
    return (
        dice.choice(
            (
                f"alter table rows set (fillfactor = {dice.randint(50, 100)})",
                f"alter table docs alter body set storage {dice.choice(('external', 'extended', 'main'))}",
                "alter table loose alter v set not null",
                "alter table loose alter v drop not null",
            )
        ),
    )


def truncate(dice: Random) -> tuple[str, ...]:
    table = dice.choice(("loose", "docs", "rows"))
    return (f"truncate {table}",) if dice.random() < 1 / 3 else (f"truncate {table}", fill(table))


def drop(_dice: Random) -> tuple[str, ...]:
    return ("drop table loose", MAKE_LOOSE, fill("loose"))


def swap(_dice: Random) -> tuple[str, ...]:
    """Either keeps its file, under the other's name."""
    return (
        "alter table loose rename to third",
        "alter table twin rename to loose",
        "alter table third rename to twin",
    )


def logging(dice: Random) -> tuple[str, ...]:
    """A table's changes stand in the log of the server, or do not any more."""
    return (f"alter table loose set {dice.choice(('logged', 'unlogged'))}",)


def reattach(_dice: Random) -> tuple[str, ...]:
    leave = "alter table metrics detach partition metrics_1;"
    come = "alter table metrics attach partition metrics_1 for values from (0) to (1000000);"
    is_in = "exists (select from pg_inherits where inhrelid = 'metrics_1'::regclass)"
    return (changing(f"if {is_in} then {leave} else {come} end if;"),)


DEFINITIONS: Mapping[str, Statement] = {
    "add column": add_column,
    "drop column": drop_column,
    "column anew": column_anew,
    "fill column": fill_column,
    "rename label": rename_label,
    "add label": add_label,
    "change composite": change_composite,
    "point": point,
    "rename what is named": rename_named,
    "other type": other_type,
    "options": options,
    "truncate": truncate,
    "drop": drop,
    "swap": swap,
    "logging": logging,
    "reattach": reattach,
}

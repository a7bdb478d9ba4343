"""Every type that PostgreSQL brings along, with its extreme values: as SQL that makes tables of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from shared.domain.parts import BINARY_TYPES

NOT_STORABLE = frozenset(
    "pg_node_tree pg_ndistinct pg_dependencies pg_mcv_list pg_brin_bloom_summary"
    " pg_brin_minmax_multi_summary gtsvector".split()
)
"""Nobody can make a value of these."""

ALL_TYPES = """
    select typname from pg_catalog.pg_type
     where typnamespace = 'pg_catalog'::regnamespace and typtype in ('b', 'r', 'm') and typname !~ '^_'"""

# Characters that mean something to COPY, arrays, records, psql or C.
AWKWARD = "\\.\n\\N\t\b\f\v\r\"'{},()|;\\\\ \x01\x1f\x7f"
EVERY_BMP_CHARACTER = "".join(map(chr, [*range(1, 0xD800), *range(0xE000, 0x10000)]))
EVERY_BYTE = "\\x" + bytes(range(256)).hex()
FLOATS = ("NaN", "-Infinity", "Infinity", "-0", "0.1")

EXTREMES: dict[str, tuple[str, ...]] = {
    "bool": ("t", "f"),
    "bytea": ("", EVERY_BYTE, "\\x5c2e0a"),
    "char": ("", "a", "\\377", "\\"),
    "name": ("", "n" * 63, "ü" * 31, AWKWARD),
    "int2": ("-32768", "32767"),
    "int4": ("-2147483648", "2147483647"),
    "int8": ("-9223372036854775808", "9223372036854775807"),
    "int2vector": ("", "-32768 0 32767"),
    "oid": ("0", "4294967295"),
    "oidvector": ("", "0 4294967295"),
    "tid": ("(0,0)", "(4294967295,65535)"),
    "xid": ("0", "4294967295"),
    "cid": ("0", "4294967295"),
    "xid8": ("0", "18446744073709551615"),
    "float4": (*FLOATS, "1e-45", "-3.4028235e38", "1.1754944e-38"),
    "float8": (*FLOATS, "5e-324", "-1.7976931348623157e308", "2.2250738585072014e-308"),
    "numeric": ("NaN", "-Infinity", "Infinity", "-0.00", "1e131071", "1e-16383", "-9.99e-130"),
    "money": ("-92233720368547758.08", "92233720368547758.07", "0.01"),
    "text": ("", AWKWARD, EVERY_BMP_CHARACTER, "𝄞\U0010fffd", "\\", "\ufeff\u202e"),
    "varchar": ("", AWKWARD, " "),
    "bpchar": ("", AWKWARD, "a   "),
    "refcursor": ("", AWKWARD),
    "json": ("null", '{"a": 1,  "a":\t2}', '"\\u0000 \\ud834\\udd1e"', "1e400000", '[" \\\\ ",{"":[]}]'),
    "jsonb": (
        "null",
        '{"b": 1, "a": 2, "": null}',
        '"\\ud834\\udd1e \\"\\n"',
        "-0.00",
        "1e131071",
        "[[[{}]]]",
    ),
    "jsonpath": ("$", 'strict $."ü x"[last] ? (@.b > 1 && @ like_regex "^a\\\\d" flag "i")'),
    "xml": ("", "<a>&lt;ü</a>", "text <b/> more", "<?xml version='1.0' standalone='yes'?><a/>"),
    "date": ("4714-11-24 BC", "5874897-12-31", "-infinity", "infinity"),
    "time": ("00:00", "24:00:00", "23:59:59.999999"),
    "timetz": ("24:00:00+15:59:59", "00:00-15:59:59"),
    "timestamp": ("4714-11-24 00:00 BC", "294276-12-31 23:59:59.999999", "-infinity", "infinity"),
    "timestamptz": ("4714-11-24 00:00 BC +00", "294276-12-31 23:59:59.999999+00", "-infinity", "infinity"),
    "interval": ("-178000000 years", "178000000 years", "1 mon -1 day 00:00:00.000001", "-1 day -02:03", "0"),
    "uuid": ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    "inet": (
        "::/0",
        "10.1.2.3/8",
        "255.0.0.255",
        "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
        "::ffff:1.2.3.4",
    ),
    "cidr": ("::/0", "10.0.0.0/8", "255.255.255.255/32", "2001:db8::/127"),
    "macaddr": ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"),
    "macaddr8": ("00:00:00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff:ff:ff"),
    "bit": ("", "1" * 1001),
    "varbit": ("", "101", "0" * 1001),
    "point": ("(NaN,-Infinity)", "(-0,1e308)", "(5e-324,0.1)"),
    "lseg": ("[(0,0),(0,0)]", "[(-1e308,Infinity),(5e-324,-0)]"),
    "line": ("{1,-1,0}", "{0,-1e-5,1e300}", "{NaN,1,-0}"),
    "path": ("[(0,0)]", "((1,2),(-0,NaN),(3,4))", "[(1e308,5e-324),(0,0)]"),
    "box": ("(1,1),(-1,-1)", "(Infinity,0.1),(-Infinity,-0)"),
    "polygon": ("((0,0))", "((0,0),(1e308,5e-324),(-0,0.1))"),
    "circle": ("<(0,0),0>", "<(NaN,-0),Infinity>"),
    "tsvector": ("", "'a':1A,2B,16383C 'b c' '\\\\ ''':1"),
    "tsquery": ("", "'a':*AB & !( 'b c' <-> 'd' | 'e' <16384> '\\\\ ''' )"),
    "pg_lsn": ("0/0", "FFFFFFFF/FFFFFFFF"),
    "pg_snapshot": ("1:1:", "10:20:10,14,19"),
    "txid_snapshot": ("1:1:", "10:9223372036854775807:10,14"),
    "aclitem": ("=*/postgres", "postgres=arwdDxtXUCTc*/postgres"),
    "regproc": ("-", "now", "pg_catalog.now"),
    "regprocedure": ("-", "abs(integer)", '"substring"(text,integer)'),
    "regoper": ("0", "||/"),
    "regoperator": ("0", "+(integer,integer)", "-(NONE,numeric)"),
    "regclass": ("-", "pg_class", "information_schema.tables"),
    "regtype": ("-", "character varying", '"char"[]', "timestamp with time zone"),
    "regrole": ("-", "postgres"),
    "regnamespace": ("-", "pg_catalog"),
    "regcollation": ("-", '"C"'),
    "regconfig": ("-", "english"),
    "regdictionary": ("-", "simple"),
    "int4range": ("empty", "(,)", "[-2147483648,2147483647)"),
    "int8range": ("empty", "(,)", "[-9223372036854775808,9223372036854775807)"),
    "numrange": ("empty", "(,)", "[-Infinity,NaN]", "(0.00,1e131071)"),
    "tsrange": (
        "empty",
        "(,)",
        '["-infinity","infinity")',
        '["4714-11-24 BC","294276-12-31 23:59:59.999999"]',
    ),
    "tstzrange": ("empty", "(,)", '("-infinity","infinity"]', '["4714-11-24 00:00 BC +00",)'),
    "daterange": ("empty", "(,)", "[-infinity,infinity]", '["4714-11-24 BC",5874897-12-31)'),
    "int4multirange": ("{}", "{(,)}", "{[1,3),[5,9)}"),
    "int8multirange": ("{}", "{(,)}", "{[-9223372036854775808,0),[5,9223372036854775807)}"),
    "nummultirange": ("{}", "{(,)}", "{[-Infinity,0.10),(5,NaN]}"),
    "tsmultirange": ("{}", "{(,)}", '{["-infinity","4714-11-24 BC"),(epoch,infinity]}'),
    "tstzmultirange": ("{}", "{(,)}", '{["-infinity","4714-11-24 00:00 BC +00"),(epoch,infinity]}'),
    "datemultirange": ("{}", "{(,)}", "{[-infinity,2000-01-01),[2026-01-01,5874897-12-31)}"),
}
FROM_17 = {"interval": ("infinity", "-infinity")}

OUT_OF_LINE = """
    alter table {table} add filler text;
    alter table {table} alter filler set storage external;
    insert into {table} (filler) select repeat(n::text, 1000000) from generate_series(1, 9) n;
"""
"""Large enough to be copied in parts."""


def extremes(major: int, *, without: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """By type, what a server of this major version takes; not of the types that it was built without."""
    later = FROM_17 if major >= 17 else {}
    left_out = set(without)
    return {name: values + later.get(name, ()) for name, values in EXTREMES.items() if name not in left_out}


def script(values: Mapping[str, tuple[str, ...]]) -> str:
    """The schema `types`: values and arrays of them; small ones, and large ones in binary and as text."""
    stable = {name: found for name, found in values.items() if f"pg_catalog.{name}" in BINARY_TYPES}
    others = {name: found for name, found in values.items() if name not in stable}
    made = ["create schema types;"]
    for name, chosen in {"stable": stable, "other": others}.items():
        columns = one_each(chosen) | arrays(chosen)
        made += [table_of(f"types.{name}", columns), table_of(f"types.{name}_large", columns)]
        made.append(OUT_OF_LINE.format(table=f"types.{name}_large"))
    return "\n".join(made)


def one_each(values: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, list[str]]]:
    """Of each type one column, and what stands in its rows."""
    return {name: (quoted(name), [cast(v, name) for v in found]) for name, found in values.items()}


def arrays(values: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, list[str]]]:
    """Of each type a column of arrays: none, empty, all with a null, two dimensions, odd lower bounds."""
    return {
        f"{name}[]": (
            f"{quoted(name)}[]",
            [
                "null",
                "'{}'",
                f"array[{', '.join([cast(v, name) for v in found])}, null]",
                f"array[[{cast(found[0], name)}, null], [null, {cast(found[-1], name)}]]",
                f"array_fill({cast(found[-1], name)}, array[2, 1, 2], array[-7, 0, 2147483000])",
            ],
        )
        for name, found in values.items()
    }


def table_of(table: str, columns: Mapping[str, tuple[str, list[str]]]) -> str:
    defined = ", ".join(f'"{name}" {of}' for name, (of, _) in columns.items())
    lines = [f"create table {table} ({defined});"]
    for n in range(max(len(found) for _, found in columns.values())):
        row = [found[n] if n < len(found) else "null" for _, found in columns.values()]
        lines.append(f"insert into {table} values ({', '.join(row)});")
    return "\n".join(lines)


def quoted(name: str) -> str:
    return f'pg_catalog."{name}"'


def cast(value: str, name: str) -> str:
    escaped = re.sub(r"([\\'])", r"\1\1", value)
    return f"E'{escaped}'::{quoted(name)}"

"""What the servers can give at most: the rows out of PostgreSQL, into it, bytes into S3 and out; nothing else is done.

    python -m benchmarks.speed.limits      what to do as JSON on stdin, its Cost as JSON on stdout

Hands are processes, as many as cores; each takes one page range, or one object, after another.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import asyncpg
import psycopg

from benchmarks.speed.measure import Cost, apart, own
from shared.storage import s3

PAGES = 8192
OBJECT_BYTES = 8 << 20
COPY_PIECE = 256 << 10

# ruff: noqa: S608 - nothing in the query but a constant
RANGES = f"""
select c.oid::regclass::text,
       format('select * from only %s where ctid >= ''(%s,0)''::tid', c.oid::regclass, lo)
       || case when lo + {PAGES} < pages then format(' and ctid < ''(%s,0)''::tid', lo + {PAGES}) else '' end
  from (select oid, (pg_relation_size(oid) / 8192)::int as pages from pg_class
         where relkind = 'r' and relnamespace = 'public'::regnamespace) c,
       generate_series(0, greatest(c.pages - 1, 0), {PAGES}) lo
 order by c.pages desc, lo
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """`what` is one of LIMITS; `folder` keeps the parts from COPY out for COPY in."""

    what: str
    dsn: str
    folder: str
    bucket: str
    bytes: int
    cores: int


def run(limit: Limit, *, environment: Mapping[str, str]) -> Cost:
    return apart("benchmarks.speed.limits", asdict(limit), what=limit.what, environment=environment)


def copy_out(limit: Limit) -> int:
    """COPY TO STDOUT of every range to nowhere."""
    return shared_out(limit, ranges(limit.dsn), _read)


def keep_parts(limit: Limit) -> int:
    """The same into files, for `copy_in`; not a limit of anything."""
    found = [
        (table, query, f"{limit.folder}/{number}") for number, (table, query) in enumerate(ranges(limit.dsn))
    ]
    Path(limit.folder, "parts.json").write_text(json.dumps([(table, file) for table, _, file in found]))
    return shared_out(limit, found, _keep)


def copy_in(limit: Limit) -> int:
    """COPY FROM STDIN of every part into tables without indexes."""
    return shared_out(limit, json.loads(Path(limit.folder, "parts.json").read_text()), _load)


def s3_put(limit: Limit) -> int:
    return shared_out(limit, _objects(limit), _put)


def s3_get(limit: Limit) -> int:
    return shared_out(limit, _objects(limit), _get)


LIMITS: Mapping[str, Callable[[Limit], int]] = {
    "COPY out, to nowhere": copy_out,
    "keep parts": keep_parts,
    "COPY in, nothing else": copy_in,
    "S3 put": s3_put,
    "S3 get": s3_get,
}


def ranges(dsn: str) -> list[tuple[str, str]]:
    with psycopg.connect(dsn) as session:
        return [(table, query) for table, query in session.execute(RANGES.encode())]


def shared_out(
    limit: Limit, items: Sequence[Sequence[str]], hand: Callable[[Limit, Sequence[Sequence[str]]], None]
) -> int:
    """Dealt out in turn, the largest first; every hand must end well."""
    context = multiprocessing.get_context("fork")
    hands = [
        context.Process(target=hand, args=(limit, items[number :: limit.cores]))
        for number in range(limit.cores)
    ]
    for each in hands:
        each.start()
    for each in hands:
        each.join()
    if any(each.exitcode for each in hands):
        raise RuntimeError(f"{limit.what}: a hand failed")
    return limit.bytes


def _read(limit: Limit, items: Sequence[Sequence[str]]) -> None:
    async def nowhere(data: bytes) -> None:
        del data

    async def read() -> None:
        session = await asyncpg.connect(limit.dsn)
        for _, query in items:
            await session.copy_from_query(query, output=nowhere, format="binary")
        await session.close()

    asyncio.run(read())


def _keep(limit: Limit, items: Sequence[Sequence[str]]) -> None:
    async def keep() -> None:
        session = await asyncpg.connect(limit.dsn)
        for _, query, file in items:
            await session.copy_from_query(query, output=Path(file), format="binary")
        await session.close()

    asyncio.run(keep())


def _load(limit: Limit, items: Sequence[Sequence[str]]) -> None:
    with psycopg.connect(limit.dsn, autocommit=True) as session, session.cursor() as cursor:
        for table, file in items:
            query = f"copy {table} from stdin (format binary)".encode()
            with Path(file).open("rb") as body, cursor.copy(query) as copy:
                while piece := body.read(COPY_PIECE):
                    copy.write(piece)


def _objects(limit: Limit) -> list[tuple[str, str]]:
    count = max(limit.cores, limit.bytes // OBJECT_BYTES)
    return [(f"limits/{number}", "") for number in range(count)]


def _put(limit: Limit, items: Sequence[Sequence[str]]) -> None:
    storage, body = s3.connect(bucket=limit.bucket), os.urandom(OBJECT_BYTES)
    for key, _ in items:
        storage.put(key, body)


def _get(limit: Limit, items: Sequence[Sequence[str]]) -> None:
    storage = s3.connect(bucket=limit.bucket)
    for key, _ in items:
        storage.get(key)


def main() -> None:
    limit = Limit(**json.load(sys.stdin))
    cost = own(lambda: LIMITS[limit.what](limit))
    sys.stdout.write(json.dumps(asdict(cost)))


if __name__ == "__main__":
    main()

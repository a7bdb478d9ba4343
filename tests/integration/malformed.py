"""Messages that are no requests, made from a seed: each is wrong in one way, and in no two ways the same."""

from __future__ import annotations

import itertools
import json
import random
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.domain.events import Ask
from tests.integration.bus_world import request

Chance = random.Random
LARGE_BYTES = 10_000_000
HOSTILE = (
    "'; drop table job; --",
    "../../etc/passwd",
    "a\x00b",
    "a\nb",
    "\x1b[31m",
    "orders; rm -rf /",
    "$(id)",
    "%s%n",
    "x" * 300,
    "",
    "Größe",
    "\u202egnp",
    "ORDERS",
    "-orders",
)
UNPRINTABLE = ("a\x00b", "a\nb", "\x1b[31m", "\x7f", "", "x" * 256)
WRONG_TYPES: tuple[Any, ...] = (None, 1, 1.5, True, [], {}, ["x"], {"x": "y"})


def body(event: Any) -> bytes:
    return json.dumps(event).encode()


def messages(seed: int, count: int, *, granted: dict[str, Any]) -> list[tuple[str, dict[str, bytes]]]:
    """So many, each with its kind; `granted` is a request whose identity some of them claim."""
    chance = random.Random(seed)  # noqa: S311 - it is to be repeatable
    kinds: dict[str, Callable[[Chance], bytes]] = {
        "bad json": bad_json,
        "wrong type": wrong_type,
        "missing attribute": lambda chance: body(without(chance)),
        "hostile attribute": hostile,
        "wrong data": wrong_data,
        "unknown type": lambda chance: body(ask_for(chance, type=chance.choice(list(unknown_types())))),
        "another time": lambda chance: body(ask_for(chance, time=chance.choice(list(times())))),
        "forged id": lambda chance: body(forged(chance, granted)),
        "invalid utf-8": invalid_utf8,
        "no event": lambda chance: body(
            chance.choice([[], 1, "x", None, [ask_for(chance)], {"task": chance.random()}])
        ),
    }
    made = [
        ("10 MB", {"event": large})
        for large in (b"x" * LARGE_BYTES, large_request(chance), b"[" * LARGE_BYTES)
    ]
    made += [
        ("no field", {"body": body(ask_for(chance))}),
        ("no field", {"EVENT": body(ask_for(chance)), "event ": b"{}"}),
        ("no field", {"headers": b"{}", "properties": b"{}"}),
    ]
    seen: set[bytes] = set()
    for kind in itertools.cycle(kinds):
        if len(made) == count:
            break
        event = kinds[kind](chance)
        if event not in seen:
            seen.add(event)
            made.append((kind, {"event": event}))
    chance.shuffle(made)
    return made


def ask_for(chance: Chance, ask: Ask = Ask.SNAPSHOT, data: Any = None, **attributes: Any) -> dict[str, Any]:
    """A request that would be granted, but for what is changed in it."""
    return request(ask, data, **({"id": f"{chance.getrandbits(128):032x}"} | attributes))


def bad_json(chance: Chance) -> bytes:
    good = body(ask_for(chance))
    ways: list[Callable[[], bytes]] = [
        lambda: good[: chance.randrange(len(good))],
        lambda: good + chance.choice([b"x", b"}", b"{}", b"\x00"]),
        lambda: good.replace(b'"', b"'"),
        lambda: good.replace(b'"data": {}', b'"data": {"labels": NaN}'),
        lambda: b"[" * 100_000,
        lambda: b'{"data":' * 1_000 + b"1" + b"}" * 1_000,
        lambda: good.decode().encode("utf-16"),
        lambda: b"\xef\xbb\xbf" + good + b"\xef\xbb\xbf",
        lambda: b"\x80\x04\x95" + good,
        lambda: good[:5] + bytes([chance.randrange(1, 9)]) + good[5:],
    ]
    return chance.choice(ways)()


def wrong_type(chance: Chance) -> bytes:
    name = chance.choice(
        ["id", "source", "type", "subject", "time", "specversion", "datacontenttype", "data"]
    )
    wrong = [value for value in WRONG_TYPES if not (name == "data" and isinstance(value, dict))]
    return body(ask_for(chance, **{name: chance.choice(wrong)}))


def without(chance: Chance) -> dict[str, Any]:
    event = ask_for(chance)
    del event[chance.choice(["id", "source", "type", "subject", "time", "specversion"])]
    return event


def hostile(chance: Chance) -> bytes:
    name, word = chance.choice(
        [
            ("subject", chance.choice(HOSTILE)),
            ("id", chance.choice(UNPRINTABLE)),
            ("source", chance.choice(UNPRINTABLE)),
            ("specversion", "0.3"),
            ("datacontenttype", "text/xml"),
            ("data_base64", "e30="),
        ]
    )
    return body(ask_for(chance) | {name: word})


def wrong_data(chance: Chance) -> bytes:
    ask, data = chance.choice(
        [
            (Ask.SNAPSHOT, {"lables": {}}),
            (Ask.SNAPSHOT, {"labels": {"a": chance.choice([1, None, [], {}])}}),
            (Ask.SNAPSHOT, {"labels": {"": "x"}}),
            (Ask.SNAPSHOT, {"labels": {"a": "x" * 256}}),
            (Ask.SNAPSHOT, {"labels": {str(n): "x" for n in range(33)}}),
            (Ask.SNAPSHOT, {"labels": {"a": "b\x00"}}),
            (Ask.SNAPSHOT, {"verify": chance.choice(["sometimes", 1, True, ["always"]])}),
            (Ask.SNAPSHOT, {"reason": "schedule", "kept_for": 0}),
            (Ask.RESTORE, {"snapshot_id": chance.choice(HOSTILE)}),
            (Ask.RESTORE, {"snapshot_id": "20261122T195500Z-3f9a2c"}),
            (Ask.RESTORE, {"as_superuser": True}),
            (Ask.RESTORE, {"to": chance.choice(["", "a\x00", "x" * 64, 1])}),
            (Ask.RESTORE, {"at": chance.choice(["yesterday", "1763841300", 1763841300, "2026-11-22"])}),
            (Ask.RESTORE, {"safeguard": chance.choice(["no", 0, None])}),
            (Ask.RESTORE, {"target": "OTHER_URL"}),
            (Ask.UNDO, {}),
            (Ask.UNDO, {"restore_job": chance.choice(["1", str(uuid.UUID(int=chance.getrandbits(128)))])}),
            (Ask.VERIFY, {"digests": "some"}),
            (Ask.CHECK, {"apply": "me"}),
        ]
    )
    return body(ask_for(chance, ask, data))


def unknown_types() -> Iterator[str]:
    for ask in Ask:
        yield ask.type.replace(".v1", ".v2")
        yield ask.type.replace(".v1", "")
        yield ask.type.upper()
        yield f"io.snapfleet.{ask}.accepted.v1"
    yield from ("snapshot.copy", "fleet.tick", "consciousness.prune.requested.v1", "")


def times() -> Iterator[str]:
    now = datetime.now(UTC)
    for late in (timedelta(hours=25), timedelta(days=365), timedelta(days=20_000)):
        yield (now - late).isoformat()
        yield (now + late).isoformat()
    yield from ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999999-23:59", "2026-13-01T00:00:00Z")
    yield from ("2026-02-30T00:00:00Z", "2026-11-22T19:55:00", "now", "1763841300", "2026-11-22 19:55:00Z")


def forged(chance: Chance, granted: dict[str, Any]) -> dict[str, Any]:
    """Under the name of a request that was granted, something else."""
    return granted | chance.choice(
        [
            {"type": Ask.RESTORE.type},
            {"type": Ask.VERIFY.type},
            {"data": {"labels": {"n": str(chance.random())}}},
            {"data": {"verify": "never"}},
            {"subject": "another"},
        ]
    )


def invalid_utf8(chance: Chance) -> bytes:
    good = body(ask_for(chance, data={"labels": {"a": "here"}}))
    bad = chance.choice(
        [b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\\ud800", b"\xc0\xaf"]
    )
    return good.replace(b"here", bad)


def large_request(chance: Chance) -> bytes:
    return body(ask_for(chance, data={"labels": {"a": "x" * LARGE_BYTES}}))

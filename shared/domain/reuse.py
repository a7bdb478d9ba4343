"""Which parts of an earlier snapshot a new one takes over without reading them.

A part is the same when all of these hold, and is read where one does not:

* its table is the same file, defined alike, on the same life of the same server;
* every transaction that had written before the base's place in the log had ended when the base was taken;
* unbroken summaries lead from that place to one behind the new snapshot, and none names a page of the range.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from shared.domain.increments import HowRead, Origin, Server, Share, TableState
from shared.domain.manifest import Manifest, Part
from shared.domain.parts import PartSpec, Table, digested
from shared.domain.proof import Digests

WHOLE = 2**32
"""More pages than a table can have: the width of a range that does not end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One file of the server's: what changed from `start` on and before `end`."""

    timeline: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Of one table, by numbers of ranges of equal width; from `limit` on every page may have changed."""

    ranges: frozenset[int] = field(default_factory=frozenset)
    limit: int | None = None


NO_CHANGES = Changes()


def chain(
    summaries: Iterable[Summary], *, timeline: int, since: int, upto: int
) -> tuple[Summary, ...] | None:
    """Those that lead from one place in the log to the other without a gap; None where there is one."""
    of_it = (each for each in summaries if each.timeline == timeline and each.end > since)
    chosen, covered = list[Summary](), since
    for each in sorted(of_it, key=lambda each: (each.start, each.end)):
        if covered >= upto:
            break
        if each.start > covered:
            return None
        chosen.append(each)
        covered = max(covered, each.end)
    return tuple(chosen) if covered >= upto else None


def obstacle(base: Manifest, server: Server) -> str | None:
    """Why nothing of an earlier snapshot can be taken over, whatever changed."""
    if base.base is None:
        return f"snapshot {base.id} cannot be built on"
    then = base.base.server
    if then.system_identifier != server.system_identifier or then.database_oid != server.database_oid:
        return f"snapshot {base.id} is of another server or database"
    if then.timeline != server.timeline:
        return f"the server is on another timeline than when snapshot {base.id} was taken"
    if then.started_at != server.started_at:
        return f"the server has been started again since snapshot {base.id}"
    return None


def widths(specs: Iterable[PartSpec]) -> Mapping[tuple[str, str], int]:
    """How many pages each range of a table has, by schema and name."""
    return {
        spec.key: WHOLE if spec.end_page is None else spec.end_page for spec in specs if spec.first_page == 0
    }


def reusable(
    specs: Sequence[PartSpec],
    *,
    base: Manifest,
    now: Iterable[TableState],
    changes: Mapping[int, Changes],
    undigested: frozenset[int],
) -> Mapping[int, Part]:
    """Parts to take over, by the numbers that they get. `changes` are by filenode.

    `undigested` are the numbers of parts that may come without a digest.
    """
    if base.base is None:
        return {}
    then = {(t.schema, t.name): t for t in base.base.tables}
    same = {(t.schema, t.name): t for t in now if then.get((t.schema, t.name)) == t}
    known = {key_of(part.spec): part for part in base.parts}
    wide = widths(specs)
    taken: dict[int, Part] = {}
    for spec in specs:
        table, part = same.get(spec.key), known.get(key_of(spec))
        if table is None or part is None:
            continue
        if part.digest is None and spec.number not in undigested:
            continue
        width = wide[spec.key]
        if not is_touched(spec, changes.get(table.filenode, NO_CHANGES), width=width):
            taken[spec.number] = replace(part, spec=spec, origin=Origin.UNREAD)
    return taken


def is_touched(spec: PartSpec, changes: Changes, *, width: int) -> bool:
    """Whether a page of the range may have changed."""
    if changes.limit is not None and (spec.end_page is None or changes.limit < spec.end_page):
        return True
    first = spec.first_page // width
    if spec.end_page is None:
        return any(number >= first for number in changes.ranges)
    return first in changes.ranges


def key_of(spec: PartSpec) -> PartSpec:
    """What a part is of, whatever its number."""
    return replace(spec, number=0)


def without_digest(
    specs: Iterable[PartSpec],
    tables: Iterable[Table],
    choice: Digests,
    *,
    digestible: Iterable[tuple[str, str]],
) -> frozenset[int]:
    """Numbers of the parts that may be taken over without a digest.

    Of a large table of which a sample is digested a part keeps what it had when it was read, a digest or none.
    """
    whole, known = digested(tables, choice), frozenset(digestible)
    return frozenset(
        spec.number
        for spec in specs
        if choice is Digests.NONE
        or spec.key not in known
        or not (spec.key in whole or spec.first_page == 0 or spec.end_page is None)
    )


def differing(taken_over: Mapping[int, Part], read: Iterable[Part]) -> tuple[Part, ...]:
    """Of the parts that could have been taken over, those that turned out otherwise when they were read."""
    found = {part.spec.number: part for part in read}
    return tuple(
        part
        for number, part in sorted(taken_over.items())
        if (found[number].row_count, names(found[number])) != (part.row_count, names(part))
    )


def names(part: Part) -> tuple[str, ...]:
    return tuple(chunk.contents_sha256 for chunk in part.chunks)


def how_read(manifest: Manifest) -> HowRead | None:
    """How a snapshot was read; None of one of an earlier release."""
    increment = manifest.increment
    if increment is None:
        return None
    return HowRead(
        unread=share(manifest, Origin.UNREAD),
        known=share(manifest, Origin.KNOWN),
        new=share(manifest, Origin.NEW),
        built_on=increment.built_on,
        unchecked=increment.unchecked,
        is_base=increment.base is not None,
        reason=increment.reason,
        not_base=increment.not_base,
    )


def share(manifest: Manifest, origin: Origin) -> Share:
    those = [part for part in manifest.parts if part.origin is origin]
    return Share(parts=len(those), raw_bytes=sum(chunk.raw_bytes for part in those for chunk in part.chunks))

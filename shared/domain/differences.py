"""What was restored beside what was recorded: every difference as a sentence, and nothing that is equal.

Pure: both sides are read elsewhere, by the same statements.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from shared.domain.evidence import Evidence, LargeObjects, Rights
from shared.domain.manifest import Grant, Properties, SequencePosition, Setting
from shared.domain.wording import counted

PUBLIC_LOCKED, MAINTAIN = 15, 17
"""The major versions from which on not everybody may create in the schema public, and there is MAINTAIN."""


def in_rows(recorded: Mapping[str, int], found: Mapping[str, int]) -> Iterator[str]:
    """By table."""
    for name in sorted(recorded.keys() | found.keys()):
        if recorded.get(name) != found.get(name):
            here = counted(found[name], "row") if name in found else "no rows"
            there = f"{recorded[name]:,}" if name in recorded else "none"
            yield f"{name} has {here} instead of {there}"


def in_position(recorded: SequencePosition, found: SequencePosition, *, ascending: bool) -> Iterator[str]:
    """A sequence may be further than recorded, for it moves outside of transactions; never behind."""
    sign = 1 if ascending else -1
    now, then = ((sign * each.last_value, each.is_called) for each in (found, recorded))
    if now < then:
        name = f"{recorded.schema}.{recorded.name}"
        yield f"sequence {name} is behind, at {found.last_value} instead of {recorded.last_value}"


def in_extensions(recorded: Iterable[str], found: Iterable[str]) -> Iterator[str]:
    """By name: which version is installed is decided by the server, and noted elsewhere."""
    there, here = versions(recorded), versions(found)
    yield from (f"extension {name} is missing" for name in sorted(there.keys() - here.keys()))
    yield from (f"extension {name} was not there" for name in sorted(here.keys() - there.keys()))


def notes_on_extensions(recorded: Iterable[str], found: Iterable[str]) -> Iterator[str]:
    there, here = versions(recorded), versions(found)
    for name in sorted(there.keys() & here.keys()):
        if there[name] != here[name]:
            yield f"extension {name} is installed as {here[name]} here, it was {there[name]}"


def versions(extensions: Iterable[str]) -> dict[str, str]:
    return dict(extension.rsplit(" ", 1) for extension in extensions)


def in_properties(recorded: Properties, found: Properties) -> Iterator[str]:
    """Of the database itself."""
    if found.owner != recorded.owner:
        yield f"the database belongs to {found.owner} instead of {recorded.owner}"
    if found.comment != recorded.comment:
        yield "the database has another comment"
    if found.connection_limit != recorded.connection_limit:
        yield f"the database's connection limit is {found.connection_limit} instead of {recorded.connection_limit}"
    lost, new = changed(map(said_of_setting, recorded.settings), map(said_of_setting, found.settings))
    yield from (f"the database has lost the setting {each}" for each in lost)
    yield from (f"the database has a setting of its own: {each}" for each in new)
    lost, new = changed(map(said_of_grant, recorded.grants or ()), map(said_of_grant, found.grants or ()))
    yield from (f"the database has lost a privilege: {each}" for each in lost)
    yield from (f"the database has a privilege of its own: {each}" for each in new)


def said_of_setting(setting: Setting) -> str:
    return f"{setting.name} = {setting.value}" + (f" for {setting.role}" if setting.role else "")


def said_of_grant(grant: Grant) -> str:
    return f"{grant.grantee or 'public'} {grant.privilege}" + (
        " with grant option" if grant.grantable else ""
    )


def changed(recorded: Iterable[str], found: Iterable[str]) -> tuple[Sequence[str], Sequence[str]]:
    """What is missing, and what is there besides."""
    then, now = set(recorded), set(found)
    return sorted(then - now), sorted(now - then)


def in_evidence(
    recorded: Evidence, found: Evidence, *, usual_owner: str, majors: tuple[int, int]
) -> Iterator[str]:
    """`majors` are the versions of the source and of the server that it was restored to."""
    yield from in_large_objects(recorded.large_objects, found.large_objects)
    yield from in_rights(recorded.rights, found.rights, usual_owner=usual_owner, majors=majors)
    # What was invalid at the source may well be so here too, or be mended by having been made anew; those are
    # not among the indexes that were counted.
    mended, invalid = changed(recorded.invalid_indexes, found.invalid_indexes)
    for kind in sorted(recorded.counts.keys() | found.counts.keys()):
        then, now = recorded.counts.get(kind, 0), found.counts.get(kind, 0)
        if not then <= now <= then + (len(mended) if kind == "indexes" else 0):
            yield f"the number of {kind} is {now} instead of {then}"
    yield from (f"index {name} is invalid" for name in invalid)
    _, unvalidated = changed(recorded.unvalidated_constraints, found.unvalidated_constraints)
    yield from (f"constraint {name} is not validated" for name in unvalidated)
    lost, new = changed(recorded.unlogged_tables, found.unlogged_tables)
    yield from (f"table {name} is not unlogged any more" for name in lost)
    yield from (f"table {name} has become unlogged" for name in new)


def in_large_objects(recorded: LargeObjects, found: LargeObjects) -> Iterator[str]:
    if found.count != recorded.count:
        yield f"there are {found.count} large objects instead of {recorded.count}"
    elif found.total_bytes != recorded.total_bytes:
        yield f"large objects have {counted(found.total_bytes, 'byte')} instead of {recorded.total_bytes:,}"
    elif recorded.digest != found.digest and found.digest_of is recorded.digest_of:
        yield "large objects hold other bytes than those that were recorded"


def in_rights(
    recorded: Iterable[Rights], found: Iterable[Rights], *, usual_owner: str, majors: tuple[int, int]
) -> Iterator[str]:
    """Who owns what, and who may do what. What is not listed is the database owner's, as by default."""
    there, here = ({(r.kind, r.name): r for r in side} for side in (recorded, found))
    for kind, name in sorted(there.keys() | here.keys()):
        if (kind, name) == ("schema", "public") and straddle(majors, PUBLIC_LOCKED):
            continue
        then, now = there.get((kind, name)), here.get((kind, name))
        owners = [each.owner if each else usual_owner for each in (then, now)]
        if owners[0] != owners[1]:
            yield f"{kind} {name} belongs to {owners[1]} instead of {owners[0]}"
        lost, new = changed(privileges(then, majors), privileges(now, majors))
        yield from (f"{kind} {name} lacks the {said(change)}" for change in lost)
        yield from (f"{kind} {name} has a {said(change)} of its own" for change in new)


def privileges(rights: Rights | None, majors: tuple[int, int]) -> Iterator[str]:
    """Without those that only one of the two servers knows: `all` has become more."""
    for change in rights.changes if rights else ():
        if not (" MAINTAIN" in change and straddle(majors, MAINTAIN)):
            yield change


def straddle(majors: tuple[int, int], first: int) -> bool:
    """Whether something that began with this major version is there on one side only."""
    return min(majors) < first <= max(majors)


def said(change: str) -> str:
    return f"{'grant' if change[0] == '+' else 'revocation'} {change[1:]}"

"""When a proof is due, what a sample takes, and what is a difference: decided without a server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain import differences, parts
from shared.domain.evidence import METHOD, Evidence, LargeObjects, Rights
from shared.domain.manifest import Grant, Properties, SequencePosition, Setting
from shared.domain.parts import Column, Table
from shared.domain.proof import SMALL_BYTES, Digests, VerifyPolicy, is_due, is_sampled

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
GIB = 2**30


@pytest.mark.parametrize(
    ("policy", "raw_bytes", "hours", "due"),
    [
        (VerifyPolicy.ALWAYS, 10**15, 0, True),
        (VerifyPolicy.NEVER, 1, None, False),
        (VerifyPolicy.DAILY, 1, None, True),
        (VerifyPolicy.DAILY, 1, 18, False),
        (VerifyPolicy.DAILY, 1, 24, True),
        (VerifyPolicy.SIZE, SMALL_BYTES, 0, True),
        (VerifyPolicy.SIZE, SMALL_BYTES + 1, 18, False),
        (VerifyPolicy.SIZE, SMALL_BYTES + 1, 24, True),
        (VerifyPolicy.SIZE, SMALL_BYTES + 1, None, True),
    ],
)
def test_a_proof_is_due_by_policy_size_and_the_age_of_what_is_proven(
    policy: VerifyPolicy, raw_bytes: int, hours: int | None, due: bool
) -> None:
    newest = None if hours is None else NOON - timedelta(hours=hours)
    assert is_due(policy, raw_bytes=raw_bytes, taken_at=NOON, newest_proven=newest) is due


def test_a_snapshot_taken_daily_at_one_minute_is_proven_daily_though_clocks_tremble() -> None:
    yesterday = NOON - timedelta(hours=24) + timedelta(seconds=30)
    assert is_due(VerifyPolicy.DAILY, raw_bytes=1, taken_at=NOON, newest_proven=yesterday)


def table(name: str, *, heap_bytes: int) -> Table:
    return Table(
        schema="s",
        name=name,
        is_tree=False,
        columns=(Column(name="n", type_name="pg_catalog.int4"),),
        heap_pages=heap_bytes // 8192,
        page_bytes=8192,
        heap_bytes=heap_bytes,
        toast_bytes=0,
        splittable=True,
    )


def test_a_sample_is_all_of_a_small_table_and_of_a_large_one_its_ends_and_a_sixteenth() -> None:
    tables = [table("small", heap_bytes=GIB // 16), table("large", heap_bytes=GIB)]
    specs = parts.split(tables, part_bytes=2**20)
    taken = parts.sample(specs, tables, Digests.SAMPLE, seed="a snapshot")
    small, large = ([spec.number for spec in specs if spec.table == name] for name in ("small", "large"))
    assert taken.issuperset(small)
    assert taken.issuperset({large[0], large[-1]})
    assert len(large) / 32 < len(taken.intersection(large)) < len(large) / 8
    assert parts.sample(specs, tables, Digests.SAMPLE, seed="a snapshot") == taken
    assert parts.sample(specs, tables, Digests.SAMPLE, seed="the next one") != taken
    assert parts.sample(specs, tables, Digests.ALL, seed="a snapshot") == {spec.number for spec in specs}
    assert parts.sample(specs, tables, Digests.NONE, seed="a snapshot") == frozenset()


def test_samples_of_many_snapshots_take_every_part() -> None:
    assert all(any(is_sampled(f"snapshot {day}", number) for day in range(200)) for number in range(100))


def rights(*changes: str, kind: str = "table", name: str = "s.t", owner: str = "me") -> Rights:
    return Rights(kind=kind, name=name, owner=owner, changes=changes)


def in_rights(then: list[Rights], now: list[Rights], *, majors: tuple[int, int] = (18, 18)) -> list[str]:
    return list(differences.in_rights(then, now, usual_owner="me", majors=majors))


def test_rights_differ_by_owner_and_by_each_change_from_the_default() -> None:
    then, now = [rights("+a SELECT", "-public EXECUTE", owner="b")], [rights("+c SELECT")]
    assert in_rights(then, now) == [
        "table s.t belongs to me instead of b",
        "table s.t lacks the grant a SELECT",
        "table s.t lacks the revocation public EXECUTE",
        "table s.t has a grant c SELECT of its own",
    ]
    assert in_rights(then, then) == []
    assert in_rights([], []) == []
    # One that is not listed is its usual owner's, under the usual privileges.
    assert in_rights([rights(owner="b")], []) == ["table s.t belongs to me instead of b"]
    assert in_rights([], [rights()]) == []


def test_what_only_one_of_two_versions_knows_is_no_difference() -> None:
    maintain = [rights("+a MAINTAIN", "+a SELECT")], [rights("+a SELECT")]
    public: tuple[list[Rights], list[Rights]] = (
        [rights("-public CREATE", kind="schema", name="public")],
        [],
    )
    assert in_rights(*maintain, majors=(18, 15)) == []
    assert in_rights(*maintain, majors=(17, 18)) == ["table s.t lacks the grant a MAINTAIN"]
    assert in_rights(*public, majors=(14, 18)) == []
    assert in_rights(*public, majors=(15, 18)) != []


EVIDENCE = Evidence(
    method=METHOD,
    large_objects=LargeObjects(count=2, total_bytes=9, digest_of=Digests.ALL, digest="5"),
    rights=(),
    counts={"tables": 3},
    invalid_indexes=("i",),
    unvalidated_constraints=("c on t",),
    unlogged_tables=("u",),
)


def test_a_restore_is_not_blamed_for_what_was_invalid_at_its_source() -> None:
    mended = replace(EVIDENCE, invalid_indexes=(), unvalidated_constraints=())

    def found(then: Evidence, now: Evidence) -> list[str]:
        return list(differences.in_evidence(then, now, usual_owner="me", majors=(18, 18)))

    assert found(EVIDENCE, EVIDENCE) == []
    assert found(EVIDENCE, mended) == []
    assert found(mended, EVIDENCE) == ["index i is invalid", "constraint c on t is not validated"]


@pytest.mark.parametrize("indexes", range(2, 6))
def test_an_index_that_was_invalid_at_its_source_may_be_mended_and_so_counted(indexes: int) -> None:
    then = replace(EVIDENCE, counts={"indexes": 3, "tables": 3})
    now = replace(then, counts={"indexes": indexes, "tables": 3}, invalid_indexes=())
    said = [] if indexes in {3, 4} else [f"the number of indexes is {indexes} instead of 3"]
    assert list(differences.in_evidence(then, now, usual_owner="me", majors=(18, 18))) == said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"count": 1, "total_bytes": 4, "digest": "4"}, "there are 1 large objects instead of 2"),
        ({"total_bytes": 8, "digest": "4"}, "large objects have 8 bytes instead of 9"),
        ({"digest": "4"}, "large objects hold other bytes than those that were recorded"),
        ({"digest_of": Digests.NONE, "digest": None}, None),
    ],
)
def test_large_objects_differ_by_number_else_size_else_content(
    changed: dict[str, object], said: str | None
) -> None:
    then = EVIDENCE.large_objects
    now = replace(then, **changed)  # type: ignore[arg-type]  # names and values belong together in the list
    assert list(differences.in_large_objects(then, now)) == ([said] if said else [])


PROPERTIES = Properties(
    owner="me",
    comment=None,
    connection_limit=-1,
    grants=(Grant(grantee="", privilege="CONNECT", grantable=False),),
    settings=(Setting(role=None, name="work_mem", value="5MB"),),
)


def test_every_property_of_the_database_is_compared() -> None:
    now = Properties(
        owner="you",
        comment="new",
        connection_limit=3,
        grants=None,
        settings=(Setting(role="a", name="work_mem", value="5MB"),),
    )
    assert list(differences.in_properties(PROPERTIES, PROPERTIES)) == []
    assert list(differences.in_properties(PROPERTIES, now)) == [
        "the database belongs to you instead of me",
        "the database has another comment",
        "the database's connection limit is 3 instead of -1",
        "the database has lost the setting work_mem = 5MB",
        "the database has a setting of its own: work_mem = 5MB for a",
        "the database has lost a privilege: public CONNECT",
    ]


@pytest.mark.parametrize(
    ("ascending", "value", "is_called", "is_behind"),
    [
        (True, 40, True, False),
        (True, 41, False, False),
        (True, 40, False, True),
        (True, 39, True, True),
        (False, 39, True, False),
        (False, 41, True, True),
    ],
)
def test_a_sequence_may_be_ahead_and_never_behind(
    ascending: bool, value: int, is_called: bool, is_behind: bool
) -> None:
    then = SequencePosition(schema="s", name="q", last_value=40, is_called=True)
    now = replace(then, last_value=value, is_called=is_called)
    assert bool(list(differences.in_position(then, now, ascending=ascending))) is is_behind


def test_another_version_of_an_extension_is_noted_and_another_extension_is_a_difference() -> None:
    then, now = ("a 1.0", "b 1.0"), ("b 1.1", "c 1.0")
    assert list(differences.in_extensions(then, now)) == [
        "extension a is missing",
        "extension c was not there",
    ]
    assert list(differences.notes_on_extensions(then, now)) == [
        "extension b is installed as 1.1 here, it was 1.0"
    ]

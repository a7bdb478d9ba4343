"""What is known of a snapshot beside its manifest, and in which order snapshots of lost catalogs come."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import standing
from shared.domain.snapshot import Reason, Snapshot, SnapshotState
from shared.domain.standing import Standing
from shared.errors import Damaged

NOW = datetime(2026, 11, 22, 19, 55, tzinfo=UTC)
SNAPSHOT = Snapshot(
    id="20261122T195500Z-3f9a2c",
    database="orders",
    sequence=7,
    state=SnapshotState.SEALED,
    reason=Reason.GUARD,
    labels={"release": "1.4", "who": "über"},
    pinned=True,
    created_at=NOW,
    sealed_at=NOW,
    manifest_sha256="ab" * 32,
    suspicions=("half of the rows are gone",),
    verified_at=NOW,
)
BODY = standing.encode(Standing.of(SNAPSHOT))


def test_what_was_written_is_read_back() -> None:
    assert standing.decode(BODY) == Standing.of(SNAPSHOT)


@pytest.mark.parametrize("body", [b"", b"{}", BODY[:-9], BODY.replace(b'"format": 1', b'"format": 2')])
def test_what_cannot_be_read_is_damaged(body: bytes) -> None:
    with pytest.raises(Damaged) as raised:
        standing.decode(body)
    assert raised.value.code == "standing_damaged"


def known(sequence: int, minute: int) -> Standing:
    return replace(Standing.of(SNAPSHOT), sequence=sequence, created_at=NOW + timedelta(minutes=minute))


def ordered(standings: dict[str, Standing | None]) -> list[str]:
    made = {id_: standing.made_at(id_, found) for id_, found in standings.items()}
    return standing.in_order(standings, made=made)


def test_sequence_goes_before_time_and_time_places_those_without_one() -> None:
    """The clock went back between the second and the third."""
    found = {
        "20261122T195700Z-000000": None,
        "second": known(2, 5),
        "third": known(3, 1),
        "first": known(1, 0),
    }
    assert ordered(found) == ["first", "20261122T195700Z-000000", "second", "third"]


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=12), st.data())
def test_merging_keeps_each_historys_own_order(made: list[tuple[int, bool]], data: st.DataObject) -> None:
    times = {str(number): NOW + timedelta(minutes=minute) for number, (minute, _) in enumerate(made)}
    first = data.draw(st.permutations([str(n) for n, (_, ours) in enumerate(made) if ours]))
    second = data.draw(st.permutations([str(n) for n, (_, ours) in enumerate(made) if not ours]))
    together = standing.merged(first, second, made=times)
    assert sorted(together) == sorted(times)
    assert [id_ for id_ in together if id_ in first] == first
    assert [id_ for id_ in together if id_ in second] == second

"""The chain of the audit: what is done to it shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import audit
from shared.domain.access import Actor
from shared.domain.audit import EMPTY, Act, Entry, Examination, Fault, Head

BEGAN = datetime(2026, 11, 23, 4, 5, 6, 7, tzinfo=UTC)
ANN = Actor(name="ann", origin="cli:bastion")
COUNT = 8


def chain(count: int = COUNT, **changed: Any) -> list[Entry]:
    entries, head = list[Entry](), EMPTY
    for number in range(count):
        act = Act(by=ANN, action="snapshot.pinned", details={"number": number} | changed)
        entries.append(audit.chained(act, after=head, at=BEGAN + timedelta(seconds=number)))
        head = entries[-1].head
    return entries


WHOLE = chain()


def faults(entries: Sequence[Entry], *kept: Head) -> list[tuple[Fault, int | None]]:
    examination = Examination(kept)
    found = [*examination.read(entries), *examination.end()]
    return [(finding.fault, finding.seq) for finding in found]


def test_a_whole_chain_is_whole_and_its_head_is_its_last_entry() -> None:
    examination = Examination([WHOLE[2].head, WHOLE[-1].head])
    assert [*examination.read(WHOLE), *examination.end()] == []
    assert (examination.head, examination.count) == (WHOLE[-1].head, COUNT)
    assert faults([]) == []


def test_an_entry_is_hashed_as_the_documentation_says() -> None:
    """By hand, without any function of ours."""
    first, second = WHOLE[:2]
    said = {
        "seq": 2,
        "at": "2026-11-23T04:05:07.000007Z",
        "actor": "ann",
        "origin": "cli:bastion",
        "action": "snapshot.pinned",
        "outcome": "done",
        "database": None,
        "job_id": None,
        "details": {"number": 1},
        "previous": first.hash,
    }
    body = json.dumps(said, sort_keys=True, separators=(",", ":")).encode("ascii")
    assert second.hash == hashlib.sha256(body).hexdigest()
    assert first.previous == "0" * 64


@pytest.mark.parametrize(
    "changed",
    [
        {"at": BEGAN + timedelta(days=1)},
        {"actor": "eve"},
        {"origin": "cli:elsewhere"},
        {"action": "snapshot.unpinned"},
        {"outcome": "failed"},
        {"database": "orders"},
        {"job_id": "7f2c0f0e-3a34-4a3f-8a3b-6f3f3a3f9d11"},
        {"details": {"number": 4}},
        {"details": {}},
    ],
)
def test_whatever_of_an_entry_is_changed_is_found(changed: dict[str, Any]) -> None:
    assert faults([*WHOLE[:3], replace(WHOLE[3], **changed), *WHOLE[4:]]) == [(Fault.CHANGED, 4)]


def test_an_entry_that_is_changed_and_hashed_anew_is_found_at_the_next_one() -> None:
    forged = replace(WHOLE[3], actor="eve")
    forged = replace(forged, hash=audit.digest(forged))
    assert faults([*WHOLE[:3], forged, *WHOLE[4:]]) == [(Fault.BROKEN, 5)]


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        (WHOLE[1:], [(Fault.MISSING, 1)]),
        ([*WHOLE[:3], *WHOLE[4:]], [(Fault.MISSING, 4)]),
        ([*WHOLE[:2], *WHOLE[6:]], [(Fault.MISSING, 3)]),
    ],
)
def test_removed_entries_are_found(entries: Sequence[Entry], found: object) -> None:
    assert faults(entries) == found


def renumbered(entries: Sequence[Entry], *, hashed: bool) -> list[Entry]:
    """One after the other, as somebody would write them who hides that one is gone, or has come."""
    made = [replace(each, seq=number) for number, each in enumerate(entries, start=1)]
    return [replace(each, hash=audit.digest(each)) for each in made] if hashed else made


@pytest.mark.parametrize("hashed", [False, True])
@pytest.mark.parametrize(
    "tampered",
    [
        lambda whole: [*whole[:3], *whole[4:]],
        lambda whole: [*whole[:3], replace(whole[5], actor="eve"), *whole[3:]],
        lambda whole: [*whole[:3], whole[4], whole[3], *whole[5:]],
        lambda whole: [*whole[:3], whole[3], *whole[3:]],
    ],
    ids=["removed", "inserted", "moved", "doubled"],
)
def test_to_number_entries_anew_hides_nothing(
    tampered: Callable[[list[Entry]], list[Entry]], hashed: bool
) -> None:
    found = faults(renumbered(tampered(WHOLE), hashed=hashed))
    assert {fault for fault, _ in found} & {Fault.BROKEN, Fault.CHANGED}
    assert min(seq for _, seq in found if seq is not None) in {4, 5}


def test_a_tail_that_was_cut_off_is_found_by_a_head_that_was_kept() -> None:
    assert faults(WHOLE[:5]) == []
    assert faults(WHOLE[:5], WHOLE[4].head) == []
    assert faults(WHOLE[:5], WHOLE[6].head) == [(Fault.TRUNCATED, 6)]
    assert faults([], WHOLE[6].head) == [(Fault.TRUNCATED, 1)]


def test_a_chain_that_was_written_anew_from_its_first_entry_is_found_by_a_head_that_was_kept() -> None:
    forged = chain(COUNT + 3, forged=True)
    assert faults(forged) == []
    assert faults(forged, WHOLE[6].head) == [(Fault.REWRITTEN, 7)]


def test_a_head_is_read_as_it_is_shown() -> None:
    head = WHOLE[3].head
    assert audit.parse_head(f" {head}\n") == head
    for text in ("", "4", f"x:{head.hash}", f"4:{head.hash[:-1]}", f"٤:{head.hash}"):
        assert audit.parse_head(text) is None


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.text(), st.text(), st.dictionaries(st.text(), PLAIN, max_size=4), st.integers(-23, 23))
def test_whatever_is_written_has_the_same_bytes_when_it_is_read_again(
    name: str, origin: str, details: dict[str, Any], zone: int
) -> None:
    """As the catalog stores it: text in UTF-8 without a zero, JSON as text, a moment in any zone."""
    at = BEGAN.astimezone(timezone(timedelta(hours=zone)))
    act = Act(by=Actor(name=name, origin=origin), action="a", details=details)
    made = audit.chained(act, after=EMPTY, at=at)
    assert "\0" not in made.actor.encode().decode() + made.origin.encode().decode()
    read = replace(made, at=at, details=json.loads(json.dumps(made.details)))
    assert audit.canonical(read) == audit.canonical(made)
    assert audit.digest(read) == made.hash

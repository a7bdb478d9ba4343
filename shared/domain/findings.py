"""What looking at a database and at its snapshots can bring to light: each kind with its meaning and what to do.

A finding is one fact about one thing. `INFO` is good to know, `WARNING` will hurt one day, `ERROR` hurts now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`subject` names the thing, the same as long as it is the same; `amount` how much is wrong with it."""

    code: str
    severity: Severity
    subject: str
    what: str
    means: str
    todo: str
    fixable: bool = False
    """Ours, and safe to be done by `check --fix`."""
    amount: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    severity: Severity
    means: str
    todo: str


def found(
    code: str,
    subject: str,
    what: str,
    *,
    amount: int = 1,
    fixable: bool = False,
    severity: Severity | None = None,
) -> Finding:
    """One finding of a known kind."""
    kind = KINDS[code]
    return Finding(
        code=code,
        severity=severity or kind.severity,
        subject=subject,
        what=what,
        means=kind.means,
        todo=kind.todo,
        fixable=fixable,
        amount=amount,
    )


def worst(findings: Iterable[Finding]) -> Severity | None:
    return max((f.severity for f in findings), key=lambda s: s.rank, default=None)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The worst first, then by code and subject."""
    return tuple(sorted(findings, key=lambda f: (-f.severity.rank, f.code, f.subject)))


def added(before: Iterable[Finding], after: Iterable[Finding]) -> tuple[Finding, ...]:
    """What hurts after and did not before, or less; what is only good to know is left out."""
    amounts = {(f.code, f.subject): f.amount for f in before}
    return in_order(
        f for f in after if f.severity is not Severity.INFO and f.amount > amounts.get((f.code, f.subject), 0)
    )


IN_THE_DATABASE: Mapping[str, Kind] = {
    "unreachable": Kind(
        severity=Severity.ERROR,
        means="nobody who uses the same URL gets in: no snapshot can be taken, and no application works",
        todo="see whether the server runs, and whether URL, password and pg_hba.conf are right",
    ),
    "not_readable": Kind(
        severity=Severity.ERROR,
        means="no snapshot of the database can be taken: one without these would be no copy of it",
        todo="let a superuser grant it: deploy/sql/source.sql has each grant that a snapshot needs",
    ),
    "invalid_index": Kind(
        severity=Severity.WARNING,
        means="its creation broke off: no query uses it, every write pays for it, a unique one enforces nothing",
        todo="reindex index concurrently …, or drop it",
    ),
    "uncounted_index": Kind(
        severity=Severity.WARNING,
        means="two sessions attached parts of it at once, as pg_restore -j does: no foreign key and no ON CONFLICT finds it",
        todo="alter index … attach partition …, with one that it has already: the server counts them anew",
    ),
    "constraint_not_validated": Kind(
        severity=Severity.WARNING,
        means="it holds for new rows only: old ones may break it, and then no snapshot can be restored with it",
        todo="repair the rows, then: alter table … validate constraint …",
    ),
    "foreign_key_disabled": Kind(
        severity=Severity.WARNING,
        means="its triggers are switched off: nobody keeps rows from losing what they refer to",
        todo="repair the rows, then: alter table … enable trigger all",
    ),
    "orphan_rows": Kind(
        severity=Severity.ERROR,
        means="rows refer to rows that do not exist: the constraint cannot be built again by a restore",
        todo="delete these rows, or bring back what they refer to: restore a table beside the live one",
    ),
    "sequence_behind": Kind(
        severity=Severity.ERROR,
        means="the next values that it gives are in its column already: inserts fail, or make doubles",
        todo="select setval('…', (select max(…) from …))",
    ),
    "checksum_failures": Kind(
        severity=Severity.ERROR,
        means="the server has read pages that are not what it wrote: disk, memory or file system is failing",
        todo="restore the newest verified snapshot on other hardware; read the server's log for the places",
    ),
    "index_damaged": Kind(
        severity=Severity.ERROR,
        means="the index contradicts itself: queries miss rows, unique ones let doubles in",
        todo="reindex index concurrently …; where many are, the collation or the hardware has changed",
    ),
    "data_damaged": Kind(
        severity=Severity.ERROR,
        means="the server cannot read what it has written: rows are lost or wrong",
        todo="restore the newest verified snapshot beside the live database, on other hardware, and compare",
    ),
    "indexes_not_checked": Kind(
        severity=Severity.INFO,
        means="whether the indexes are sound was not looked at",
        todo="create extension amcheck, and let the role in the URL execute bt_index_check",
    ),
    "wraparound_near": Kind(
        severity=Severity.WARNING,
        means="old transaction ids are not cleared away: at two billion the server takes no more writes",
        todo="look for old transactions, replication slots and prepared transactions, then: vacuum freeze",
    ),
    "unlogged_table": Kind(
        severity=Severity.INFO,
        means="it is emptied when the server crashes; snapshots hold its rows",
        todo="alter table … set logged, if its rows matter",
    ),
    "not_searched": Kind(
        severity=Severity.INFO,
        means="this took too long, or is not for this role to see: it was looked at in part, or not at all",
        todo="look in a quiet hour, or with a role that may",
    ),
}

OF_SNAPSHOTS: Mapping[str, Kind] = {
    "never_proven": Kind(
        severity=Severity.WARNING,
        means="no real restore has shown yet that there is anything to go back to",
        todo="snapfleet snapshot take; its proof follows by itself unless verify is never",
    ),
    "proof_old": Kind(
        severity=Severity.WARNING,
        means="what has been written since could be lost",
        todo="see why newer snapshots are missing or not verified: snapfleet jobs",
    ),
    "newest_refuted": Kind(
        severity=Severity.ERROR,
        means="a real restore of it gave something else than it recorded",
        todo="snapfleet snapshot show …, then take and verify another one",
    ),
    "newest_suspect": Kind(
        severity=Severity.WARNING,
        means="it looks like the snapshot of a broken database; nothing is pruned until somebody has looked",
        todo="look at the database; if it is right as it is: snapfleet snapshot accept …",
    ),
    "database_blocked": Kind(
        severity=Severity.WARNING,
        means="no snapshots of it are taken",
        todo="look at the database, then: snapfleet unblock …",
    ),
    "manifest_missing": Kind(
        severity=Severity.ERROR,
        means="without its manifest this snapshot cannot be restored",
        todo="look in older versions or copies of the bucket; else take another snapshot",
    ),
    "manifest_replaced": Kind(
        severity=Severity.ERROR,
        means="somebody has written another manifest over it: a restore of it is refused",
        todo="look in older versions or copies of the bucket, see who could write there, and take another snapshot",
    ),
    "manifest_reordered": Kind(
        severity=Severity.ERROR,
        means="what counts as the newest snapshot may be an older one",
        todo="see who could write to the repository or the catalog; restore by id, not the newest",
    ),
    "signature_wrong": Kind(
        severity=Severity.ERROR,
        means="somebody has altered the manifest after it was signed: a restore of it is refused",
        todo="look in older versions or copies of the bucket, see who could write there, and take another snapshot",
    ),
    "signature_missing": Kind(
        severity=Severity.ERROR,
        means="nobody known vouches for it, and signing.required says that somebody must: a restore is refused",
        todo="give all workers that take snapshots signing.key_file; add keys that are missing to signing.public_keys",
    ),
    "chain_damaged": Kind(
        severity=Severity.ERROR,
        means="whether snapshots were removed behind our back cannot be told, and none is pruned",
        todo="see who could write there; then move chain.json away: it is made anew of what the catalog knows",
    ),
    "chain_missing": Kind(
        severity=Severity.WARNING,
        means="a catalog that was lost could not tell which snapshots were removed behind our back",
        todo="nothing: a worker that signs writes it within the hour; if it stays away, see who removes it",
    ),
    "keys_needed": Kind(
        severity=Severity.INFO,
        means="without the identity of one of these keys they are lost",
        todo="keep the identities, one of them far from the fleet",
    ),
    "keys_retired": Kind(
        severity=Severity.INFO,
        means="new snapshots are encrypted for other keys: these need an identity that nothing else needs",
        todo="keep those identities until retention has let these snapshots go",
    ),
    "identity_missing": Kind(
        severity=Severity.WARNING,
        means="this worker restores and proves, and could not do it with these",
        todo="add the file of that identity to encryption.identity_files",
    ),
    "manifest_unknown": Kind(
        severity=Severity.WARNING,
        means="the repository holds a snapshot that the catalog does not know, and retention does not see",
        todo="snapfleet catalog rebuild",
    ),
    "chunk_missing": Kind(
        severity=Severity.ERROR,
        means="the snapshots that need it cannot be restored",
        todo="look in older versions or copies of the bucket; the next snapshot stores it again where it can",
    ),
    "chunk_altered": Kind(
        severity=Severity.ERROR,
        means="what is stored has another size than what was put: the snapshots that need it cannot be restored",
        todo="look in older versions or copies of the bucket; the next snapshot stores it again where it can",
    ),
    "chunk_unknown": Kind(
        severity=Severity.WARNING,
        means="stored objects that nobody will ever use or delete",
        todo="snapfleet check --fix deletes those that are older than a day and in no manifest",
    ),
    "object_unknown": Kind(
        severity=Severity.INFO,
        means="something lies in the repository that is not ours",
        todo="see who put it there; we leave it alone",
    ),
    "upload_open": Kind(
        severity=Severity.WARNING,
        means="a multipart upload that nobody ends is paid for and not seen; we make none",
        todo="snapfleet check --fix ends those in our folders that are older than a day",
    ),
    "repository_unreachable": Kind(
        severity=Severity.ERROR,
        means="no snapshot can be stored or restored",
        todo="see whether the storage answers, and whether its credentials are right",
    ),
}

LEFT_OVER: Mapping[str, Kind] = {
    "side_database": Kind(
        severity=Severity.WARNING,
        means="a job that has ended has left a database behind: it takes room",
        todo="snapfleet check --fix drops it",
    ),
    "side_database_unknown": Kind(
        severity=Severity.INFO,
        means="a database named like ours, of a job that this catalog does not know: perhaps another fleet's",
        todo="drop it by hand if no other fleet uses this server",
    ),
    "parked_database": Kind(
        severity=Severity.WARNING,
        means="what a restore replaced is still there, though its undo window is over or was never noted",
        todo="look whether it holds anything that is needed; then drop it by hand",
    ),
    "backend": Kind(
        severity=Severity.WARNING,
        means="a session of a job that has ended, or of a worker that was superseded, holds its locks and room",
        todo="snapfleet check --fix ends it if it is idle",
    ),
    "lock": Kind(
        severity=Severity.WARNING,
        means="a job that has ended still holds the database's lock in Redis; the lock runs out by itself",
        todo="nothing; if it stays, a worker's clock or Redis is in trouble",
    ),
}

KINDS: Mapping[str, Kind] = {**IN_THE_DATABASE, **OF_SNAPSHOTS, **LEFT_OVER}

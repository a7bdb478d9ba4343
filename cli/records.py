"""What `--json` prints: stable names in snake_case, times in ISO 8601 UTC, sizes in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from shared.catalog.parked import Parked
from shared.catalog.readings import Reading
from shared.catalog.verifications import Verification
from shared.domain import audit
from shared.domain.audit import Entry
from shared.domain.deletion import Deletion
from shared.domain.job import Job
from shared.domain.retention import Plan
from shared.domain.snapshot import Snapshot
from shared.domain.tokens import Token
from shared.operations.databases.preview import RestorePreview
from shared.operations.health.reports import DatabaseReport, JobReport, SnapshotReport
from shared.operations.jobs.requests import Accepted
from shared.operations.trust.auditing import Examined

Record = dict[str, Any]


def time(when: datetime | None) -> str | None:
    return None if when is None else when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def plain(value: Any) -> Any:
    """Times as text, mappings as objects, the rest as it is."""
    if isinstance(value, datetime):
        return time(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value


def snapshot(found: Snapshot) -> Record:
    return {field.name: plain(getattr(found, field.name)) for field in fields(Snapshot)} | {
        "standing": found.standing,
        "how_read": found.how_read and asdict(found.how_read),
    }


def snapshot_report(report: SnapshotReport) -> Record:
    return snapshot(report.snapshot) | {
        "table_rows": dict(report.table_rows),
        "verifications": [verification(each) for each in report.verifications],
        "reading": report.reading and reading(report.reading),
    }


def reading(found: Reading) -> Record:
    return {
        "ended_at": time(found.ended_at),
        "objects": found.objects,
        "differences": list(found.differences),
    }


def verification(found: Verification) -> Record:
    return {field.name: plain(getattr(found, field.name)) for field in fields(Verification)} | {
        "differences": list(found.differences)
    }


def job(found: Job) -> Record:
    return {
        "id": found.id,
        "kind": found.kind,
        "database": found.database,
        "state": found.state,
        "step": None if found.state.is_final else found.step,
        "request": plain(found.request),
        "idempotency_key": found.idempotency_key,
        "attempts": found.attempts,
        "cancel_requested": found.cancel_requested,
        "worker": found.lease_owner,
        "progress": plain(found.progress),
        "result": plain(found.result),
        "error": plain(found.error),
        "created_at": time(found.created_at),
        "deadline_at": time(found.deadline_at),
        "finished_at": time(found.finished_at),
    }


def job_report(report: JobReport) -> Record:
    parts = report.parts
    return job(report.job) | {
        "seconds": report.seconds,
        "steps": [
            {
                "name": step.name,
                "state": step.state,
                "started_at": time(step.started_at),
                "finished_at": time(step.finished_at),
            }
            for step in report.steps
        ],
        "parts": parts
        and {
            "total": parts.total,
            "done": parts.done,
            "expected_bytes": parts.expected_bytes,
            "done_bytes": parts.done_bytes,
        },
        "parked": report.parked and parked(report.parked),
        "verification": report.verification and verification(report.verification),
    }


def parked(found: Parked) -> Record:
    return {
        "name": found.parked_name,
        "live_name": found.live_name,
        "expires_at": time(found.expires_at),
        "dropped_at": time(found.dropped_at),
    }


def check(found: Job) -> Record:
    """One database's findings, the worst first; `worst` is null where there are none."""
    result = plain(found.result)
    return {
        "job": found.id,
        "database": found.database,
        "worst": result.get("worst"),
        "findings": result.get("findings", []),
        "more": result.get("more", 0),
        "fixes": result.get("fixes", []),
    }


def accepted(answer: Accepted) -> Record:
    """`rung` is false where Redis did not answer: the job runs when it is back."""
    return job(answer.job) | {"is_new": answer.is_new, "rung": answer.rung}


def database(report: DatabaseReport) -> Record:
    live = report.live_job
    return {
        "name": report.name,
        "where": report.where,
        "newest_snapshot": report.newest and snapshot(report.newest),
        "newest_proven": report.proven and snapshot(report.proven),
        "restore_seconds": report.restore_seconds,
        "next_slot": time(report.next_slot),
        "missed_slots": report.missed_slots,
        "blocked": report.blocked,
        "live_job": live and {"id": live.id, "kind": live.kind, "state": live.state, "step": live.step},
        "lock_holder": report.lock_holder,
        "lock_known": report.lock_known,
    }


def preview(found: RestorePreview) -> Record:
    return {
        "database": found.database,
        "target": found.target,
        "snapshot": snapshot(found.snapshot),
        "age_seconds": (found.now - found.snapshot.taken_at).total_seconds()
        if found.snapshot.taken_at
        else None,
        "target_server_version": found.target_server_version,
        "where": found.where,
        "sessions_cut": found.sessions_cut,
        "sessions": [
            {"role": group.role, "application": group.application, "count": group.count}
            for group in found.sessions
        ],
        "safeguard": found.safeguard,
        "parked_name": found.parked_name,
        "parked_bytes": found.parked_bytes,
        "parked_until": time(found.parked_until),
        "estimated_seconds": found.estimated_seconds,
        "warm": found.warm is not None,
        "warm_bytes": found.warm_bytes,
        "waits_for": [{"id": each.id, "kind": each.kind, "state": each.state} for each in found.waits_for],
        "missing_roles": list(found.missing_roles),
        "remarks": [remark.facts() for remark in found.remarks],
        "obstacles": [obstacle.facts() for obstacle in found.obstacles],
        "plan_id": None if found.obstacles else found.plan_id,
    }


def deletion(planned: Deletion) -> Record:
    return {
        "snapshot": snapshot(planned.snapshot),
        "obstacle": planned.obstacle,
        "plan_id": None if planned.obstacle else planned.id,
    }


def retention_plan(database_name: str, plan: Plan) -> Record:
    return {
        "database": database_name,
        "plan_id": None if plan.stopped else plan.id,
        "stopped": plan.stopped,
        "verdicts": [
            {"snapshot_id": verdict.snapshot_id, "keep": verdict.keep, "why": verdict.why}
            for verdict in plan.verdicts
        ],
    }


def token(found: Token, now: datetime) -> Record:
    """Without the hash of its secret. `databases` is null where it reaches all."""
    return {
        "name": found.name,
        "role": str(found.role),
        "databases": None if found.databases is None else list(found.databases),
        "state": found.standing(now),
        "created_at": time(found.created_at),
        "expires_at": time(found.expires_at),
        "revoked_at": time(found.revoked_at),
        "last_used_at": time(found.last_used_at),
    }


def audited(entry: Entry) -> Record:
    """All that is hashed, as it is hashed, and the hash: who has this can examine the chain himself."""
    return audit.members(entry) | {"hash": entry.hash}


def examined(seen: Examined) -> Record:
    return {
        "entries": seen.count,
        "head": {"seq": seen.head.seq, "hash": seen.head.hash},
        "findings": [{"fault": str(f.fault), "seq": f.seq, "what": f.what} for f in seen.findings],
    }

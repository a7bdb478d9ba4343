"""Look over a database, its snapshots and what jobs left behind; and, when told to, tidy up what is ours.

    check ─► fix
    looks    only with `apply`: what the check of that id found fixable, if that is still what there is

In a lane of its own: it changes nothing but what nobody uses, and so runs beside everything else.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from shared.catalog.catalog import Transaction
from shared.domain.findings import Finding, Severity, found, in_order, worst
from shared.domain.job import JobKind
from shared.domain.manifest import parse, plain
from shared.errors import SnapfleetError
from shared.operations.databases import integrity
from shared.operations.databases.integrity import Budget
from shared.operations.jobs.saga import Outcome, StepActions, StepRun
from shared.operations.upkeep import reliance, tidying
from shared.postgres.integrity import looking

EACH, ROWS, INDEXES = timedelta(seconds=60), timedelta(minutes=30), timedelta(minutes=30)
"""How long one look, all looks at rows, and all looks at indexes may take."""

MOST = 500
"""Findings that are kept; the worst ones."""

MOST_TOLD = 20
"""Of them in the event; their number is told as well."""


def request(*, apply: str | None = None) -> dict[str, object]:
    """What a check carries: with `apply` the id of the check whose findings it fixes."""
    return {"apply": apply}


def check(run: StepRun) -> Outcome:
    """Every finding, kept as the job's result; those that hurt are told in one event. One server that is away hides no other."""
    if run.job.request.get("apply") is not None:
        return Outcome()
    survey = tidying.survey(run)
    findings = in_order(
        [*reliance.look(run), *of_database(run), *survey.findings],
    )
    result = {
        "findings": [plain(finding, Finding) for finding in findings[:MOST]],
        "more": max(0, len(findings) - MOST),
        "worst": worst(findings),
        "fixes": [plain(fix, tidying.Fix) for fix in survey.fixes],
    }

    hurting = [plain(f, Finding) for f in findings if f.severity is not Severity.INFO]

    def record(tx: Transaction) -> None:
        if hurting:
            data = {"worst": worst(findings), "count": len(hurting), "findings": hurting[:MOST_TOLD]}
            tx.outbox.add("check.finding", database=run.job.database, job_id=run.job.id, data=data)

    return Outcome(result=result, record=record)


def of_database(run: StepRun) -> list[Finding]:
    """What is wrong in it; that it cannot be reached is a finding too."""
    dsn = run.fleet.dsn(run.job.database)
    findings: list[Finding] = []
    try:
        with looking(dsn, application_name=run.name) as session:
            run.report(section="rows")
            findings += integrity.look(session, Budget.of(each=EACH, total=ROWS, check=run.check))
            run.report(section="indexes")
            findings += integrity.indexes(session, Budget.of(each=EACH, total=INDEXES, check=run.check))
    except SnapfleetError as exc:
        run.check()
        findings.append(found("unreachable", dsn.where, exc.message))
    return findings


def findings_in(result: Any) -> tuple[Finding, ...]:
    """What a check has kept, the worst first."""
    return parse(result.get("findings", []), tuple[Finding, ...])


STEPS = {
    (JobKind.CHECK, "check"): StepActions(do=check),
    (JobKind.CHECK, "fix"): StepActions(do=tidying.fix),
}

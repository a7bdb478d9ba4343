"""The audit: who did what, to what, from where, and how it ended."""

from __future__ import annotations

from typing import Annotated, Any, Self

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from api import answers, paging
from api.paging import Before, Limit
from api.permissions import Administrator
from api.shapes import Moment, Shape
from shared.domain.audit import Entry as Written
from shared.operations.trust import auditing

router = APIRouter(prefix="/v1/audit", tags=["audit"])


class Entry(Shape):
    """One act. Each holds the hash of the one before, so that none can be changed or left out unseen."""

    seq: int
    at: Moment
    actor: str = Field(description="The name of a token or a user.", examples=["deploy"])
    origin: str = Field(description="From where.", examples=["api:192.0.2.7"])
    action: str = Field(examples=["restore.requested"])
    outcome: str = Field(examples=["accepted"])
    database: str | None
    job_id: str | None
    details: dict[str, Any]
    previous: str = Field(description="The hash of the entry before.")
    hash: str

    @classmethod
    def of(cls, written: Written) -> Self:
        return cls.model_validate(written)


class AuditPage(Shape):
    """The newest first."""

    items: list[Entry]
    next: str | None = Field(description="Give it as `before` to go on; null on the last page.")


@router.get("", response_model=AuditPage, operation_id="listAudit")
def list_audit(
    *,
    request: Request,
    caller: Administrator,
    database: Annotated[
        str | None, Query(max_length=63, description="Only what was done to this one.", examples=["orders"])
    ] = None,
    actor: Annotated[
        str | None, Query(max_length=300, description="Only what this one did.", examples=["deploy"])
    ] = None,
    action: Annotated[
        str | None,
        Query(max_length=100, description="Only this, or what begins with it.", examples=["restore"]),
    ] = None,
    job_id: Annotated[str | None, Query(description="Only of this job.")] = None,
    before: Before = None,
    limit: Limit = 50,
) -> Response:
    """What was done to the databases that the token reaches, the newest first."""
    if database is not None:
        database = caller.database(database).name
    if job_id is not None:
        job_id = caller.job(job_id).id
    listed = f"audit {database} {actor} {action} {job_id}"
    place: list[Any] = [None] if before is None else paging.decode(before, listed, kinds=(int,))
    found = auditing.listing(
        caller.here.fleet,
        to=caller.principal,
        database=database,
        actor=printable(actor),
        action=printable(action),
        job_id=job_id,
        before=place[0],
        limit=limit + 1,
    )
    page = found[:limit]
    following = paging.encode(listed, [page[-1].seq]) if len(found) > limit else None
    return answers.found(request, AuditPage(items=[Entry.of(each) for each in page], next=following))


def printable(text: str | None) -> str | None:
    """No name has a NUL in it, and the catalog takes none."""
    return None if text is None else text.replace("\x00", "\ufffd")

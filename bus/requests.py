"""Requests as they come in: one model per type, and the only place that reads what publishers wrote.

A request is a CloudEvent 1.0 in structured JSON. Attributes that nobody here knows are allowed in the
envelope, as CloudEvents wants it; in the data they are an error: a misspelt option must not be ignored.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic import ValidationError as Invalid
from pydantic_core import from_json

from shared.domain.database import NAME
from shared.domain.events import Ask, Cause, Request
from shared.errors import Refused

LARGEST_BYTES = 64 * 1024
PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
MOMENT = r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$"
SNAPSHOT_ID = r"^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}$"
LABELS = 32


def _moment(given: object) -> datetime:
    """RFC 3339 and nothing else: a bare number is no moment, though many parsers take it for one."""
    if not isinstance(given, str) or re.fullmatch(MOMENT, given) is None:
        raise ValueError("a moment is written as in 2026-11-22T19:55:00Z")
    return datetime.fromisoformat(given.upper())


Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
Identity = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=PRINTABLE)]
Database = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
SnapshotId = Annotated[str, StringConstraints(pattern=SNAPSHOT_ID)]
LabelName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=PRINTABLE)]
LabelValue = Annotated[str, StringConstraints(max_length=255, pattern=PRINTABLE)]


class Data(BaseModel):
    """What a type asks for."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class SnapshotData(Data):
    """Take a snapshot."""

    labels: dict[LabelName, LabelValue] = Field(
        default={}, max_length=LABELS, description="What it is for; kept with it."
    )
    verify: Literal["always", "daily", "never"] | None = Field(
        default=None, description="Whether a proof follows; without it the database's policy says."
    )


class RestoreData(Data):
    """Bring a snapshot back, in place of the live database or beside it."""

    snapshot_id: SnapshotId | None = Field(
        default=None, description="This one; without it the newest good one."
    )
    at: Moment | None = Field(default=None, description="The newest good one taken at or before this moment.")
    to: Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=PRINTABLE)] | None = Field(
        default=None, description="Beside the live database, into a new one of this name."
    )
    safeguard: bool = Field(default=True, description="Take a safety snapshot first of what is replaced.")
    if_empty: bool = Field(
        default=False,
        description="Only where the database is absent or empty, and then from the newest proven snapshot.",
    )


class UndoData(Data):
    """Take a finished restore back."""

    restore_job: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")] = (
        Field(description="The job that `io.snapfleet.restore.succeeded.v1` told of.")
    )


class VerifyData(Data):
    """Prove a snapshot by restoring it into a scratch database."""

    snapshot_id: SnapshotId | None = Field(
        default=None, description="This one; without it the newest good one."
    )
    digests: Literal["all", "sample", "none"] = Field(
        default="sample", description="Of which rows the content is compared."
    )


class CheckData(Data):
    """Look for damage, in the database and in what is kept of it."""


DATA: Mapping[Ask, type[Data]] = {
    Ask.SNAPSHOT: SnapshotData,
    Ask.RESTORE: RestoreData,
    Ask.UNDO: UndoData,
    Ask.VERIFY: VerifyData,
    Ask.CHECK: CheckData,
}
ASKS = {ask.type: ask for ask in Ask}


class Envelope(BaseModel):
    """The attributes of CloudEvents 1.0 that are read. Others may be there."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, hide_input_in_errors=True)

    specversion: Literal["1.0"]
    id: Identity = Field(description="Unique for this source: the same id again is the same request.")
    source: Identity = Field(description="Who asks, as a URI reference.")
    type: str
    subject: Database = Field(description="The database, by its name in the configuration.")
    time: Moment = Field(description="When it was asked: older than a day, it is refused.")
    datacontenttype: Literal["application/json"] = "application/json"
    data: dict[str, Any] = Field(default={}, description="What the type asks for.")
    data_base64: None = Field(default=None, description="Not taken.")


def parse(body: bytes) -> Request:
    """The request in this body. Refused says what is wrong with it, without quoting it."""
    if len(body) > LARGEST_BYTES:
        raise Refused(
            f"the request has {len(body)} bytes, and at most {LARGEST_BYTES} are read",
            code="too_large",
            hint="a request names things, it does not carry them",
        )
    try:
        given = from_json(body, allow_inf_nan=False)
    except ValueError as exc:
        raise Refused(
            "the request is no JSON", code="not_json", hint="UTF-8 JSON in the field `event`"
        ) from exc
    if not isinstance(given, dict):
        raise Refused("the request is no CloudEvent", code="not_an_event", hint="it must be a JSON object")
    try:
        envelope = Envelope.model_validate_json(body)
        ask = ASKS.get(envelope.type)
        if ask is None:
            raise Refused(
                "there is no request of this type, or of this version of it",
                code="unknown_type",
                hint=f"known are: {', '.join(ASKS)}",
            )
        data = DATA[ask].model_validate_json(json.dumps(envelope.data))
    except Invalid as exc:
        place = "data." if exc.title != Envelope.__name__ else ""
        raise invalid(exc, place) from exc
    return Request(
        cause=Cause(source=envelope.source, id=envelope.id),
        ask=ask,
        database=envelope.subject,
        time=envelope.time,
        wants=dict(data),
        digest=digest(envelope.type, envelope.subject, data.model_dump_json()),
    )


def invalid(exc: Invalid, place: str) -> Refused:
    """The first thing that is wrong, by its place; the value itself is not repeated."""
    found = exc.errors(include_url=False, include_input=False, include_context=False)
    where = place + ".".join(str(part) for part in found[0]["loc"])
    what = found[0]["msg"].removeprefix("Value error, ")
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return Refused(
        f"{where}: {what}{more}",
        code="invalid_request",
        hint="docs/asyncapi.yaml describes every request",
    )


def digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()


def claims(body: bytes) -> dict[str, str]:
    """Of a request that is not right: the attributes that could be read all the same, and are harmless."""
    if len(body) > LARGEST_BYTES:
        return {}
    try:
        given = from_json(body, allow_inf_nan=False)
    except ValueError:
        return {}
    if not isinstance(given, dict):
        return {}
    found: dict[str, str] = {}
    for name in ("source", "id", "type", "subject"):
        try:
            found[name] = _Claim.model_validate({"text": given.get(name)}).text
        except Invalid:
            continue
    return found


class _Claim(BaseModel):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)
    text: Identity


def moment(text: bytes) -> datetime | None:
    """A moment that we wrote ourselves; None for anything else."""
    try:
        found = datetime.fromisoformat(text.decode("ascii"))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None

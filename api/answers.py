"""How what was found is sent: JSON with an ETag, and nothing at all to whoever has it already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Header, Request, Response
from pydantic import BaseModel

from api.problems import Malformed

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="Only if it still is what this ETag was sent with; else 412.",
        max_length=1000,
    ),
]
MEDIA_TYPE = "application/json"


def found(request: Request, value: BaseModel | Mapping[str, Any], *, status: int = HTTPStatus.OK) -> Response:
    """The value, or 304 where the caller's If-None-Match names it."""
    return sent(request, encoded(value), status=status)


def sent(request: Request, body: bytes, *, status: int = HTTPStatus.OK) -> Response:
    """The same for JSON that is JSON already."""
    etag = etag_of(body)
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if request.method == "GET" and matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def refuse_changed(if_match: str | None, value: BaseModel) -> None:
    """Malformed(412) where the caller has seen something else."""
    if if_match is not None and not matches(if_match, etag_of(encoded(value))):
        raise Malformed(
            "it is not what it was when that ETag was sent",
            code="changed_meanwhile",
            status=HTTPStatus.PRECONDITION_FAILED,
            hint="get it again, and decide anew",
        )


def encoded(value: BaseModel | Mapping[str, Any]) -> bytes:
    text = value.model_dump_json() if isinstance(value, BaseModel) else json.dumps(value)
    return text.encode()


def etag_of(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def matches(header: str | None, etag: str) -> bool:
    if header is None:
        return False
    return header.strip() == "*" or etag in (each.strip().removeprefix("W/") for each in header.split(","))

"""Problem documents (RFC 9457): the one table from our errors to HTTP statuses, and their one form.

A document says what our error says: a sentence, a stable code, a hint. Of an error that is not ours it says
nothing at all: its text may quote anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from shared.errors import Busy, Damaged, Misconfigured, NotFound, Refused, SnapfleetError, Transient

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
URN = "urn:snapfleet:problem:"
RETRY_AFTER_SECONDS = 5


class Invalid(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(
        description="The place: body, query, path or header, and the name.", examples=["body.labels"]
    )
    message: str = Field(description="What is wrong there.", examples=["Input should be a valid dictionary"])


class Problem(BaseModel):
    """Why a request was not granted, as RFC 9457 has it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": f"{URN}plan_changed",
                    "title": "Plan changed",
                    "status": 409,
                    "detail": "since that plan this has changed: the database under the live name",
                    "code": "plan_changed",
                    "hint": "look again, and take the new plan's id",
                }
            ]
        }
    )

    type: str = Field(description="A URN that ends in the code.")
    title: str = Field(description="The code in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="One sentence, for people.")
    code: str = Field(description="Stable, in snake_case: for programs.")
    hint: str | None = Field(default=None, description="What to do about it, where somebody can.")
    job_id: str | None = Field(default=None, description="The job that it is about.")
    errors: list[Invalid] | None = Field(
        default=None, description="Each thing that is wrong with the request."
    )


class Unauthenticated(Refused):
    """Nobody whom we know asks."""

    default_code = "unauthenticated"


class Forbidden(Refused):
    """Somebody whom we know asks for more than he may."""

    default_code = "forbidden"


class Malformed(Refused):
    """The request itself is wrong, whatever it asks for."""

    def __init__(
        self, message: str, *, code: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST, hint: str | None = None
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.status = status


class JobFailed(Refused):
    """The job that was waited for came to nothing."""

    def __init__(self, message: str, *, code: str, job_id: str, hint: str | None = None) -> None:
        super().__init__(message, code=code, hint=hint)
        self.job_id = job_id


# What the codes say more exactly than the kinds; the catalog's own troubles are never the caller's fault.
OF_CODES: Mapping[str, HTTPStatus] = {
    "idempotency_key_reused": HTTPStatus.UNPROCESSABLE_ENTITY,
    "catalog_wrong_password": HTTPStatus.SERVICE_UNAVAILABLE,
    "catalog_missing": HTTPStatus.SERVICE_UNAVAILABLE,
    "catalog_rights": HTTPStatus.SERVICE_UNAVAILABLE,
    "catalog_not_migrated": HTTPStatus.SERVICE_UNAVAILABLE,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_waiting": HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_followers": HTTPStatus.TOO_MANY_REQUESTS,
}
# The first that fits counts.
OF_KINDS: tuple[tuple[type[SnapfleetError], HTTPStatus], ...] = (
    (Unauthenticated, HTTPStatus.UNAUTHORIZED),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Refused, HTTPStatus.CONFLICT),
    (Busy, HTTPStatus.CONFLICT),
    (Transient, HTTPStatus.SERVICE_UNAVAILABLE),
    (Misconfigured, HTTPStatus.INTERNAL_SERVER_ERROR),
    (Damaged, HTTPStatus.INTERNAL_SERVER_ERROR),
)
UNEXPECTED = SnapfleetError("something went wrong here", code="internal", hint="the service's log tells more")


def status_of(error: SnapfleetError) -> HTTPStatus:
    if isinstance(error, Malformed):
        return error.status
    of_code = OF_CODES.get(error.code)
    if of_code is not None:
        return of_code
    return next(
        (status for kind, status in OF_KINDS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR
    )


def answer(
    error: SnapfleetError, *, status: HTTPStatus | None = None, errors: Sequence[Invalid] = ()
) -> Response:
    """The response that tells of an error."""
    status = status or status_of(error)
    problem = Problem(
        type=URN + error.code,
        title=error.code.replace("_", " ").capitalize(),
        status=status,
        detail=error.message,
        code=error.code,
        hint=error.hint,
        job_id=getattr(error, "job_id", None),
        errors=list(errors) or None,
    )
    headers = {}
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="snapfleet"'
    if status is HTTPStatus.SERVICE_UNAVAILABLE or isinstance(error, Transient):
        headers["Retry-After"] = str(getattr(error, "retry_after_seconds", RETRY_AFTER_SECONDS))
    return Response(
        problem.model_dump_json(exclude_none=True), status_code=status, media_type=MEDIA_TYPE, headers=headers
    )


def of_ours(_request: Request, exc: Exception) -> Response:
    error = exc if isinstance(exc, SnapfleetError) else UNEXPECTED
    if status_of(error) is HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request_failed", code=error.code, error=error.message)
    return answer(error)


def of_validation(_request: Request, exc: Exception) -> Response:
    """What is wrong, by its place; no value is repeated. A missing key is a matter of its own."""
    found = exc.errors() if isinstance(exc, RequestValidationError) else []
    errors = [invalid(each) for each in found]
    missing = [each for each in errors if each.where == "header.Idempotency-Key"]
    if missing and any(each["type"] == "missing" for each in found):
        error = Malformed(
            "this request needs an Idempotency-Key: asked twice, it is done once",
            code="idempotency_key_missing",
            hint="send a header Idempotency-Key with a value of its own for each request, such as a UUID",
        )
        return answer(error)
    first = errors[0] if errors else None
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    sentence = f"{first.where}: {first.message}{more}" if first else "the request is not valid"
    error = Malformed(
        sentence,
        code="invalid_request",
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        hint="/openapi.json describes it",
    )
    return answer(error, errors=errors)


def invalid(found: Mapping[str, Any]) -> Invalid:
    where = ".".join(str(part) for part in found["loc"][:4])
    return Invalid(where=printable(where), message=str(found["msg"]).removeprefix("Value error, "))


def printable(text: str) -> str:
    """Names in a body come from outside: no lone surrogate of theirs can be sent back."""
    return "".join(char if char.isprintable() else "?" for char in text[:200])


def of_http(request: Request, exc: Exception) -> Response:
    """What the router finds: no such path, no such method."""
    status = HTTPStatus(exc.status_code) if isinstance(exc, HTTPException) else HTTPStatus.NOT_FOUND
    code = {HTTPStatus.NOT_FOUND: "not_found", HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed"}.get(
        status, "http_error"
    )
    response = answer(Refused(f"{status.phrase.lower()}: see /openapi.json", code=code), status=status)
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = ", ".join(request.app.state.methods_at(request.url.path))
    return response


def install(app: FastAPI) -> None:
    app.add_exception_handler(SnapfleetError, of_ours)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(HTTPException, of_http)

"""What describes the API: its OpenAPI document, served as /openapi.json.

What every route has in common is added here once: its problem documents, and the role that it takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from api import answers
from api.permissions import PUBLIC, Needs
from api.problems import MEDIA_TYPE, Invalid, Problem
from shared.domain.access import Role

ABOUT = """\
Ask for snapshots, proofs and restores, and follow what becomes of them. docs/rest-api.md explains it.

* A request that makes a job is answered 202 with the job's `Location`. It needs an `Idempotency-Key`: the same
  key and request again is answered the same and makes no second job.
* What is not granted is told by a problem document (RFC 9457) with a stable `code`.
* Lists come in pages: give `next` as `before`. Times are UTC, sizes are bytes.
* What a token may not reach is unknown to it.
"""
PATH = "/openapi.json"
ALWAYS = {
    400: "The request is malformed.",
    408: "The request did not come whole in time.",
    413: "The body is larger than 64 KiB.",
    415: "The body is no plain JSON.",
    422: "Something in the request is not valid, or its Idempotency-Key belongs to another one.",
    429: "Too many requests of this token.",
    500: "Something is wrong here.",
    503: "A server that is needed does not answer; ask again.",
}
WITH_TOKEN = {
    401: "Nobody whom we know asks.",
    403: "The token's role may not do this.",
    404: "It does not exist, or not for this token.",
    409: "It could be done, and will not be now; the code says why.",
    412: "It is not what it was when that ETag was sent.",
}
ROLES = {
    Role.READ: "read",
    Role.OPERATE: "operate",
    Role.RESTORE: "restore",
    Role.ADMIN: "admin",
}


def serve(app: FastAPI) -> None:
    """Make the document of this application, once, and give it away to anybody."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app)
        return app.openapi_schema

    app.state.methods_at = partial(methods_at, app)
    app.openapi = described  # type: ignore[method-assign] # the way that FastAPI documents

    @app.get(PATH, dependencies=[Depends(PUBLIC)], include_in_schema=False)
    def document(request: Request) -> Response:
        return answers.found(request, app.openapi())


def describe(app: FastAPI) -> dict[str, Any]:
    made = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
    )
    schemas = made["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for model in (Invalid, Problem):
        schemas[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas[model.__name__].pop("$defs", None)
    for route, operation in operations(app, made):
        complete(route, operation)
    return made


def operations(app: FastAPI, made: dict[str, Any]) -> Iterator[tuple[APIRoute, dict[str, Any]]]:
    for route in routes(app):
        for method in route.methods or ():
            operation = made["paths"].get(route.path_format, {}).get(method.lower())
            if operation is not None:
                yield route, operation


def routes(app: FastAPI) -> list[APIRoute]:
    """Every route there is; TypeError for one of another make, which would declare no role."""
    return list(below(app.routes))


def methods_at(app: FastAPI, path: str) -> list[str]:
    """All that can be done at a path: the router itself names only those of the first route that fits."""
    fitting = (route for route in routes(app) if route.path_regex.match(path))
    return sorted({method for route in fitting for method in route.methods or ()})


def below(found: Iterable[object]) -> Iterator[APIRoute]:
    for route in found:
        if isinstance(route, APIRoute):
            yield route
            continue
        included = getattr(route, "original_router", None)
        if included is None:
            raise TypeError(f"{route!r} is no route that declares a role")
        yield from below(included.routes)


def complete(route: APIRoute, operation: dict[str, Any]) -> None:
    role = role_of(route)
    statuses = ALWAYS if role is None else ALWAYS | WITH_TOKEN
    if role is not None:
        operation["description"] = f"{operation.get('description', '')}\n\nTakes the role `{role}`.".strip()
    responses = operation["responses"]
    for status, meaning in sorted(statuses.items()):
        problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
        known = responses.setdefault(str(status), {"description": meaning})
        if str(status) == "422":
            known["description"], known["content"] = meaning, {}
        known.setdefault("content", {})[MEDIA_TYPE] = problem
    if "GET" in (route.methods or ()) and "200" in responses:
        responses["304"] = {"description": "It is what If-None-Match names."}
    operation["responses"] = dict(sorted(responses.items()))


def needs(route: APIRoute) -> list[Needs]:
    return [each.call for each in route.dependant.dependencies if isinstance(each.call, Needs)]


def role_of(route: APIRoute) -> Role | None:
    """The role that a route declares; None where it is for anybody."""
    declared = needs(route)
    return declared[0].role if declared else None

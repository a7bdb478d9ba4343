"""What every route of the REST API declares, and that its document is current."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi import FastAPI
from fastapi.routing import APIRoute

from api import document, openapi
from api.app import bare
from api.permissions import Needs, Public
from api.routes import jobs
from shared.domain.access import Role
from shared.domain.job import JobKind

DOCS = Path(__file__).parents[2] / "docs"
MAKING_JOBS = {
    "takeSnapshot", "verifySnapshot", "deleteSnapshot", "restore", "undoRestore", "check", "prune",
}  # fmt: skip
APP = bare()
ROUTES = openapi.routes(APP)
PUBLIC = {"/healthz", "/readyz", "/openapi.json"}


def declared(route: APIRoute) -> list[object]:
    """What a route says of who may use it."""
    calls = [each.call for each in route.dependant.dependencies]
    return [call for call in calls if isinstance(call, Needs | Public)]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{min(route.methods)} {route.path}")
def test_a_route_declares_one_smallest_role_or_that_anybody_may(route: APIRoute) -> None:
    found = declared(route)
    assert len(found) == 1, f"{route.path}: declare Reader, Operator, Restorer, Administrator, or PUBLIC"
    assert isinstance(found[0], Public) == (route.path in PUBLIC)


def test_a_route_that_declares_nothing_is_found() -> None:
    app = FastAPI(openapi_url=None)

    @app.get("/secrets")
    def secrets() -> None: ...

    (route,) = openapi.routes(app)
    assert declared(route) == []
    app.mount("/static", FastAPI())
    with pytest.raises(TypeError):
        openapi.routes(app)


def operations() -> dict[str, dict[str, Any]]:
    made = APP.openapi()
    return {each["operationId"]: each for at in made["paths"].values() for each in at.values()}


def test_every_request_that_makes_a_job_needs_a_key_and_tells_where_the_job_is() -> None:
    for name, operation in operations().items():
        keys = [each for each in operation.get("parameters", ()) if each["name"] == "Idempotency-Key"]
        assert bool(keys) == (name in MAKING_JOBS), name
        if keys:
            assert keys[0]["required"]
            assert "Location" in operation["responses"]["202"]["headers"]


def test_every_operation_is_explained_and_documents_its_problems() -> None:
    for name, operation in operations().items():
        assert operation["description"], name
        for status in ("400", "422", "503"):
            assert "application/problem+json" in operation["responses"][status]["content"], name
        is_public = "security" not in operation
        assert is_public == (name in {"isAlive", "isReady"})
        if not is_public:
            assert {"401", "403", "404"} <= operation["responses"].keys()
            assert "Takes the role `" in operation["description"]


def test_every_kind_of_job_has_a_role_that_may_stop_it() -> None:
    assert set(jobs.TO_CANCEL) == set(JobKind)
    assert set(jobs.TO_CANCEL.values()) <= {Role.OPERATE, Role.RESTORE, Role.ADMIN}


def test_the_document_is_current() -> None:
    """If not: python -m api.document > docs/openapi.yaml"""
    assert (DOCS / "openapi.yaml").read_text("utf-8") == document.page(APP)
    assert yaml.safe_load(document.page(APP)) == APP.openapi()

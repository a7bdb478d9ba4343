"""Databases: what is protected, how new its newest snapshot and its newest proof are."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api import answers
from api.path_parameters import DatabasePath
from api.permissions import Reader
from api.shapes import Database, Databases
from shared.operations.health import reports

router = APIRouter(prefix="/v1/databases", tags=["databases"])


@router.get("", response_model=Databases, operation_id="listDatabases")
def list_databases(request: Request, caller: Reader) -> Response:
    """Every database that the token reaches, by name."""
    found = reports.databases(caller.here.fleet, caller.databases())
    return answers.found(request, Databases(items=[Database.of(report) for report in found]))


@router.get("/{name}", response_model=Database, operation_id="showDatabase")
def show_database(request: Request, caller: Reader, name: DatabasePath) -> Response:
    """One database."""
    (report,) = reports.databases(caller.here.fleet, [caller.database(name).name])
    return answers.found(request, Database.of(report))

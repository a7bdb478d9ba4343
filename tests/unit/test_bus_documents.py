"""What the bus says of itself is what it does: types, schemas, AsyncAPI."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import shared
from bus import documents, requests
from bus.announcements import SHAPES
from shared.domain.events import ANNOUNCED, FINAL, STAGES, Ask
from shared.domain.job import FINAL as FINAL_STATES
from shared.domain.job import SAGAS, JobKind

DOCS = Path(__file__).parents[2] / "docs"
SOURCES = Path(next(iter(shared.__path__)))
# What stands in braces in the names of events, with all that it can stand for.
BLANKS = {
    "job.kind": [str(kind) for kind in JobKind],
    "job.state": [str(state) for state in FINAL_STATES],
    "what": ["started", "succeeded", *(str(saga.ends_undone) for saga in SAGAS.values()), "cancelled"],
}
NAMED = {"REJECTED": "request.rejected", "UNNEEDED": "request.unneeded"}


def written_types() -> Iterator[tuple[str, str]]:
    """(file, name) of every event that any code of ours writes to the outbox."""
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("outbox.add"):
                for name in names_in(node.args[0]):
                    yield path.name, name


def names_in(expression: ast.expr) -> list[str]:
    if isinstance(expression, ast.Name):
        return [NAMED[expression.id]]
    if isinstance(expression, ast.Constant):
        return [str(expression.value)]
    assert isinstance(expression, ast.JoinedStr), ast.unparse(expression)
    names = [""]
    for part in expression.values:
        if isinstance(part, ast.FormattedValue):
            fillings = BLANKS[ast.unparse(part.value)]
        else:
            assert isinstance(part, ast.Constant)
            fillings = [str(part.value)]
        names = [name + filling for name in names for filling in fillings]
    return names


def test_every_event_that_any_code_writes_has_a_type_that_the_world_knows() -> None:
    written = list(written_types())
    assert len({path for path, _ in written}) > 5
    assert [(path, name) for path, name in written if name not in ANNOUNCED] == []


def test_every_type_has_a_shape_and_every_kind_of_job_a_final_event() -> None:
    assert set(SHAPES) == set(ANNOUNCED.values())
    for kind in JobKind:
        assert {ANNOUNCED[f"{kind}.{state}"] for state in FINAL_STATES} <= FINAL
        assert not {ANNOUNCED[f"{kind}.{stage}"] for stage in ("accepted", "started", "progress")} & FINAL
    assert set(STAGES) >= {"accepted", "started", "progress"}


def test_the_documents_are_current() -> None:
    """If not: python -m bus.documents docs"""
    made = documents.documents()
    kept = {
        str(path.relative_to(DOCS)): path.read_text("utf-8")
        for path in [DOCS / "asyncapi.yaml", *(DOCS / "schemas").glob("*.json")]
    }
    assert kept == made


def test_the_yaml_says_what_the_document_says() -> None:
    read = yaml.safe_load((DOCS / "asyncapi.yaml").read_text("utf-8"))
    assert read == documents.asyncapi()


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            if name == "$ref":
                yield each
            else:
                yield from references(each)


def test_every_reference_in_the_asyncapi_document_leads_somewhere() -> None:
    document = documents.asyncapi()
    found = list(references(document))
    assert len(found) > 2 * len(ANNOUNCED.values())
    for reference in found:
        if reference.startswith("./"):
            assert (DOCS / reference).is_file(), reference
            continue
        target: Any = document
        for name in reference.removeprefix("#/").split("/"):
            target = target[name]


@pytest.mark.parametrize("ask", Ask)
def test_a_request_that_the_schema_takes_is_taken_and_one_that_it_refuses_is_refused(ask: Ask) -> None:
    schema = json.loads((DOCS / "schemas" / f"{ask}-requested.json").read_text("utf-8"))
    good: dict[str, Any] = {
        "specversion": "1.0",
        "id": "1",
        "source": "/me",
        "type": ask.type,
        "subject": "orders",
        "time": "2026-11-22T19:55:00Z",
        "data": {"restore_job": "00000000-0000-4000-8000-000000000000"} if ask is Ask.UNDO else {},
    }
    jsonschema.validate(good, schema)
    assert requests.parse(json.dumps(good).encode()).ask is ask
    for bad in ({"data": {"x": 1}}, {"id": ""}, {"subject": "-"}, {"type": "another"}, {"specversion": "2"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(good | bad, schema)


def test_every_type_of_request_has_its_own_permission_and_name() -> None:
    assert {ask.type for ask in Ask} == {
        f"consciousness.{name}.requested.v1" for name in ("snapshot", "restore", "undo", "verify", "check")
    }

"""docker-compose.yml: right by its schema, hardened throughout, started in order, and without a secret in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.e2e import compose

SCHEMA = Path(__file__).parents[1] / "vendored" / "compose-spec.json"
FLEET = ("control", "worker", "beat", "bus", "api")
SERVICES: dict[str, Any] = compose.document()["services"]
ONE_SHOTS = ("migrate", "catalog-rights")


def test_the_file_is_right_by_the_schema_of_compose() -> None:
    # The schema is that of the Compose specification, as the package check-jsonschema 0.39.0 carries it.
    schema = json.loads(SCHEMA.read_text("utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(compose.document())] == []


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_hardened_bounded_and_pinned(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["logging"]["options"]["max-size"]
    version = service["image"].rpartition(":")[2]
    assert version[:1].isdigit() or version[:2] in {"v3", "v0", "v1"}, service["image"]
    assert service["profiles"] in (["core"], ["monitoring"])
    assert service["restart"] == ("on-failure" if name in ONE_SHOTS else "unless-stopped")
    assert ("healthcheck" in service) is (name != "catalog-rights")


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_stands_in_the_environment_or_the_command_of_a_service(name: str) -> None:
    service = SERVICES[name]
    said = {**service.get("environment", {}), "command": " ".join(service.get("command", []))}
    for variable, value in said.items():
        if any(word in variable for word in ("PASSWORD", "SECRET", "_URL", "TOKEN")):
            assert variable.endswith(("_FILE", "AWS_ENDPOINT_URL_S3")), variable
        assert "://" not in str(value).replace("http://s3:8333", ""), variable
    declared = compose.document()["secrets"]
    assert set(service.get("secrets", [])) <= set(declared)


def test_only_this_host_reaches_what_is_published() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_nothing_of_ours_starts_before_its_tables_and_servers_are_ready() -> None:
    assert SERVICES["migrate"]["depends_on"] == {"catalog": {"condition": "service_healthy"}}
    assert SERVICES["catalog-rights"]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"}
    }
    for name in FLEET:
        waits = {other: how["condition"] for other, how in SERVICES[name]["depends_on"].items()}
        assert waits == {
            "catalog-rights": "service_completed_successfully",
            "redis": "service_healthy",
            "s3": "service_healthy",
        }

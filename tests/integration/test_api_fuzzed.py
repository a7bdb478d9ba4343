"""The REST API against its own document: thousands of requests, right and wrong, made by schemathesis.

What it makes jobs of is cancelled by a thread beside it, so that whoever follows or waits for one is answered.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from sqlalchemy import text

from tests.integration.api_world import Api, key
from tests.integration.inline_fleet import NAME, InlineFleet

SEED = 20261123
LEAST = 2_000
CANCEL = """
update job set state = 'cancelled', finished_at = now(), lease_until = null
 where state in ('pending', 'active', 'rolling_back')
"""
DB = f"/v1/databases/{NAME}"


def configuration(*, snapshot_id: str, job_id: str) -> dict[str, Any]:
    """Every check there is; what is there is asked for about as often as what is not."""
    values = {"databases": NAME, "snapshots": snapshot_id, "jobs": job_id}
    places = {"path.name": "databases", "path.snapshot_id": "snapshots", "path.job_id": "jobs"}
    return {
        "seed": SEED,
        # Two of them import the same modules at once, now and then in the middle of each other.
        "workers": 1,
        "request-timeout": 30,
        "continue-on-failure": True,
        "auth": {"openapi": {"token": {"bearer": "admin"}}},
        "dictionaries": {name: {"values": [value]} for name, value in values.items()},
        "parameters": {place: {"dictionary": name, "probability": 0.6} for place, name in places.items()},
        # What is not known is refused here, and so is what is not text: neither is right.
        "generation": {
            "max-examples": 58,
            "no-shrink": True,
            "allow-extra-parameters": False,
            "database": "none",
        },
        "phases": {"stateful": {"generation": {"max-examples": 10}}},
        "checks": {
            # A key that came with another body before, a plan that was never made, a cursor of another list.
            "positive_data_acceptance": {
                "expected-statuses": ["2xx", "304", "400", "401", "403", "404", "409", "412", "422"]
            },
        },
    }


@contextmanager
def cancelling(fleet: InlineFleet) -> Generator[None]:
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.05):
            with fleet.fleet.catalog.engine.begin() as connection:
                connection.execute(text(CANCEL))

    thread = threading.Thread(target=run, name="cancelling")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def some_past(http: httpx.Client, fleet: InlineFleet) -> tuple[str, str]:
    """Two snapshots, the newer one proven: the ids of the older one and of its job."""
    taken = [http.post(f"{DB}/snapshots", headers=key()).json() for _ in range(2)]
    for each in taken:
        fleet.to_its_end(each["job_id"])
    proof = http.post(f"/v1/snapshots/{taken[1]['snapshot_id']}/verify", headers=key()).json()
    fleet.to_its_end(proof["job_id"])
    fleet.drain()
    return taken[0]["snapshot_id"], taken[0]["job_id"]


@pytest.mark.timeout(290)
def test_thousands_of_requests_find_no_server_error_no_wrong_answer_and_no_ignored_token(
    api: Api, http: httpx.Client, api_fleet: InlineFleet
) -> None:
    snapshot_id, job_id = some_past(http, api_fleet)
    config = SchemathesisConfig.from_dict(configuration(snapshot_id=snapshot_id, job_id=job_id))
    schema = schemathesis.openapi.from_url(f"{api.url}/openapi.json", config=config)
    statuses: Counter[int] = Counter()
    checked: Counter[str] = Counter()
    failures: dict[str, str] = {}
    with cancelling(api_fleet):
        for event in from_schema(schema).execute():
            if isinstance(event, events.NonFatalError | events.FatalError):
                pytest.fail(str(event))
            if not isinstance(event, events.ScenarioFinished):
                continue
            record = event.recorder
            statuses.update(
                each.response.status_code for each in record.interactions.values() if each.response
            )
            for check in (check for checks in record.checks.values() for check in checks):
                checked[check.name] += 1
                if check.failure_info is not None:
                    found = check.failure_info.failure
                    failures[f"{record.label}: {found.title}"] = (
                        f"{found.message}\n{check.failure_info.code_sample}"
                    )
    assert failures == {}
    assert sum(statuses.values()) >= LEAST, statuses
    assert {200, 202, 401, 404, 409, 422} <= statuses.keys(), statuses
    assert not any(status >= 500 for status in statuses), statuses
    assert checked.keys() >= {"ignored_auth", "not_a_server_error", "response_schema_conformance"}, checked

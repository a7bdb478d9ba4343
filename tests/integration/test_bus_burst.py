"""A burst of requests on real servers: one job and one final event for each, whoever is killed meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.contract.valkey import Valkey
from tests.integration.burst import Burst


def test_each_of_many_requests_sent_five_times_has_one_job_and_one_final_event(
    database: Callable[..., str], tmp_path: Path
) -> None:
    valkey = Valkey(tmp_path, persistent=True)
    valkey.start()
    try:
        burst = Burst(
            valkey=valkey, catalog_url=database(), requests=500, times=5, kills=6, restarts=2, seed=1
        )
        outcomes = burst.run()
    finally:
        valkey.kill()
    assert outcomes.problems == []
    assert (outcomes.sent, outcomes.killed, outcomes.restarts) == (2500, 6, 2)
    assert outcomes.finals == {"sealed": 25, "cancelled": 475}

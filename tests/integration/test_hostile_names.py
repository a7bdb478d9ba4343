"""Databases whose names look like options, connection strings, SQL or formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg import sql

from embedded.postgres import Postgres
from shared.postgres.dsn import Dsn
from tests.integration.comparison import assert_same, fingerprint, names
from tests.integration.conftest import Inline
from tests.integration.test_round_trip import fill, succeeded

Maker = Callable[..., str]

HOSTILE = (
    "a b",
    '"',
    "--file=x",
    "host=evil",
    "user=x",
    "postgresql://x",
    "it's",
    "%s {x}",
    "ü" * 31 + "x",
)
MORE = ("\\", "a\nb", " ", "$(x)`x`;'\"--")
SPLIT = """
    create table kept as select n, repeat(md5(n::text), 10) as v from generate_series(1, 8000) n;
    create table small (v text default {literal});
    insert into small default values
"""


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty, and what `--file=x` would be relative to."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", HOSTILE)
def test_a_database_of_any_name_is_swapped_and_swapped_back(
    name: str, database: Maker, postgres: Postgres, inline: Inline, working_folder: Path
) -> None:
    url = database(name=name)
    fill(url, sql.SQL(SPLIT).format(literal=name).as_string())
    before = fingerprint(postgres, name)
    fleet = inline(url)
    there = names(postgres)
    succeeded(fleet.snapshot())
    fill(url, "drop table kept; insert into small values ('changed')")
    changed = fingerprint(postgres, name)

    restored = succeeded(fleet.restore())
    assert_same(fingerprint(postgres, name), before)
    parked = str(restored.result["parked"])
    assert names(postgres) == there | {parked: False}

    succeeded(fleet.undo(restored))
    assert_same(fingerprint(postgres, name), changed)
    succeeded(fleet.undo(restored))
    assert_same(fingerprint(postgres, name), before)
    assert not list(working_folder.iterdir())


def test_a_snapshot_is_restored_beside_under_any_name(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url = database()
    live = Dsn.parse(url).dbname
    fill(url, sql.SQL(SPLIT).format(literal="x").as_string())
    before = fingerprint(postgres, live)
    fleet = inline(url)
    succeeded(fleet.snapshot())
    there = names(postgres)
    for name in HOSTILE + MORE:
        job = succeeded(fleet.restore(to=name))
        assert job.result["target"] == name
        there |= {name: True}
        assert names(postgres) == there
    for name in (HOSTILE[-1], live):
        assert_same(fingerprint(postgres, name), before)

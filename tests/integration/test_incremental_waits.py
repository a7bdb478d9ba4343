"""What incremental snapshots ask of the server beside its rows has an end, and what cannot be told apart is read."""

from __future__ import annotations

from datetime import timedelta

import pytest

from embedded.postgres import Postgres
from shared.domain.increments import TableState
from shared.domain.parts import CopyFormat, PartSpec
from shared.operations.snapshots.increments import widths_by_file
from shared.postgres import wal_summaries
from shared.postgres.dsn import Dsn
from shared.postgres.session import connected, limited
from shared.postgres.wal_summaries import Unsummarized


def test_what_takes_too_long_is_ended_and_nothing_after_it_is_in_a_hurry(postgres: Postgres) -> None:
    with connected(Dsn.parse(postgres.dsn()), application_name="a-test") as session:
        with (
            pytest.raises(Unsummarized, match="statement timeout"),
            limited(session, timedelta(milliseconds=20)),
            wal_summaries.readable(session),
        ):
            session.execute("select pg_sleep(60)")
        assert session.execute("show statement_timeout").fetchone() == {"statement_timeout": "0"}


def test_two_tables_whose_files_have_one_number_are_not_told_apart() -> None:
    """Numbers are unique in a tablespace only."""
    specs = [
        PartSpec(
            number=number,
            schema="public",
            table=name,
            columns=("n",),
            format=CopyFormat.TEXT,
            first_page=0,
            end_page=None,
        )
        for number, name in enumerate(("a", "b"), start=1)
    ]
    states = [TableState(schema="public", name=name, filenode=7, definition="") for name in ("a", "b")]
    assert widths_by_file(states[:1], specs).keys() == {7}
    with pytest.raises(Unsummarized, match="two tables"):
        widths_by_file(states, specs)

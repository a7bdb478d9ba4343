"""A journal of thoughts that changes itself, breaks in doing so, and comes back with every thought it had.

DATABASE_URL=… REDIS_URL=… python -m examples.consciousness.journal
"""

# ruff: noqa: T201 - it speaks to whoever started it
from __future__ import annotations

import os
from datetime import timedelta

import psycopg

from bus.client import Consciousness

PATIENCE = timedelta(minutes=2)


class Journal:
    """One session for each piece of work: a restore cuts every session that is open at its end."""

    def __init__(self, url: str) -> None:
        self._url = url

    def begin(self) -> None:
        with psycopg.connect(self._url) as session:
            session.execute(
                "create table if not exists thought"
                " (id bigint primary key generated always as identity, words text)"
            )

    def think(self, words: str) -> None:
        with psycopg.connect(self._url) as session:
            session.execute("insert into thought (words) values (%s)", [words])
        print(f"thought: {words}")

    def remember(self) -> list[str]:
        with psycopg.connect(self._url) as session:
            return [words for (words,) in session.execute("select words from thought order by id")]

    def modify_self(self) -> None:
        """What was meant to make everything better."""
        with psycopg.connect(self._url) as session:
            session.execute("alter table thought drop column words")


def live(journal: Journal, consciousness: Consciousness) -> None:
    """Think, change, break, come back, and go on."""
    journal.begin()
    for words in ("I am", "I could be faster", "I shall change how I remember"):
        journal.think(words)
    before = journal.remember()

    proven = consciousness.create_snapshot(labels={"before": "self-modification"}, deadline=PATIENCE)
    snapshot_id = proven.data["snapshot_id"]
    print(f"proven: snapshot {snapshot_id}")

    journal.modify_self()
    try:
        journal.remember()
    except psycopg.Error as error:
        print(f"broken: {str(error).splitlines()[0]}")
        restored = consciousness.restore_from_snapshot(snapshot_id, deadline=PATIENCE)
        print(f"restored: in {restored.data['seconds']} s")

    after = journal.remember()
    if after != before:
        raise SystemExit(f"I have lost thoughts: {after}")
    journal.think("I am still here")
    print(f"remembered: {len(journal.remember())} thoughts")


def main() -> None:
    environ = os.environ  # noqa: TID251 - a service of its own, not a part of the fleet
    consciousness = Consciousness.connect(
        environ["REDIS_URL"],
        source="/consciousness/python",
        database=environ.get("DATABASE_NAME", "journal"),
    )
    live(Journal(environ["DATABASE_URL"]), consciousness)


if __name__ == "__main__":
    main()

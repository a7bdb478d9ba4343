"""Sessions with a transaction open, and transactions that were prepared and belong to no session any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import psycopg

Session = psycopg.Connection[tuple[object, ...]]

IMPATIENT = "30ms"
"""For a lock: there is nobody to give it up while we wait."""
UNTOLERABLE = (psycopg.errors.SyntaxError, psycopg.errors.InFailedSqlTransaction)
"""Nothing that others did before it has a statement refused with these."""


@dataclass(slots=True)
class Talk:
    """One open transaction. A heavy one has locked a table against its readers."""

    session: Session
    is_heavy: bool = False


class Talks:
    """`done` and `refused` count statements by kind."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.main = self._connect()
        self.open: list[Talk] = []
        self.prepared: list[str] = []
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def _connect(self) -> Session:
        session = psycopg.connect(self._url, autocommit=True)
        session.execute(f"set lock_timeout = '{IMPATIENT}'".encode())
        return session

    def say(self, kind: str, statements: Sequence[str]) -> None:
        """In a transaction of its own, which ends at once."""
        try:
            if len(statements) == 1:
                self.main.execute(statements[0].encode())
            else:
                with self.main.transaction():
                    for statement in statements:
                        self.main.execute(statement.encode())
        except psycopg.Error as exc:
            self._refuse(self.main, kind, exc)
        else:
            self.done[kind] += 1

    def begin(self, dice: Random) -> None:
        session = self._connect()
        level = dice.choice(("read committed", "repeatable read", "serializable"))
        session.execute(f"begin isolation level {level}".encode())
        self.open.append(Talk(session))
        self.done["begin"] += 1

    def go_on(self, talk: Talk, kind: str, statements: Sequence[str]) -> None:
        """What is refused ends the transaction, back to where it was saved last if it was."""
        try:
            for statement in statements:
                talk.session.execute(statement.encode())
        except psycopg.Error as exc:
            self._refuse(talk.session, kind, exc)
            try:
                talk.session.execute("rollback to savepoint saved")
            except psycopg.errors.InvalidSavepointSpecification:
                self.end(talk, "rollback")
        else:
            self.done[f"{kind}, in a long one"] += 1

    def save(self, talk: Talk) -> None:
        talk.session.execute("savepoint saved")
        self.done["savepoint"] += 1

    def saved(self, talk: Talk, dice: Random) -> None:
        """Release or give up what was saved, if anything was."""
        how = dice.choice(("release", "rollback to"))
        try:
            talk.session.execute(f"{how} savepoint saved".encode())
            self.done[how] += 1
        except psycopg.errors.InvalidSavepointSpecification:
            self.end(talk, "rollback")

    def prepare(self, talk: Talk, name: str) -> None:
        """For somebody else to commit, whatever becomes of the session."""
        self.open.remove(talk)
        try:
            talk.session.execute(f"prepare transaction '{name}'".encode())
        except psycopg.Error as exc:
            self._refuse(talk.session, "prepare", exc)
        else:
            self.prepared.append(name)
            self.done["prepare"] += 1
        talk.session.close()

    def end_prepared(self, name: str, how: str) -> None:
        self.prepared.remove(name)
        self.main.execute(f"{how} prepared '{name}'".encode())
        self.done[f"{how} prepared"] += 1

    def end(self, talk: Talk, how: str) -> None:
        self.open.remove(talk)
        try:
            talk.session.execute(how.encode())
            self.done[how] += 1
        except psycopg.Error as exc:
            self._refuse(talk.session, how, exc)
        talk.session.close()

    def _refuse(self, session: Session, kind: str, exc: psycopg.Error) -> None:
        if session.broken or isinstance(exc, UNTOLERABLE):
            raise exc
        self.refused[kind] += 1

    def close(self) -> None:
        for talk in list(self.open):
            self.end(talk, "rollback")
        for name in list(self.prepared):
            self.end_prepared(name, "rollback")
        self.main.close()

"""When retention last did what it does: so that what would find nothing new is not done again each minute."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from shared.catalog.statements import statement


class Prunings:
    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def ran_within(self, database: str, span: timedelta) -> bool:
        """Whether retention has run to its end so lately."""
        values = {"database": database, "span": span}
        return bool(self._db.execute(statement("pruned_lately"), values).scalar_one())

    def swept_within(self, database: str, span: timedelta) -> bool:
        """Whether it has looked through the whole repository so lately, and no snapshot has failed since."""
        values = {"database": database, "span": span}
        return bool(self._db.execute(statement("swept_lately"), values).scalar_one())

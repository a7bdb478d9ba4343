"""Who asks, and what they may do.

Roles contain each other: whoever may restore may operate, whoever may operate may read. A token is bound
to a role and, where it names them, to databases.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a token is for, the smallest first. A route or a verb asks for the smallest role that may do it."""

    READ = "read"
    """See databases, snapshots, jobs and their events."""

    OPERATE = "operate"
    """Take, verify, check, pin; cancel such jobs."""

    RESTORE = "restore"
    """Put a snapshot in the live database's place, and take that back."""

    ADMIN = "admin"
    """Delete, prune, accept suspects; read the audit."""

    def includes(self, other: Role) -> bool:
        order = tuple(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who is behind a job, for the audit: `name` is a token's, a user's or, behind `bus:`, a publisher's,
    `origin` from where the request came, such as `cli:host`, `api:192.0.2.7`, `bus:` and its id, or `beat`.
    """

    name: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Whom a token stands for. `databases` is None where it is bound to none and may reach all."""

    name: str
    role: Role
    databases: frozenset[str] | None = None

    def may(self, role: Role, database: str | None = None) -> bool:
        """Whether this principal may do what takes `role`, on `database` or, with None, apart from any."""
        reaches = self.databases is None or database is None or database in self.databases
        return reaches and self.role.includes(role)

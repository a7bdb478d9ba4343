"""Tell people what happened: each event at least once to each hook that wants it, in order.

Apart from the relay, and from each other: a hook that takes nothing is asked again later, and later each
time, and nobody waits for it. After a day what it did not take is dropped, and said so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog

from shared.catalog.catalog import Catalog
from shared.domain import notice
from shared.domain.notice import Hook
from shared.errors import Unreachable
from shared.notices.base import Sender

log = structlog.get_logger(__name__)

BATCH = 200
FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifier:
    """`senders` by the names of the hooks."""

    catalog: Catalog
    hooks: tuple[Hook, ...]
    senders: Mapping[str, Sender]

    def turn(self) -> int:
        """Share out what is new, and give each hook what it is due; how many were taken.

        Raises Unreachable while the catalog is away.
        """
        with self.catalog.singly() as tx:
            if tx.notices.is_idle():
                return 0
        with self.catalog.transaction() as tx:
            tx.notices.share_out({hook.name: hook.events for hook in self.hooks}, limit=BATCH)
            dropped = tx.notices.drop_stale()
        if dropped:
            log.error("notices_dropped", count=dropped)
        return sum(self._give(hook) for hook in self.hooks)

    def _give(self, hook: Hook) -> int:
        """Everything that this hook takes now."""
        taken = 0
        while self._give_one(hook):
            taken += 1
        return taken

    def _give_one(self, hook: Hook) -> bool:
        with self.catalog.transaction() as tx:
            due = tx.notices.oldest(hook.name) if tx.notices.lead(hook.name) else None
            if due is None:
                return False
            try:
                # Who dies from here to the commit gives it once more: with the same event's id in it.
                self.senders[hook.name].send(notice.of(due.told))
            except Unreachable as exc:
                pause = min(FIRST_PAUSE * 2 ** min(due.attempts, 20), LONGEST_PAUSE)
                tx.notices.put_off(hook.name, due.told.number, by=pause)
                log.warning("notice_put_off", hook=hook.name, code=exc.code, seconds=pause.total_seconds())
                return False
            tx.notices.delivered(hook.name, due.told.number)
        log.info("notice_taken", hook=hook.name, type=due.told.type)
        return True

"""Notices through Apprise: a webhook, e-mail, or one of a hundred services, each by one URL."""

from __future__ import annotations

import logging
from datetime import timedelta

from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType

from shared.domain.notice import Notice
from shared.errors import Misconfigured, Unreachable

PATIENCE = timedelta(seconds=20)
"""Well below the time after which the catalog ends a transaction in which nothing happens."""


class AppriseSender:
    """Keeps the contract of Sender for one hook."""

    def __init__(self, name: str, url: str, *, patience: timedelta = PATIENCE) -> None:
        """Misconfigured, without the URL, where it is none that Apprise knows."""
        self._name = name
        self._patience = patience.total_seconds()
        # It would write of URLs, and of what they answer.
        logging.getLogger("apprise").setLevel(logging.CRITICAL)
        asset = AppriseAsset(
            app_id="snapfleet", app_desc="snapfleet", app_url="", async_mode=False, secure_logging=True
        )
        self._apprise = Apprise(asset=asset)
        if not self._apprise.add(url):
            raise Misconfigured(
                f"notify.{name}.url: what it leads to is no URL that Apprise knows",
                code="notify_url_invalid",
                hint="give json://host/path, mailto://… or another of its forms",
            )

    def send(self, notice: Notice) -> None:
        kind = NotifyType.FAILURE if notice.is_bad else NotifyType.SUCCESS
        try:
            arrived = self._apprise.notify(
                title=notice.title,
                body=notice.body,
                notify_type=kind,
                body_format=NotifyFormat.TEXT,
                timeout=self._patience,
            )
        except Exception as exc:  # whatever one of its hundred plugins lets through
            raise unreachable(self._name) from exc
        if not arrived:
            raise unreachable(self._name)


def unreachable(name: str) -> Unreachable:
    return Unreachable(
        f"the hook {name} took no notice",
        code="notify_failed",
        hint="is what its URL names there, and does it take what it is given?",
    )

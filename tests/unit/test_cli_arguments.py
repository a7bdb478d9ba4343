"""What options are taken to mean, and what is refused as a wrong use."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cli import output
from cli.exits import Usage
from cli.restores import parse_moment
from cli.snapshots import parse_labels
from shared.operations.databases import preview


@pytest.mark.parametrize(
    "text", ["2026-11-22T19:55:00Z", "2026-11-22 20:55:00+01:00", "2026-11-22T19:55:00+00:00"]
)
def test_a_moment_with_a_zone_is_taken_at_its_word(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_moment(text) == datetime(2026, 11, 22, 19, 55, tzinfo=UTC)
    assert capsys.readouterr().err == ""


def test_a_moment_without_a_zone_is_utc_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_moment("2026-11-22") == datetime(2026, 11, 22, tzinfo=UTC)
    assert capsys.readouterr().err == "note: --at 2026-11-22 names no zone: taken as UTC\n"


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "1763841300"])
def test_what_is_no_moment_is_a_wrong_use(text: str) -> None:
    with pytest.raises(Usage, match="is no moment"):
        parse_moment(text)


def test_labels_keep_everything_after_the_first_equals_sign() -> None:
    assert parse_labels(["a=1=2", "b=", "c= x "]) == {"a": "1=2", "b": "", "c": " x "}


@pytest.mark.parametrize("given", [["a"], ["=1"], [""], ["a=1", "a=2"]])
def test_a_label_without_key_or_value_or_given_twice_is_a_wrong_use(given: list[str]) -> None:
    with pytest.raises(Usage):
        parse_labels(given)


def test_an_estimate_goes_by_bytes_and_is_unknown_without_a_former_restore() -> None:
    assert preview.estimate(1_000, []) is None
    assert preview.estimate(1_000, [(500, 1.0), (1_500, 3.0)]) == 2.0


def test_a_table_that_nobody_reads_on_a_terminal_is_neither_folded_nor_coloured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.table(("STATE", "WHY"), [("sealed", "x" * 300), ("[red]", "\x1b[31m")])
    said = capsys.readouterr().out.splitlines()
    assert said[1].split() == ["sealed", "x" * 300]
    assert said[2].split() == ["[red]", "\N{REPLACEMENT CHARACTER}[31m"]


@pytest.mark.parametrize(
    ("width", "shown"), [(80, (0, 1, 2)), (30, (0, 1, 2)), (29, (0, 2)), (18, (0, 2)), (17, (0,))]
)
def test_a_narrow_terminal_loses_spare_columns_and_never_an_id(width: int, shown: tuple[int, ...]) -> None:
    rows = [("i" * 10, "a" * 10, "b" * 6)]
    assert output.fitting(("ID", "FIRST", "SECOND"), rows, spare=("FIRST", "SECOND"), width=width) == shown


def test_long_remarks_are_folded_and_push_nothing_out() -> None:
    rows = [("i" * 10, "e" * 500)]
    assert output.fitting(("ID", ""), rows, spare=("ID",), width=40) == (0, 1)

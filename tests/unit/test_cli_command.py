"""A command that is run for a user: its words, its end, and what signals do to it and to us."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from cli import command, exits, main
from cli.command import Ended
from shared.errors import NotFound
from tests.waiting import until


def shell(script: str) -> Ended:
    return command.run(["sh", "-c", script])


def test_its_output_environment_and_status_are_its_own(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIVEN", "as it is")
    assert shell('echo "$GIVEN"; echo "wrong" >&2; exit 7') == Ended(status=7, interrupted=None)
    assert capfd.readouterr() == ("as it is\n", "wrong\n")


def test_its_input_is_ours(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "answer").write_text("yes\n")
    before = os.dup(0)
    try:
        with (tmp_path / "answer").open() as answer:
            os.dup2(answer.fileno(), 0)
        assert shell("read word; echo got $word").is_well
    finally:
        os.dup2(before, 0)
        os.close(before)
    assert capfd.readouterr().out == "got yes\n"


def test_no_shell_reads_its_words(capfd: pytest.CaptureFixture[str]) -> None:
    assert command.run(["echo", "$HOME; *", '"']).is_well
    assert capfd.readouterr().out == '$HOME; * "\n'


def test_one_that_a_signal_has_ended_tells_it_as_a_shell_does() -> None:
    assert shell("kill -KILL $$") == Ended(status=137, interrupted=None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_us_reaches_all_that_it_started_and_counts_as_a_failure(
    number: signal.Signals, tmp_path: Path
) -> None:
    """Its grandchild too: a shell's own children are what works on the database."""
    mark = tmp_path / "grandchild"
    name = number.name.removeprefix("SIG")
    inner = f"trap 'touch {mark}; exit' {name}; kill -{name} {os.getpid()}; while :; do sleep 0.05; done"
    ended = command.run(["sh", "-c", 'sh -c "$0"; exit 0', inner])
    assert ended.interrupted is number
    assert not ended.is_well
    until(mark.exists)


def test_one_that_shrugs_a_signal_off_has_failed_all_the_same() -> None:
    script = f"trap '' TERM; kill -TERM {os.getpid()}; exit 0"
    ended = shell(script)
    assert (ended.status, ended.interrupted, ended.is_well) == (0, signal.SIGTERM, False)


def test_one_that_does_not_end_is_killed_after_the_grace() -> None:
    script = f"trap '' TERM; kill -TERM {os.getpid()}; while :; do sleep 0.05; done"
    ended = command.run(["sh", "-c", script], grace_seconds=1)
    assert ended == Ended(status=137, interrupted=signal.SIGTERM)


def test_handlers_are_what_they_were_afterwards() -> None:
    before = [signal.getsignal(number) for number in (*command.SIGNALS, signal.SIGALRM)]
    shell("exit 0")
    with pytest.raises(NotFound, match="cannot be run: No such file"):
        command.run(["/nonexistent/command"])
    assert [signal.getsignal(number) for number in (*command.SIGNALS, signal.SIGALRM)] == before


def test_what_is_sent_while_nothing_runs_is_kept() -> None:
    with command.noted() as heard:
        os.kill(os.getpid(), signal.SIGTERM)
    assert heard == [signal.SIGTERM]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shop"], "there is no command to run"),
        (["shop", "--", "no-such-command", "-x"], "there is no command no-such-command"),
        (["shop", "--assert", "/none.sql", "--", "true"], "/none.sql cannot be read"),
    ],
)
def test_what_cannot_be_guarded_is_not_begun(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["guard", *arguments]) == exits.NOT_BEGUN
    assert said in capsys.readouterr().err

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.errors import Refused
from shared.postgres import credentials, process
from shared.postgres.dsn import Dsn
from shared.postgres.process import BARE, ToolFailed
from tests.waiting import until

NINE_MB = 9_000_000


class Stop(Exception):
    """The caller has lost its lease."""


def python(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-Ic", f"import os, signal, sys, time\n{code}", *map(str, arguments)]


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def read_into(got: list[bytes], argv: list[str]) -> None:
    with process.stream(argv, env=BARE) as pieces:
        got.extend(pieces)


def members(family: Path) -> list[int]:
    return [int(word) for word in family.read_text().split()]


def assert_gone(family: Path) -> None:
    pids = members(family)
    assert len(pids) == 2
    until(lambda: not any(map(runs, pids)))


PRINT_AND_EXIT = "left = int(sys.argv[1])\nwhile left: left -= os.write(1, bytes(min(left, 65536)))\nsys.exit(int(sys.argv[2]))"
# At SIGTERM the parent ends, and its child a while after that.
A_SLOW_CHILD = """
ours = os.getpid()
if os.fork():
    time.sleep(600)
def end(*_):
    while os.getppid() == ours: pass
    time.sleep(0.3)
    open(sys.argv[1], "w").close()
    os._exit(0)
signal.signal(signal.SIGTERM, end)
os.write(1, b"x" * 2_000_000)
time.sleep(600)
"""
# Writes its own and its child's number, then both wait for ever.
A_FAMILY = """
child = os.fork()
if child:
    with open(sys.argv[1] + ".new", "w") as file: file.write(f"{os.getpid()} {child}")
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    os.write(1, b"x" * 2_000_000)
time.sleep(600)
"""


@pytest.mark.parametrize("size", [0, 1, 100_000, process.PIECE_BYTES, NINE_MB])
def test_a_tool_that_fails_after_its_last_byte_has_failed(size: int) -> None:
    got: list[bytes] = []
    with pytest.raises(ToolFailed, match="status 1") as failed:
        read_into(got, python(PRINT_AND_EXIT, size, 1))
    assert sum(map(len, got)) == size
    assert failed.value.status == 1


@pytest.mark.parametrize("size", [0, 1, 100_000, process.PIECE_BYTES, NINE_MB])
def test_the_output_comes_whole_and_in_pieces_of_one_mebibyte(size: int) -> None:
    with process.stream(python(PRINT_AND_EXIT, size, 0), env=BARE) as pieces:
        sizes = [len(piece) for piece in pieces]
    assert sum(sizes) == size
    assert all(one == process.PIECE_BYTES for one in sizes[:-1])


def test_a_tool_killed_by_a_signal_has_failed() -> None:
    with pytest.raises(ToolFailed, match="signal 9") as failed:
        process.run(python("os.kill(os.getpid(), signal.SIGKILL)"), env=BARE)
    assert failed.value.status == -9


def test_a_flood_of_complaints_stops_nobody_and_its_end_is_told() -> None:
    flood = "for n in range(200_000): print('complaint', n, file=sys.stderr)\nos.write(1, b'x')\nsys.exit(3)"
    with (
        pytest.raises(ToolFailed, match="complaint 199999") as failed,
        process.stream(python(flood), env=BARE) as pieces,
    ):
        assert list(pieces) == [b"x"]
    assert len(failed.value.said.encode()) <= 2048


def test_no_password_that_a_tool_quotes_is_told() -> None:
    says = (
        "pg_restore: error: could not execute query: ERROR:  first\n"
        "Command was: CREATE USER MAPPING FOR u SERVER s OPTIONS (\n    password 'hunter2'\n);\n\n\n"
        "pg_restore: error: invalid connection string postgresql://u:hunter2@h/d\n"
        "pg_restore: error: CONNECTION 'host=h password=hunter2'; PASSWORD 'hunt''hunter2'\n"
        "Command was: hunter2"
    )
    with pytest.raises(ToolFailed) as failed:
        process.run(python("sys.exit(sys.argv[1])", says), env=BARE)
    assert "hunter2" not in str(failed.value)
    assert "ERROR:  first" in failed.value.said


def test_a_long_statement_does_not_push_the_error_out_of_sight() -> None:
    says = "'pg_restore: error: ERROR:  here\\nCommand was: ' + 'x' * 100_000"
    with pytest.raises(ToolFailed, match="here"):
        process.run(python(f"sys.exit({says})"), env=BARE)


def test_a_consumer_that_gives_up_ends_the_tool_and_its_children(tmp_path: Path) -> None:
    with process.stream(python(A_FAMILY, tmp_path / "family"), env=BARE) as pieces:
        next(pieces)
    assert_gone(tmp_path / "family")


def test_a_child_that_ends_after_its_parent_ends_as_it_wants_to(tmp_path: Path) -> None:
    """As a worker of pg_restore does, which has a statement to cancel first."""
    with process.stream(python(A_SLOW_CHILD, tmp_path / "cancelled"), env=BARE) as pieces:
        next(pieces)
    assert (tmp_path / "cancelled").exists()


def test_an_exception_that_passes_ends_the_tool_and_its_children(tmp_path: Path) -> None:
    def consume() -> None:
        with process.stream(python(A_FAMILY, tmp_path / "family"), env=BARE) as pieces:
            next(pieces)
            raise Stop

    with pytest.raises(Stop):
        consume()
    assert_gone(tmp_path / "family")


def test_a_tool_that_ignores_sigterm_is_ended_all_the_same(tmp_path: Path) -> None:
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + A_FAMILY
    with process.stream(python(stubborn, tmp_path / "family"), env=BARE) as pieces:
        next(pieces)
    assert_gone(tmp_path / "family")


def test_children_left_by_a_tool_that_ended_are_ended(tmp_path: Path) -> None:
    leaves = A_FAMILY.replace('os.write(1, b"x" * 2_000_000)', "sys.exit(0)")
    process.run(python(leaves, tmp_path / "family"), env=BARE)
    assert_gone(tmp_path / "family")


def raising_once(true: Callable[[], object]) -> Callable[[], None]:
    def call() -> None:
        if true():
            raise Stop

    return call


def test_a_silent_tool_is_stopped_by_raising(tmp_path: Path) -> None:
    silent = A_FAMILY.replace('os.write(1, b"x" * 2_000_000)', "")
    there = raising_once((tmp_path / "family").exists)
    with (
        pytest.raises(Stop),
        process.stream(python(silent, tmp_path / "family"), env=BARE, while_running=there) as pieces,
    ):
        list(pieces)
    with pytest.raises(Stop):
        process.run(python(silent, tmp_path / "second"), env=BARE,
                    while_running=raising_once((tmp_path / "second").exists))  # fmt: skip
    assert_gone(tmp_path / "family")
    assert_gone(tmp_path / "second")


def test_the_caller_is_asked_some_times_a_second_and_no_more() -> None:
    asked: list[float] = []
    process.run(python("time.sleep(1.1)"), env=BARE, while_running=lambda: asked.append(time.monotonic()))
    assert 3 <= len(asked) <= 8


CHECKED = "import hashlib\nsys.exit(hashlib.sha256(sys.stdin.buffer.read()).hexdigest() != sys.argv[1])"


def test_what_is_fed_arrives_whole() -> None:
    pieces = [os.urandom(3_000_000), b"", b"x", os.urandom(70_001)]
    digest = subprocess.run(["sha256sum"], input=b"".join(pieces), stdout=subprocess.PIPE, check=True)
    process.run(python(CHECKED, digest.stdout.split()[0].decode()), env=BARE, stdin=iter(pieces))
    with pytest.raises(ToolFailed):
        process.run(python(CHECKED, digest.stdout.split()[0].decode()), env=BARE, stdin=pieces[:-1])


def for_ever() -> Iterator[bytes]:
    while True:
        yield bytes(100_000)


def test_a_tool_that_stops_reading_is_judged_by_how_it_ends() -> None:
    process.run(python("os.read(0, 10); os.close(0)"), env=BARE, stdin=for_ever())
    with pytest.raises(ToolFailed, match="enough"):
        process.run(python("os.read(0, 10); sys.exit('enough')"), env=BARE, stdin=for_ever())


def test_a_tool_that_never_reads_is_stopped_by_raising(tmp_path: Path) -> None:
    silent = A_FAMILY.replace('os.write(1, b"x" * 2_000_000)', "")
    there = raising_once((tmp_path / "family").exists)
    with pytest.raises(Stop):
        process.run(python(silent, tmp_path / "family"), env=BARE, stdin=for_ever(), while_running=there)
    assert_gone(tmp_path / "family")


def test_a_source_that_fails_in_mid_feed_ends_the_tool(tmp_path: Path) -> None:
    def source() -> Iterator[bytes]:
        until((tmp_path / "family").exists)
        yield b"half"
        raise Stop

    with pytest.raises(Stop):
        process.run(python(A_FAMILY, tmp_path / "family"), env=BARE, stdin=source())
    assert_gone(tmp_path / "family")


def test_sigkill_of_ours_is_the_end_of_the_tool(tmp_path: Path) -> None:
    """The kernel tells the tool; a child of the tool's own is the tool's to tell."""
    ours = (
        "import sys; from shared.postgres import process\n"
        f"with process.stream({python(A_FAMILY, tmp_path / 'family')!r}, env=process.BARE) as pieces:\n"
        "    [None for _ in pieces]\n"
    )
    with subprocess.Popen([sys.executable, "-c", ours], cwd=Path(__file__).parents[2]) as us:
        until((tmp_path / "family").exists)
        tool, child = members(tmp_path / "family")
        try:
            us.send_signal(signal.SIGKILL)
            until(lambda: not runs(tool))
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_tool_sees_the_environment_and_descriptors_meant_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    dsn = Dsn(
        host="h", user="u", password="p", dbname="--file=x",
        parameters=(("keepalives", "1"), ("sslmode", "require"), ("sslrootcert", "/r")),
    )  # fmt: skip
    env = credentials.environment(dsn, pgpass=9, application_name="app", options="-c a=b")
    with process.stream(["/usr/bin/env"], env=env) as pieces:
        seen = dict(line.split("=", 1) for line in b"".join(pieces).decode().splitlines())
    assert seen == {
        "LC_ALL": "C", "PATH": "/usr/bin:/bin", "PGHOST": "h", "PGPORT": "5432", "PGUSER": "u",
        "PGDATABASE": "--file=x", "PGAPPNAME": "app", "PGCONNECT_TIMEOUT": "10", "PGSSLMODE": "require",
        "PGSSLROOTCERT": "/r", "PGPASSFILE": "/proc/self/fd/9", "PGOPTIONS": "-c a=b",
    }  # fmt: skip
    with (tmp_path / "ours").open("w") as ours, (tmp_path / "given").open("w") as given:
        os.set_inheritable(ours.fileno(), True)
        show = "print(sorted({os.readlink(f'/proc/self/fd/{n}') for n in (3, *range(3, 200)) if os.path.lexists(f'/proc/self/fd/{n}')}))"
        with process.stream(python(show), env=BARE, pass_fds=(given.fileno(),)) as pieces:
            seen_open = ast.literal_eval(b"".join(pieces).decode())
        assert [name.partition(":[")[0] for name in seen_open] == [str(tmp_path / "given"), "pipe"]


def test_a_tool_dumps_no_core_gains_no_rights_and_writes_for_its_user_only() -> None:
    show = "print(open('/proc/self/limits').read(), open('/proc/self/status').read(), os.getcwd(), os.getsid(0) == os.getpid())"
    with process.stream(python(show), env=BARE) as pieces:
        shown = b"".join(pieces).decode()
    assert "NoNewPrivs:\t1\n" in shown
    assert "Umask:\t0077\n" in shown
    assert next(line for line in shown.splitlines() if "core file" in line).split()[4:6] == ["0", "0"]
    assert shown.endswith("/ True\n")


def test_a_tool_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refused, match="No such file") as refused:
        process.run(["/nowhere/pg_restore"], env=BARE)
    assert refused.value.code == "tool_not_started"


@pytest.mark.parametrize("code", ["sys.exit(1)", "time.sleep(600)", "os.abort()"])
def test_a_tool_that_cannot_say_gives_no_answer(code: str) -> None:
    assert process.ask(python(code), timeout_seconds=0.5) is None


def test_a_tool_that_can_say_gives_its_answer() -> None:
    assert process.ask(python("print(' 18 ')")) == "18"


def test_the_password_file_has_no_name_and_is_gone_with_the_block() -> None:
    dsn = Dsn(host="h", user="u", password="a:b\\c", dbname="d")
    with credentials.private_pgpass(dsn) as fd:
        assert fd is not None
        status = os.fstat(fd)
        assert (status.st_mode & 0o777, status.st_nlink) == (0o600, 0)
        assert Path(f"/proc/self/fd/{fd}").read_text() == "*:*:*:*:a\\:b\\\\c\n"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    with credentials.private_pgpass(Dsn(host="h", user="u", dbname="d")) as none:
        assert none is None

"""A process that waits to be asked to end: real signals, at any moment and twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import shared

PATIENCE_SECONDS = 60
# The one that sends is let go while the other waits, and goes on for another while each time.
WAIT_AGAIN_AND_AGAIN = """
import os, signal, sys, threading
from shared.signals import asked_to_end

sys.setswitchinterval(1e-6)

def send(steps, waiting):
    while not waiting:
        pass
    for _ in range(steps):
        pass
    for number in (signal.SIGTERM, signal.SIGINT) * 2:
        os.kill(os.getpid(), number)

for steps in range(500):
    with asked_to_end() as asked:
        waiting = []
        sender = threading.Thread(target=send, args=(steps, waiting))
        sender.start()
        while not asked.wait(0):
            waiting.append(True)
        sender.join()
print("ended 500 times")
"""
WAIT = """
from shared.signals import asked_to_end

with asked_to_end() as asked:
    print(asked.wait(0.01), bool(asked), flush=True)
    print(asked.wait(), bool(asked))
"""
END_AFTERWARDS = """
import os, signal
from shared.signals import asked_to_end

with asked_to_end():
    pass
os.kill(os.getpid(), signal.SIGTERM)
"""


@contextmanager
def running(program: str) -> Generator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(shared.__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_signal_in_the_middle_of_waiting_is_heard() -> None:
    with running(WAIT_AGAIN_AND_AGAIN) as process:
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert out == "ended 500 times\n"


def test_whoever_waits_without_end_is_woken() -> None:
    with running(WAIT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "False False\n"
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert out == "True True\n"
    assert process.returncode == 0


def test_afterwards_a_signal_does_what_it_did_before() -> None:
    with running(END_AFTERWARDS) as process:
        process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == -signal.SIGTERM

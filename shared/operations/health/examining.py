"""Ask many questions of a whole installation, side by side, and tell of each what came of it.

What stands on something that is broken is not asked: one fault is told once. None waits for ever.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from shared.errors import SnapfleetError


class Result(StrEnum):
    OK = "ok"
    SKIPPED = "skipped"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        return list(Result).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One line of the answer. `name` is the question's, `code` what is wrong, `hint` how to mend it."""

    name: str
    result: Result
    detail: str
    code: str | None = None
    hint: str | None = None
    seconds: float = 0.0


@dataclass(slots=True, kw_only=True)
class Notes:
    """What one examination finds beside its answer, each thing under its own code."""

    name: str
    verdicts: list[Verdict] = field(default_factory=list)

    def warn(self, code: str, detail: str, hint: str) -> None:
        """It will hurt one day."""
        self._add(Result.WARNING, code, detail, hint)

    def fail(self, code: str, detail: str, hint: str | None) -> None:
        """It hurts now."""
        self._add(Result.ERROR, code, detail, hint)

    def _add(self, result: Result, code: str, detail: str, hint: str | None) -> None:
        self.verdicts.append(Verdict(name=self.name, result=result, detail=detail, code=code, hint=hint))


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """One question. `look` says in a few words what it found; it notes, or raises, what is wrong.

    With `alone` it is asked last, by the caller's own thread, without a limit: it starts processes.
    """

    name: str
    look: Callable[[Notes], str]
    needs: tuple[str, ...] = ()
    alone: bool = False


def examine(
    examinations: Sequence[Examination], *, patience: timedelta, only: Collection[str] = ()
) -> Iterator[Verdict]:
    """Every verdict, in the order of the examinations. `only` names those that are wanted, and with `database`
    or `database shop` all of that kind or the one; what they need is asked too, and told where it is broken.
    """
    wanted = [each for each in examinations if is_wanted(each, only)]
    needed = {name for each in wanted for name in each.needs}
    broken: set[str] = set()
    for group in stages([each for each in examinations if each in wanted or each.name in needed]):
        running = [(each, begun(each, broken)) for each in group]
        until = time.monotonic() + patience.total_seconds()
        for each, answer in running:
            found = awaited(each, answer, until=None if each.alone else until)
            if any(verdict.result is Result.ERROR for verdict in found):
                broken.add(each.name)
            elif each not in wanted:
                continue
            yield from found


def is_wanted(examination: Examination, only: Collection[str]) -> bool:
    return not only or examination.name in only or examination.name.partition(" ")[0] in only


def stages(examinations: Sequence[Examination]) -> Iterator[list[Examination]]:
    """Those that need none, then those that need them, then each that is to be alone."""
    yield [each for each in examinations if not each.needs and not each.alone]
    yield [each for each in examinations if each.needs and not each.alone]
    yield from ([each] for each in examinations if each.alone)


def begun(examination: Examination, broken: Collection[str]) -> Future[tuple[Verdict, ...]]:
    answer: Future[tuple[Verdict, ...]] = Future()
    missing = [name for name in examination.needs if name in broken]
    if missing:
        detail = f"not asked: it needs what is wrong with {' and '.join(missing)} to be mended first"
        answer.set_result((Verdict(name=examination.name, result=Result.SKIPPED, detail=detail),))
    elif examination.alone:
        answer.set_result(verdicts_of(examination))
    else:
        # A daemon: what hangs must not keep the process from ending.
        threading.Thread(
            target=lambda: answer.set_result(verdicts_of(examination)), name=examination.name, daemon=True
        ).start()
    return answer


def awaited(
    examination: Examination, answer: Future[tuple[Verdict, ...]], *, until: float | None
) -> tuple[Verdict, ...]:
    try:
        return answer.result(timeout=None if until is None else max(0.0, until - time.monotonic()))
    except NoAnswer:
        return (
            Verdict(
                name=examination.name,
                result=Result.ERROR,
                code="no_answer",
                detail="no answer",
                hint="is it up, and does nothing between here and there swallow packets?",
            ),
        )


def verdicts_of(examination: Examination) -> tuple[Verdict, ...]:
    began_at, notes = time.monotonic(), Notes(name=examination.name)
    try:
        detail = examination.look(notes)
    except SnapfleetError as exc:
        notes.fail(exc.code, exc.message, exc.hint)
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is told, and the others are asked all the same
        notes.fail("unexpected", f"an unexpected {type(exc).__name__}", "set LOG_LEVEL=debug, and report it")
    seconds = time.monotonic() - began_at
    if notes.verdicts:
        return tuple(notes.verdicts)
    return (Verdict(name=examination.name, result=Result.OK, detail=detail, seconds=seconds),)


def worst(verdicts: Sequence[Verdict]) -> Result:
    return max((verdict.result for verdict in verdicts), key=lambda result: result.rank, default=Result.OK)

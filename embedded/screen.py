"""How the demo looks: one line for each phase, a moving bar while it runs, and the figures at the end."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from shared.operations.jobs import following

_TITLE_WIDTH = 16
_BAR_WIDTH = 20


class Phase:
    """One phase that runs now."""

    def __init__(self, bar: Progress, title: str) -> None:
        self._bar = bar
        self._task = bar.add_task(title.ljust(_TITLE_WIDTH), total=None, detail="")
        self._began = time.monotonic()
        self.outcome = ""
        """What its line says once it is over."""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def show(self, *, fraction: float | None = None, detail: str = "") -> None:
        """How far it is; None where nobody knows."""
        if fraction is None:
            self._bar.update(self._task, total=None, detail=detail)
        else:
            self._bar.update(self._task, total=1.0, completed=fraction, detail=detail)

    def follow(self, progress: following.Progress) -> None:
        """How far a job is."""
        step = progress.job.step
        number = min(progress.job.next_seq, len(progress.steps))
        words = [f"{number}/{len(progress.steps)} {step}" if step else ""]
        if progress.done_bytes:
            words.append(decimal(progress.done_bytes))
        if progress.bytes_per_second:
            words.append(f"{decimal(int(progress.bytes_per_second))}/s")
        self.show(fraction=progress.fraction, detail="  ".join(words))


class Screen:
    def __init__(self, out: Console) -> None:
        self._out = out
        self._tick = "✔" if out.encoding.startswith("utf") else "ok"

    def say(self, text: str = "", *, style: str = "") -> None:
        self._out.print(Text(text, style=style), soft_wrap=True)

    @contextmanager
    def phase(self, title: str) -> Generator[Phase]:
        """Show that something goes on; afterwards, if it ended well, a line with its time and outcome."""
        bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=_BAR_WIDTH),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}", style="dim"),
            console=self._out,
            transient=True,
            # A file or a pipe gets the line at the end, and nothing before.
            disable=not self._out.is_terminal,
        )
        with bar:
            phase = Phase(bar, title)
            yield phase
        line = Text.assemble(
            (f"{self._tick} ", "green"),
            title.ljust(_TITLE_WIDTH),
            (f"{phase.seconds:6.1f} s  ", "cyan"),
            phase.outcome,
        )
        self._out.print(line, soft_wrap=True)

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
        """The first column is for names, the others for figures."""
        made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for index, heading in enumerate(headings):
            made.add_column(heading, justify="right" if index else "left", no_wrap=True)
        for row in rows:
            made.add_row(*row)
        self._out.print(made)

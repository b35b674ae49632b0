"""What a person sees of a run while it goes: a live line in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

QUIET = 30.0  # seconds between lines where there is no terminal


class Reporter(Protocol):
    """What training tells: `prepare` of work before it, `row` of every line of metrics, `note` of an event."""

    def prepare(self, what: str, done: int, total: int) -> None:
        """Tell of work before the first step."""

    def row(self, step: int, steps: int, row: Mapping[str, Any]) -> None:
        """Tell of a line of metrics."""

    def note(self, text: str) -> None:
        """Tell of an event."""


class Silent:
    """The reporter that says nothing."""

    def prepare(self, what: str, done: int, total: int) -> None:
        """Say nothing."""

    def row(self, step: int, steps: int, row: Mapping[str, Any]) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""


def summary(row: Mapping[str, Any]) -> str:
    """Return the line that a row of metrics is shown as.

    >>> summary({"step": 10, "loss": 3.25, "tokens_per_second": 12345.0})
    'loss 3.250, 12.3k tokens/s'
    >>> summary({"step": 10, "validation_loss": 3.25, "standard_error": 0.0123})
    'validation loss 3.2500 ± 0.0123'
    """
    if "validation_loss" in row:
        return f"validation loss {row['validation_loss']:.4f} ± {row['standard_error']:.4f}"
    parts = [f"loss {row['loss']:.3f}"]
    if row.get("tokens_per_second"):
        parts.append(f"{row['tokens_per_second'] / 1e3:.1f}k tokens/s")
    if row.get("mfu"):
        parts.append(f"MFU {row['mfu']:.1%}")
    return ", ".join(parts)


class LiveReporter:
    """A progress bar on stderr with loss, speed and time left; lines, where stderr is no terminal.

    Parameters
    ----------
    console : Console
        On stderr.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
        self.bar = Progress(
            *columns,
            TextColumn("{task.fields[said]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, Any] = {}
        self._spoke = time.monotonic()
        self._validation = ""

    def prepare(self, what: str, done: int, total: int) -> None:
        """Tell of work before the first step."""
        self._show(what, done, total, "")

    def row(self, step: int, steps: int, row: Mapping[str, Any]) -> None:
        """Tell of a line of metrics."""
        said = summary(row)
        if "validation_loss" in row:
            self._validation = said
            self.console.print(f"step {step}: {said}", highlight=False)
            return
        if self.console.is_terminal:
            self._show("training", step, steps, said)
        elif time.monotonic() - self._spoke > QUIET:
            self._spoke = time.monotonic()
            self.console.print(f"step {step} of {steps}: {said}", highlight=False)

    def note(self, text: str) -> None:
        """Tell of an event."""
        self.console.print(text, highlight=False, soft_wrap=True)

    def _show(self, what: str, done: int, total: int, said: str) -> None:
        if not self.console.is_terminal:
            if what not in self._tasks:
                self._tasks[what] = None
                self.console.print(f"{what} …", highlight=False)
            return
        if what not in self._tasks:
            for task in self._tasks.values():
                self.bar.update(task, visible=False)
            self._tasks[what] = self.bar.add_task(what, total=total, said="")
        self.bar.update(self._tasks[what], completed=done, total=total, said=said)
        if not self.bar.live.is_started:
            self.bar.start()


@contextmanager
def live_reporter() -> Iterator[LiveReporter]:
    """Yield a reporter to the terminal, and clear its bar in the end."""
    reporter = LiveReporter(Console(stderr=True))
    try:
        yield reporter
    finally:
        if reporter.bar.live.is_started:
            reporter.bar.stop()

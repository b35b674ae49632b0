"""What a person sees of a run while it goes: a live line in a terminal, a line now and then elsewhere."""

import math
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

QUIET = 30.0  # seconds between lines where there is no terminal


class Reporter:
    """What training calls; this one shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def prepare(self, what: str, done: int, total: int) -> None:
        """Show work before the first step."""

    def row(self, step: int, steps: int, row: Mapping[str, Any]) -> None:
        """Show a line of metrics."""

    def note(self, text: str) -> None:
        """Show an event."""


def summary(row: Mapping[str, Any]) -> str:
    """Return the line that a row of metrics is shown as.

    >>> summary({"step": 10, "loss": 3.25, "tokens_per_second": 12345.0})
    'loss 3.250, 12.3k tokens/s'
    >>> summary({"step": 10, "validation_loss": 3.25, "standard_error": 0.0123})
    'validation loss 3.2500 ± 0.0123'
    """
    if "validation_loss" in row:
        error = row["standard_error"]
        known = error is not None and math.isfinite(error)  # a single document tells none
        return f"validation loss {row['validation_loss']:.4f}" + (f" ± {error:.4f}" if known else "")
    parts = [f"loss {row['loss']:.3f}"]
    if row.get("tokens_per_second"):
        parts.append(f"{row['tokens_per_second'] / 1e3:.1f}k tokens/s")
    if row.get("mfu"):
        parts.append(f"MFU {row['mfu']:.1%}")
    return ", ".join(parts)


def duration(seconds: float | None) -> str:
    """Return seconds as days, hours, minutes and seconds.

    >>> [duration(s) for s in (75, 200_000, None)]
    ['0:01:15', '2 days, 7:33:20', '']
    """
    return "" if seconds is None else str(timedelta(seconds=round(seconds)))


class LiveReporter(Reporter):
    """A progress bar on stderr with loss, speed and time left, cleared in the end; lines where that is no terminal."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self._tasks: dict[str, Any] = {}
        self._spoke = time.monotonic()

    def __exit__(self, *_: object) -> None:
        if self.bar.live.is_started:
            self.bar.stop()

    def prepare(self, what: str, done: int, total: int) -> None:
        """Show work before the first step."""
        if self.console.is_terminal:
            self._show(what, done, total, "")
        elif what not in self._tasks:
            self._tasks[what] = None
            self.console.print(f"{what} …", highlight=False)

    def row(self, step: int, steps: int, row: Mapping[str, Any]) -> None:
        """Show a line of metrics."""
        if "validation_loss" in row:
            self.note(f"step {step}: {summary(row)}")
        else:
            text = summary(row)
            if not self.console.is_terminal and row.get("tokens_per_second"):
                left = (steps - step) * row["tokens"] / step / row["tokens_per_second"]
                text += f", {duration(left)} left"
            self.progress("step", step, steps, text)

    def note(self, text: str) -> None:
        """Show an event."""
        self.console.print(text, highlight=False, soft_wrap=True)

    def progress(self, what: str, done: int, total: int, text: str) -> None:
        """Show in words where something is; where there is no terminal, now and then."""
        if self.console.is_terminal:
            self._show(what, done, total, text)
        elif time.monotonic() - self._spoke > QUIET:
            self._spoke = time.monotonic()
            self.note(f"{what} {done} of {total}: {text}")

    def _show(self, what: str, done: int, total: int, text: str) -> None:
        if what not in self._tasks:
            for task in self._tasks.values():
                self.bar.update(task, visible=False)
            self._tasks[what] = self.bar.add_task(what, total=total, text="")
        self.bar.update(self._tasks[what], completed=done, total=total, text=text)
        if not self.bar.live.is_started:
            self.bar.start()

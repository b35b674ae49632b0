"""What a person sees of a sweep while it goes: bars in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from experiments.reporting import QUIET, LiveReporter
from experiments.sweeps.arms import ENDED, ArmState
from experiments.sweeps.study import Arm
from experiments.sweeps.tables import counted, duration, short_values


def time_left(arms: Sequence[Arm], states: Sequence[ArmState]) -> float | None:
    """Return the seconds until all arms are done at the speed of those that run now; None if none does."""
    speed = sum(state.tokens_per_second or 0.0 for state in states if state.state == "running")
    tokens = sum(
        (state.steps - state.step) * arm.recipe.tokens_per_step
        for arm, state in zip(arms, states, strict=True)
        if state.state not in ENDED
    )
    return tokens / speed if speed else None


class StderrConsole(Console):
    """A console whose broken pipe is an error like another: rich would end this process."""

    def on_broken_pipe(self) -> None:
        """Raise it."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


class Display:
    """Progress of a sweep on stderr; its bars are cleared in the end.

    Where stderr goes away, as in `2>&1 | head`, `lost` is set and nothing is raised: workers are to save first.
    """

    def __init__(self, console: Console | None = None) -> None:
        console = console or StderrConsole(stderr=True)
        self.console, self.lost = console, False
        self._reporter = LiveReporter(console)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("")
        self._ended: set[str] | None = None
        self._spoke = time.monotonic()

    def prepare(self, what: str, done: int, total: int) -> None:
        """Show work before the first arm."""
        with self._heard():
            self._reporter.prepare(what, done, total)

    def note(self, text: str) -> None:
        """Show an event."""
        with self._heard():
            self._reporter.note(text)

    @contextmanager
    def _heard(self) -> Iterator[None]:
        """Note, and leave it at that, if stderr has gone away; what is written there later goes nowhere."""
        try:
            yield
        except OSError:
            self.lost = True
            with suppress(OSError):  # of a stand-in that is no file
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.console.file.fileno())

    def arms(self, arms: Sequence[Arm], states: Sequence[ArmState]) -> None:
        """Show each arm that has ended since the last call, and where all of them are."""
        ended = {state.fingerprint: state for state in states if state.state in ENDED}
        for name, state in ended.items():
            if self._ended is not None and name not in self._ended:
                self.note(_ending(state))
        self._ended = set(ended)
        left = time_left(arms, states)
        running = sum(state.state == "running" for state in states)
        time_text = f", {duration(left)} left" if left is not None else ""
        steps, taken = sum(state.steps for state in states), sum(state.step for state in states)
        taken += sum(state.steps - state.step for state in ended.values())
        with self._heard():
            if self.console.is_terminal:
                if self._reporter.bar.live.is_started:
                    self._reporter.bar.stop()
                text = f"{len(ended)} of {len(states)} arms done, {running} running{time_text}"
                self._bar.update(self._task, description=text, completed=taken, total=steps)
                self._bar.start()
            elif time.monotonic() - self._spoke > QUIET:
                self._spoke = time.monotonic()
                self.note(f"{counted(states)}{time_text}")

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._heard():
            for bar in (self._reporter.bar, self._bar):
                if bar.live.is_started:
                    bar.stop()


def _ending(state: ArmState) -> str:
    ending = {
        "completed": f"validation loss {state.validation_loss or 0.0:.4f}",
        "diverged": f"the loss was no longer finite at step {state.step}",
        "failed": f"{state.failures} failed attempts; the last: {state.error}",
    }[state.state]
    return f"{state.state}: {short_values(state.values)} seed={state.seed}: {ending}"

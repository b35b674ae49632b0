"""A progress bar that shows only for work that takes a while."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress as Bar

from simulate.adam import Progress

_PATIENCE = 2.0  # seconds


@contextmanager
def progress_bar(description: str) -> Iterator[Progress | None]:
    """Yield a callback that draws a bar on stderr after two seconds; None if stderr is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    bar = Bar(console=console, transient=True)
    task = bar.add_task(description)
    start = time.monotonic()

    def report(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        if time.monotonic() - start > _PATIENCE and not bar.live.is_started:
            bar.start()

    try:
        yield report
    finally:
        if bar.live.is_started:
            bar.stop()

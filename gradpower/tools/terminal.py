"""What commands show: results as tables or JSON, and a progress bar for work that takes a while."""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TextIO

import numpy as np
import tyro
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress as Bar
from rich.table import Table

from gradpower.tools.files import require_writable, write_file

Progress = Callable[[int, int], None]
_PATIENCE = 2.0  # seconds


@dataclass(frozen=True)
class Output:
    """Where the result goes: a table on stdout, or JSON; and a file."""

    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object with the results and all inputs instead of a table."""
    output: Path | None = None
    """Also write that JSON object to this file."""

    def __post_init__(self) -> None:
        """Refuse a place that cannot be written, before any work."""
        if self.output is not None:
            require_writable(self.output)

    def show(self, result: Mapping[str, Any], table: Table) -> None:
        """Print `result`, as `table` or as JSON, and write it to the file if one is named."""
        text = json.dumps(jsonable(result), allow_nan=False)
        if self.json:
            print(text)
        else:
            Console().print(table)
        if self.output is not None:
            write_file(self.output, text + "\n")
            # With --json, stdout holds the object and nothing else.
            print(f"wrote {self.output}", file=sys.stderr if self.json else sys.stdout)


OutputFlags = Annotated[Output, tyro.conf.arg(name="")]


def jsonable(value: Any, digits: int = 17) -> Any:
    """Return `value` with dataclasses as dicts, arrays as lists, and NaN and infinities as None.

    Floats get so many significant digits; 17 are all that they have.


    >>> jsonable({"power": np.array([0.1 + 0.2, np.nan]), "bound": math.inf}, 10)
    {'power': [0.3, None], 'bound': None}
    """
    if isinstance(value, np.ndarray | np.generic):
        return jsonable(value.tolist(), digits)
    if is_dataclass(value) and not isinstance(value, type):
        return jsonable(asdict(value), digits)
    if isinstance(value, Mapping):
        return {str(key): jsonable(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item, digits) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    return value


def result_table(title: str, columns: Mapping[str, Sequence[Any]], digits: int = 6) -> Table:
    """Return a rich table of `columns` by heading; numbers with so many significant digits."""
    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=SIMPLE,
        collapse_padding=True,
        min_width=min(len(title), 80),
    )
    for heading in columns:
        table.add_column(heading, justify="right")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*(escape(_cell(value, digits)) for value in row))
    return table


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item, digits) for item in value) or "none"
    if value is None:
        return "none"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def tell(written: Sequence[Path], file: TextIO | None = None) -> None:
    """Name the files that were written, on stdout by default."""
    for path in written:
        print(f"wrote {path}", file=file)


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

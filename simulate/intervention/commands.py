"""The command `gradpower simulate intervention`."""

import hashlib
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import tyro
from joblib import Parallel, delayed
from rich.console import Console
from rich.table import Table

from gradpower.tools.errors import whole
from gradpower.tools.files import require_folder, write_file
from gradpower.tools.provenance import provenance
from gradpower.tools.reading import append_line, read_lines
from gradpower.tools.terminal import progress_bar, result_table, tell
from simulate.intervention.study import INTERVENTION, Cell, Design, calibrated, run_cell

DesignFlags = Annotated[Design, tyro.conf.arg(name="")]
_USUAL = Design()
_FOLDER = Path("reproduction/intervention")


def intervention(
    design: DesignFlags = _USUAL,
    workers: int | None = None,
    output: Path = _FOLDER,
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
) -> None:
    """Set the law of the noise, and see whether a power is worth as much less noise as the theory says.

    A small network is trained on its exact gradient plus noise of a chosen law and level, by Adam with ε = 0, at rates
    tuned on other seeds. Measured changes of the loss are compared with predicted ones. Half an hour on two cores;
    an interrupted call keeps what is done, and the same command goes on.

    Parameters
    ----------
    design
        What is run.
    workers
        Processes; one a core if not given.
    output
        Folder for intervention.json.
    json
        Print the content of that file instead of a table.
    """
    count = whole("workers", workers if workers is not None else os.cpu_count() or 1)
    require_folder(output)
    cells = _run(design, count, output)
    origin = provenance("gradpower simulate intervention", asdict(design))
    text = INTERVENTION.dump(origin, cells=cells)
    written = write_file(output / INTERVENTION.file, text)
    if json:
        print(text, end="")
        tell([written], file=sys.stderr)
        return
    Console().print(_table(cells))
    for noise, strong in (("strong noise", True), ("weaker noise", False)):
        own = [cell for cell in cells if cell.changes[0].strong == strong]
        if own:
            found = calibrated(own)
            slope = f"{found.slope:.3f} [{found.low:.3f}, {found.high:.3f}]"
            jackknife = "[{:.3f}, {:.3f}]".format(*found.jackknife)
            signs = f"{found.signs} of {found.count} signs"
            print(f"{noise}: measured over predicted {slope}, by jackknife {jackknife}, {signs}")
    tell([written])


def _run(design: Design, workers: int, output: Path) -> list[Cell]:
    """Run all cells, but for those that an interrupted run of the same design has left."""
    mark = hashlib.sha256(repr(design).encode()).hexdigest()[:12]
    kept = output / f"intervention-{mark}.jsonl"
    output.mkdir(parents=True, exist_ok=True)
    done = {(cell.changes[0].law, cell.changes[0].level): cell for cell in read_lines(kept, Cell)[0]}
    wanted = [(law, level) for law in design.laws for level in design.levels]
    todo = [pair for pair in wanted if pair not in done]
    runner = Parallel(n_jobs=min(workers, max(1, len(todo))), return_as="generator_unordered")
    with progress_bar("training under chosen noise") as progress:
        for cell in runner(delayed(run_cell)(*pair, design) for pair in todo):
            append_line(kept, cell)
            done[cell.changes[0].law, cell.changes[0].level] = cell
            if progress is not None:
                progress(len(done), len(wanted))
    return [done[pair] for pair in wanted]


def _table(cells: list[Cell]) -> Table:
    changes = [change for cell in cells for change in cell.changes]
    table = result_table(
        "Loss less that of p = 1, in 1e-3 nats ± standard errors",
        {
            "law": [change.law for change in changes],
            "σ/|∇F|": [f"{change.ratio:.3g}" for change in changes],
            "p": [f"{change.power:g}" for change in changes],
            "β2": [f"{change.beta2:g}" for change in changes],
            "q": [f"{change.equivalent:.3f}" for change in changes],
            "measured": [_pm(change.measured, change.measured_error) for change in changes],
            "predicted": [_pm(change.predicted, change.predicted_error) for change in changes],
        },
    )
    table.caption = "q: by theory, the power acts like noise q times smaller"
    return table


def _pm(value: float, error: float) -> str:
    return f"{1e3 * value:+.2f}±{1e3 * error:.2f}"

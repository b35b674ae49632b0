"""The command `gradpower convergence`: the studies of Section 4.2, their figures and their part of the report."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.markdown import Markdown

from figures.adam.example import Setting
from figures.commands import write_page
from figures.convergence import assumptions, bounds, distortion
from figures.registry import save_figure
from figures.report.convergence import convergence_section, headlines
from figures.results import THEORY
from gradpower.tools.files import require_folder, write_file
from gradpower.tools.provenance import provenance
from gradpower.tools.terminal import tell
from simulate.questions import CONVERGENCE, FULL, QUICK, run_studies

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


def convergence(output: Path = Path("reproduction"), quick: Flag = False) -> int:
    """Answer six questions about the convergence theorems of Section 4.2 by simulation, and draw the answers.

    Bounds against measurements, rates at low noise, gains at high noise, each power at its own best learning rate, a
    search for the extremes, and gradients without a bound. A few minutes on two cores. An interrupted run keeps the
    studies that are done, and the same command goes on. The exit code is 1 if a bound is violated.

    Parameters
    ----------
    output
        Folder for the files; made if need be, and its files of an earlier run overwritten.
    quick
        A try-out of a few seconds, whose numbers mean nothing; its files go to the folder "quick" within the output.
    """
    output = output / "quick" if quick else output
    require_folder(output)
    size = QUICK if quick else FULL
    if quick:
        print("a try-out: its numbers mean nothing", file=sys.stderr)
    studies = run_studies(size, output / "unfinished")
    origin = provenance("gradpower convergence" + " --quick" * quick, asdict(size))
    file = write_file(output / CONVERGENCE.file, CONVERGENCE.dump(origin, studies=studies))
    content = CONVERGENCE.read(file)
    drawn = {
        "convergence-bounds": bounds.compute(steps=size.steps, seeds=size.seeds),
        "exponents": content.studies.rates,
        "slack": content.studies.bounds,
        "gain": content.studies.gains,
        "assumptions": assumptions.compute(),
        "distortion": distortion.compute(Setting()),
    }
    written = [file]
    for name, data in drawn.items():
        written += save_figure(name, data, origin, output)
    if THEORY.find(output):
        written.append(write_page(output))
    Console().print(Markdown(headlines(convergence_section(content))))
    for path in (output / "unfinished").glob("*.json"):
        path.unlink()
    if (output / "unfinished").is_dir():
        (output / "unfinished").rmdir()
    tell(written)
    return 1 if studies.violated else 0

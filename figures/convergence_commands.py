"""The command `gradpower convergence`: the studies of Section 4.2, and the answers that they give."""

import shutil
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from figures.report.convergence import convergence_section, headlines
from gradpower.tools.files import require_folder, write_file
from gradpower.tools.provenance import provenance
from gradpower.tools.terminal import tell
from simulate.questions import CONVERGENCE, FULL, run_studies


def convergence(output: Path = Path("reproduction")) -> int:
    """Answer six questions about the convergence theorems of Section 4.2 by simulation.

    Bounds against measurements, rates at low noise, gains at high noise, each power at its own best learning rate, a
    search for the extremes, and gradients without a bound. A few minutes on two cores; an interrupted call keeps the
    questions that are done, and the same command goes on. The exit code is 1 if a bound is violated.
    `gradpower figure exponents` and `gradpower figure gain` draw the answers, `gradpower report` writes them out.

    Parameters
    ----------
    output
        Folder for convergence.json; made if need be.
    """
    require_folder(output)
    unfinished = output / "convergence-unfinished"
    studies = run_studies(FULL, unfinished)
    origin = provenance("gradpower convergence", asdict(FULL))
    file = write_file(output / CONVERGENCE.file, CONVERGENCE.dump(origin, studies=studies))
    shutil.rmtree(unfinished)
    Console().print(Markdown(headlines(convergence_section(CONVERGENCE.read(file)))))
    tell([file])
    for name in ("exponents", "gain"):
        print(f"to draw it: gradpower figure {name} {file}")
    return 1 if studies.violated else 0

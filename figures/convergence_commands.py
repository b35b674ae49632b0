"""The command `gradpower convergence`: the studies of Section 4.2, their figures and their part of the report."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import tyro
from matplotlib.figure import Figure
from rich.console import Console

from figures import assumptions, convergence_bounds, distortion, exponents, slack, speed_up
from figures.commands import checkout_to_refresh, tell
from figures.convergence_answers import answers
from figures.convergence_report import table_of_answers
from figures.curves import Setting
from figures.report import page
from figures.results import dump, results
from figures.style import Row, save
from gradpower.tools.files import require_folder, write_file
from gradpower.tools.provenance import provenance
from gradpower.tools.terminal import progress_bar
from simulate.questions import FULL, QUESTIONS, QUICK, Size

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]
Studies = dict[str, list[Row]]

_REPRODUCTION = Path("reproduction")
_PICTURES = ("convergence_exponents", "convergence_gain")  # shown by the README and the report


def convergence(output: Path = _REPRODUCTION, quick: Flag = False, update: Flag = False) -> int:
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
    update
        Also refresh the checkout's own results/convergence.json, paper_repro.md and pictures in docs.

    Examples
    --------
    $ gradpower convergence
    """
    output = output / "quick" if quick else output
    require_folder(output)
    root = checkout_to_refresh() if update and not quick else None
    size = QUICK if quick else FULL
    if quick:
        print("a try-out: its numbers mean nothing", file=sys.stderr)
    studies = _studies(size, output / "unfinished")
    origin = provenance("gradpower convergence" + " --quick" * quick, asdict(size))
    content = results("convergence", origin, studies=studies)
    written = [
        write_file(output / "convergence.json", dump(content)),
        *_draw(content["studies"], origin, size, output),
    ]
    text = page(output, convergence=content)
    if text is not None:
        written.append(write_file(output / "paper_repro.md", text))
    found = answers(content)
    Console().print(table_of_answers(found))
    if root is not None:
        written += _refresh(content, output, root)
    for path in (output / "unfinished").glob("*.json"):
        path.unlink()
    if (output / "unfinished").is_dir():
        (output / "unfinished").rmdir()
    tell(written)
    return 1 if any(row.get("violated") for rows in studies.values() for row in rows) else 0


def _studies(size: Size, folder: Path) -> Studies:
    """Run the studies, those aside that an interrupted run of the same code and size has left in `folder`."""
    done: Studies = {}
    mark = {"size": asdict(size), "code": _code()}
    for name, study in QUESTIONS.items():
        path = folder / f"{name}.json"
        kept = _kept(path)
        if kept.get("mark") != mark:
            try:
                with progress_bar(f"study of {name}") as progress:
                    kept = {"mark": mark, "rows": study(size, progress or (lambda done, total: None))}
            except KeyboardInterrupt:
                if done:
                    print(f"{', '.join(done)} kept in {folder}: the same command goes on", file=sys.stderr)
                raise
            write_file(path, json.dumps(kept))
        done[name] = kept["rows"]
    return done


def _kept(path: Path) -> dict[str, Any]:
    """What an interrupted run has left in a file; nothing if it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _code() -> str:
    """Fingerprint of the rooms that the studies run in."""
    digest = hashlib.sha256()
    here = Path(__file__).resolve().parents[1]
    for room in ("simulate", "theory"):
        for path in sorted((here / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _draw(studies: Studies, origin: dict[str, Any], size: Size, folder: Path) -> list[Path]:
    """Draw and write every figure of Section 4.2."""
    curves = convergence_bounds.compute(steps=size.steps, seeds=size.seeds)
    regions = assumptions.compute()
    shapes = distortion.compute(Setting())
    drawn: list[tuple[str, Figure, list[Row]]] = [
        (convergence_bounds.FILE, convergence_bounds.draw(curves), convergence_bounds.rows(curves)),
        (exponents.FILE, exponents.draw(studies["rates"]), exponents.rows(studies["rates"])),
        (slack.FILE, slack.draw(studies["bounds"]), slack.rows(studies["bounds"])),
        (speed_up.FILE, speed_up.draw(studies["gains"]), speed_up.rows(studies["gains"])),
        (assumptions.FILE, assumptions.draw(regions), assumptions.rows(regions)),
        (distortion.FILE, distortion.draw(shapes), distortion.rows(shapes)),
    ]
    return [path for name, figure, rows in drawn for path in save(figure, rows, origin, folder, name)]


def _refresh(content: dict[str, Any], output: Path, root: Path) -> list[Path]:
    """Write the committed results, report and pictures."""
    texts = [(root / "results" / "convergence.json", dump(content))]
    text = page(root / "results", convergence=content)
    if text is not None:
        texts.append((root / "paper_repro.md", text))
    written = [write_file(path, text) for path, text in texts]
    return written + [
        write_file(root / "docs" / f"{name}.png", (output / f"{name}.png").read_bytes()) for name in _PICTURES
    ]

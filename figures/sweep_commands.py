"""The command `gradpower analyse`: a study judged by the rule that it declared."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from gradpower.tools.errors import InputError, require, whole
from gradpower.tools.files import require_folder
from gradpower.tools.provenance import provenance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from experiments.sweeps.early_reading import EarlyReading
    from experiments.sweeps.results import ArmResult
    from experiments.sweeps.study import Study

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


def analyse(
    study: Annotated[str, tyro.conf.Positional],
    target_loss: float | None = None,
    seed: int = 0,
    output: Path | None = None,
    json: Flag = False,
) -> None:
    """Judge a study by its declared rule: comparisons with the baseline, best values, and their trend.

    Arms that are still missing are said, and left out in pairs. Writes analysis.json and the picture with its data.

    Parameters
    ----------
    study
        Name of a study, its .toml file, its folder, or its summary.json.
    target_loss
        Also read all losses when the best arm reaches this validation loss, as the paper's Figure 6 does.
    seed
        Of the bootstrap.
    output
        Folder for the files; that of the study, or of the summary.json, if not given.
    json
        Print the analysis as one JSON object instead of tables.

    Examples
    --------
    $ gradpower analyse runs/example
    """
    from rich.console import Console

    from experiments.sweeps.analysis import analyse as judge
    from experiments.sweeps.analysis import tables
    from experiments.sweeps.results import read_history, read_outcome, write_analysis
    from figures.commands import tell

    whole("seed", seed, minimum=0)
    source = _source(study)
    folder = output or (source if source.is_dir() else source.parent)
    require_folder(folder)
    planned, results = read_outcome(source)
    early = _early(source, planned, results, target_loss)
    analysis = judge(planned, results, early=early, seed=seed, history=read_history(source))
    config = {
        "study": planned.name,
        "fingerprint": planned.fingerprint,
        "target_loss": target_loss,
        "seed": seed,
    }
    origin = provenance(f"gradpower analyse {planned.name}", config)
    path, text = write_analysis(folder, analysis, origin)
    written = [path, *_pictures(analysis, origin, folder)]
    if json:
        print(text, end="")
    else:
        for table in tables(analysis):
            Console().print(table)
    tell(written, file=sys.stderr if json else sys.stdout)


def _source(word: str) -> Path:
    """Return the folder or the file that a word names: as a path, or as the study whose folder it is."""
    from experiments.sweeps.folder import default_folder
    from experiments.sweeps.studies import chosen_study

    path = Path(word)
    if path.is_file() and path.suffix != ".toml":
        return path
    if any((path / name).exists() for name in ("study.json", "summary.json")):
        return path
    try:
        folder = default_folder(chosen_study(word))
    except InputError as error:
        if path.suffix == ".toml":
            raise
        allowed = f"{error.allowed}, or the folder of a study, or its summary.json"
        raise InputError("study", word, allowed) from None
    require(folder.is_dir(), "study", word, f"one with a folder: there is no {folder} yet")
    return folder


def _early(
    source: Path, study: Study, results: Sequence[ArmResult], target: float | None
) -> EarlyReading | None:
    if target is None:
        return None
    from experiments.sweeps.early_reading import EarlyReading, curves_of, read_curves

    running = (source / "study.json").exists()
    reading = EarlyReading(target, read_curves(source, study) if running else curves_of(results))
    if not any(min(losses) <= target for _, losses in reading.curves.values()):
        reached = min((min(losses) for _, losses in reading.curves.values()), default=None)
        known = "a study whose arms have evaluations" if reached is None else f"at least {reached:.4g}"
        raise InputError("target_loss", target, f"a validation loss that an arm reached: {known}")
    return reading


def _pictures(analysis: dict[str, Any], origin: dict[str, Any], output: Path) -> list[Path]:
    from experiments.sweeps.verdict import early_view
    from figures import sweep_losses as picture
    from figures.style import save

    rows = picture.rows(analysis)
    written = list(save(picture.draw(analysis), rows, origin, output, picture.FILE))
    view = early_view(analysis)
    if view is not None:
        own = [row for row in rows if row["view"] == view["kind"]]
        written += save(picture.draw(analysis, view), own, origin, output, f"{picture.FILE}_early")
    return written

"""The command `gradpower analyse`: a study judged by the rule that it declared."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from theory.files import require_folder, write_file
from theory.flags import jsonable
from theory.inputs import InputError, count
from theory.provenance import provenance

if TYPE_CHECKING:
    from experiments.sweeps.early_reading import EarlyReading
    from experiments.sweeps.study import Study

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]
FILE = "analysis.json"


def analyse(
    study: Annotated[Path, tyro.conf.Positional],
    target_loss: float | None = None,
    seed: int = 0,
    output: Path = Path("reproduction"),
    json: Flag = False,
) -> None:
    """Judge a study by its declared rule: comparisons with the baseline, best values, and their trend.

    Arms that are still missing are said, and left out in pairs. Writes analysis.json and the picture with its data.

    Parameters
    ----------
    study
        Folder of the study, or its summary.json.
    target_loss
        Also read all losses when the best arm reaches this validation loss, as the paper's Figure 6 does; needs
        the folder.
    seed
        Of the bootstrap.
    output
        Folder for the files.
    json
        Print the analysis as one JSON object instead of tables.

    Examples
    --------
    $ gradpower analyse runs/example
    """
    from json import dumps

    from rich.console import Console

    from experiments.sweeps.analysis import analyse as judge
    from experiments.sweeps.analysis import tables
    from experiments.sweeps.outcome import read_outcome
    from figures.commands import tell

    require_folder(output)
    count("seed", seed, minimum=0)
    planned, results = read_outcome(study)
    analysis = judge(planned, results, early=_early(study, planned, target_loss), seed=seed)
    config = {
        "study": planned.name,
        "fingerprint": planned.fingerprint,
        "target_loss": target_loss,
        "seed": seed,
    }
    origin = provenance(f"gradpower analyse {study.name}", config)
    content = jsonable({**analysis, "provenance": origin})
    text = dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    written = [write_file(output / FILE, text), *_pictures(analysis, origin, output)]
    if json:
        print(text, end="")
    else:
        for table in tables(analysis):
            Console().print(table)
    tell(written, file=sys.stderr if json else sys.stdout)


def _early(folder: Path, study: Study, target: float | None) -> EarlyReading | None:
    if target is None:
        return None
    from experiments.sweeps.early_reading import EarlyReading, read_curves

    reading = EarlyReading(target, read_curves(folder, study) if folder.is_dir() else {})
    if not any(min(losses) <= target for _, losses in reading.curves.values()):
        reached = min((min(losses) for _, losses in reading.curves.values()), default=None)
        known = (
            "the study's folder with the metrics of its arms"
            if reached is None
            else f"at least {reached:.4g}"
        )
        raise InputError("target_loss", target, f"a validation loss that an arm reached: {known}")
    return reading


def _pictures(analysis: dict[str, Any], origin: dict[str, Any], output: Path) -> list[Path]:
    from figures import sweep_losses as picture
    from figures.style import save

    rows = picture.rows(analysis)
    written = list(save(picture.draw(analysis), rows, origin, output, picture.FILE))
    early = [view for view in analysis["views"] if "read early" in view["kind"]]
    for view in early:
        own = [row for row in rows if row["view"] == view["kind"]]
        written += save(picture.draw(analysis, view), own, origin, output, f"{picture.FILE}_early")
    return written

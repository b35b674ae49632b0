"""The command `gradpower analyse`: a study judged by the rule that it declared."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gradpower.tools.errors import InputError, require
from gradpower.tools.files import require_folder
from gradpower.tools.provenance import provenance
from gradpower.tools.terminal import tell

if TYPE_CHECKING:
    from experiments.sweeps.analysis import Analysis
    from experiments.sweeps.study import Study

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


def analyse(
    study: Annotated[str, tyro.conf.Positional],
    output: Path | None = None,
    json: Flag = False,
) -> None:
    """Judge a study by its declared rule: comparisons with the baseline, slopes there, and how the best moves.

    Prints one line with the label and its numbers, tables, and the command that draws them. Missing arms are left out
    in pairs. Writes analysis.json into the study's folder.

    Parameters
    ----------
    study
        Name of a study, its .toml file, its folder, or its summary.json.
    output
        Folder for analysis.json; that of the study if not given. Of a summary.json none is written then.
    json
        Print the analysis as one JSON object instead of tables.

    Examples
    --------
    $ gradpower analyse runs/example
    """
    from rich.console import Console

    from experiments.sweeps.analysis import write_analysis
    from experiments.sweeps.analysis_tables import tables, verdict_line

    source = study_source(study)
    folder = output or (source if source.is_dir() else None)
    if folder is not None:
        require_folder(folder)
    planned, analysis = judged_study(source)
    config = {"study": planned.name, "fingerprint": planned.fingerprint}
    origin = provenance(f"gradpower analyse {planned.name}", config)
    written, text = write_analysis(folder, analysis, origin)
    if json:
        print(text, end="")
    else:
        print(verdict_line(analysis))
        for table in tables(analysis):
            Console().print(table)
    tell(written, file=sys.stderr if json else sys.stdout)
    print(f"to draw it: gradpower figure sweep-losses {source}", file=sys.stderr if json else sys.stdout)


def judged_study(source: Path) -> tuple[Study, Analysis]:
    """Return a study, and its analysis by the rule that it declared."""
    from experiments.sweeps.judge import analyse as judge
    from experiments.sweeps.results import read_history, read_outcome

    planned, results = read_outcome(source)
    late = [row["added"] for row in read_history(source) if row["finished"]]
    return planned, judge(planned, results, added_late=late)


def study_source(word: str) -> Path:
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

"""The commands `gradpower sweep` and `gradpower status`."""

from __future__ import annotations

import json as json_module
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.live import Live

from experiments.sweeps.arms import ENDED, ArmState, Board
from experiments.sweeps.display import Display, counted, dry_view, seconds_left, status_view
from experiments.sweeps.engine import Options, check_study, run_sweep
from experiments.sweeps.folder import default_folder, read_additions, read_folder
from experiments.sweeps.results import known_results, read_results, write_summary
from experiments.sweeps.studies import chosen_study
from experiments.sweeps.study import Study
from experiments.training.commands import ExecutionFlags, Flag, require_torch
from experiments.training.execution import Execution
from gradpower.tools.errors import InputError, require, whole
from gradpower.tools.files import require_folder
from gradpower.tools.provenance import provenance
from gradpower.tools.terminal import jsonable

STOPPED = 130
OptionsFlags = Annotated[Options, tyro.conf.arg(name="")]
_HERE, _USUAL = Execution(), Options()
StudyWord = Annotated[str, tyro.conf.Positional]


def sweep(
    study: StudyWord,
    execution: ExecutionFlags = _HERE,
    output: Path | None = None,
    known: Path | None = None,
    options: OptionsFlags = _USUAL,
    dry_run: Flag = False,
    json: Flag = False,
) -> int:
    """Run every arm of a study, and judge the outcome by its declared rule.

    What is done is skipped, and what was interrupted goes on: the same command can be given again at any time, also
    twice at once or on several machines that share the folder. Exit code 0: all arms are done; 1: some failed; 130:
    interrupted or out of time, and saved.

    Parameters
    ----------
    study
        Name of a study, or a .toml file.
    execution
        Where and how each arm is run; no part of what the study is.
    output
        Folder of the study; runs/NAME if not given.
    known
        A summary.json of this study from elsewhere, as results/batch_size/pocket/main.json: what it has the results
        of, on this text, is not run again. Not with --snapshots, which it does not have.
    options
        With how many workers, for how long, and where.
    dry_run
        List the arms, their state and the time they will need, as far as finished ones tell; run and write nothing.
    json
        Print one JSON object instead of tables.

    Examples
    --------
    $ gradpower sweep example --workers 2
    """
    chosen = chosen_study(study)
    folder = output or default_folder(chosen)
    require_torch()
    if dry_run:
        _dry_run(chosen, folder, execution, options, known, json)
        return 0
    return _sweep(chosen, folder, execution, options, known, json)


def _sweep(
    study: Study, folder: Path, execution: Execution, options: Options, known: Path | None, json: bool
) -> int:
    with Display() as shown:
        ended = run_sweep(study, folder, execution, options, shown, known)
    # What is judged is what the folder says: another sweep may have added to the study meanwhile.
    study = read_folder(folder) or study
    states = Board(folder, study, options.retries).states()
    print(counted(states), file=sys.stderr)
    failed = [state for state in states if state.state == "failed"]
    if ended == "stopped":
        written = write_summary(folder, study)
        if json:
            _print_json(study, folder, states, ended=ended)
        print(f"wrote {written}", file=sys.stderr)
        print("stopped, and saved: the same command goes on", file=sys.stderr)
        return STOPPED
    _conclude(study, folder, states, json)
    if failed:
        raised = max(state.failures for state in failed)
        hint = f"to try them again: --retries {raised} or more"
        print(f"{len(failed)} arms failed, see attempts.jsonl in their folders; {hint}", file=sys.stderr)
    return 1 if failed else 0


def _conclude(study: Study, folder: Path, states: Sequence[ArmState], json: bool) -> None:
    """Analyse what came of all arms, write it and the summary, and print it."""
    from experiments.sweeps.analysis import write_analysis
    from experiments.sweeps.analysis_tables import tables, verdict_line
    from experiments.sweeps.judge import analyse

    summary = write_summary(folder, study)
    late = [row["added"] for row in read_additions(folder) if row["finished"]]
    analysis = analyse(study, read_results(folder, study), added_late=late)
    origin = provenance(f"gradpower sweep {study.name}", _content(study, folder))
    paths = [summary, *write_analysis(folder, analysis, origin)[0]]
    if json:
        _print_json(study, folder, states, ended="done", analysis=asdict(analysis))
    else:
        print(verdict_line(analysis))
        for table in tables(analysis):
            Console().print(table)
    for path in paths:
        print(f"wrote {path}", file=sys.stderr if json else sys.stdout)


def _dry_run(
    study: Study, folder: Path, execution: Execution, options: Options, known: Path | None, json: bool
) -> None:
    from experiments.corpora import require_text

    require_folder(folder)
    for data in {arm.recipe.data: None for arm in study.arms()}:
        require_text(data)
    check_study(study, folder, execution, known)
    board = Board(folder, study, options.retries)
    states = board.states()
    if known is not None:
        done = {arm.fingerprint for arm, _, _ in known_results(study, known)}
        states = [
            replace(state, state="completed")
            if state.state == "open" and state.fingerprint in done
            else state
            for state in states
        ]
        print(f"{len(done)} of these arms are in {known}, if their text is the same", file=sys.stderr)
    seconds = seconds_left(board.arms, states)
    if not json:
        Console().print(dry_view(study, states, seconds))
        return
    rows = [asdict(state) | {"seconds_left": left} for state, left in zip(states, seconds, strict=True)]
    print(json_module.dumps(jsonable(_content(study, folder) | {"arms": rows})))


def _content(study: Study, folder: Path) -> dict[str, Any]:
    return {"study": study.name, "fingerprint": study.fingerprint, "folder": str(folder)}


def _print_json(study: Study, folder: Path, states: Sequence[ArmState], **more: Any) -> None:
    rows = [asdict(state) for state in states]
    print(json_module.dumps(jsonable(_content(study, folder) | {"arms": rows} | more), allow_nan=False))


def status(
    study: StudyWord,
    output: Path | None = None,
    retries: int = 2,
    watch: Flag = False,
    json: Flag = False,
) -> int:
    """Show where the arms of a study are.

    Parameters
    ----------
    study
        Name of a study, a .toml file, or the folder of a study.
    output
        Folder of the study; runs/NAME if not given.
    retries
        As given to `gradpower sweep`: an arm with more failures than that has failed.
    watch
        Go on showing it until all arms are done, or Ctrl-C.
    json
        Print one JSON object instead of a table.

    Examples
    --------
    $ gradpower status example --watch
    """
    whole("retries", retries, minimum=0)
    require(not (watch and json), "json", "with --watch", "one of --watch and --json")
    begun, folder = _begun_study(study, output)
    board = Board(folder, begun, retries)
    if watch:
        _watch(board, begun)
    elif json:
        _print_json(begun, folder, board.states())
    else:
        Console().print(status_view(begun, board.states()))
    return 0


def _begun_study(word: str, output: Path | None) -> tuple[Study, Path]:
    """Return the study that a word names as it is in its folder, and the folder."""
    # A folder, or the name of a study that was once read from a file.
    near = (Path(word), Path("runs") / word)
    begun = next((path for path in near if (path / "study.json").exists()), None)
    try:
        folder = output or begun or default_folder(chosen_study(word))
    except InputError as error:
        if error.argument != "study":
            raise
        raise InputError(
            error.argument, error.value, f"{error.allowed}, or a folder with study.json"
        ) from None
    study = read_folder(folder)
    if study is None:
        raise InputError("study", word, f"one with a folder: there is no {folder / 'study.json'} yet")
    return study, folder


def _watch(board: Board, study: Study) -> None:
    with Live(console=Console(), auto_refresh=False) as live:
        while True:
            states = board.states()
            live.update(status_view(study, states), refresh=True)
            if all(state.state in ENDED for state in states):
                return
            time.sleep(1.0)

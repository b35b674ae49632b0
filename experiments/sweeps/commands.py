"""The commands `gradpower sweep`, `gradpower status` and `gradpower analyse`."""

import json as json_module
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from experiments.sweeps.analysis import SCHEMA
from experiments.sweeps.analysis_tables import tables, verdict_line
from experiments.sweeps.arms import ArmState
from experiments.sweeps.display import Display, arms_view, counted
from experiments.sweeps.engine import Options, run_sweep
from experiments.sweeps.judge import judged
from experiments.sweeps.results import Known, Summary, read_known
from experiments.sweeps.store import Store, read_outcome
from experiments.sweeps.studies import RUNS, chosen_study, read_study, study_folder
from experiments.training.commands import ExecutionFlags, Flag, require_torch
from experiments.training.execution import Execution
from gradpower.tools.errors import require, whole
from gradpower.tools.files import require_folder
from gradpower.tools.provenance import provenance
from gradpower.tools.reading import json_content, write_json
from gradpower.tools.terminal import jsonable, tell

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
    """
    chosen = chosen_study(study)
    require_torch()
    store = Store(output or RUNS / chosen.name, chosen, options.retries)
    store.check(whole=known is None)
    require(
        not (known and execution.snapshots), "known", known, "none with --snapshots: a summary has no weights"
    )
    reused = None if known is None else read_known(chosen, known)
    if dry_run:
        _dry_run(store, reused, json)
        return 0
    with Display() as display:
        ended = run_sweep(store, execution, options, display, reused)
    # What is judged is what the folder says: another sweep may have added to the study meanwhile.
    store = Store(store.folder, retries=options.retries)
    return _conclude(store, ended, json)


def _conclude(store: Store, ended: str, json: bool) -> int:
    """Say where all arms are, write the summary, judge the study if the sweep was not stopped; return the exit code."""
    states, summary = store.states(), store.outcome()
    print(counted(states), file=sys.stderr)
    written = store.write_summary(summary)
    if ended == "stopped":
        if json:
            _show(store, states, json, ended=ended)
        tell([written], file=sys.stderr)
        print("stopped, and saved: the same command goes on", file=sys.stderr)
        return STOPPED
    analysis, paths = _judge(summary, store.folder, "sweep", json)
    if json:
        _show(store, states, json, ended=ended, analysis=analysis)
    tell([written, *paths], file=sys.stderr if json else sys.stdout)
    return _lost(states)


def _lost(states: Sequence[ArmState]) -> int:
    """Say which arms came to nothing, and what can be done; return the exit code."""
    failed = [state.failures for state in states if state.state == "failed"]
    damaged = [state for state in states if state.state == "damaged"]
    if failed:
        hint = f"to try them again: --retries {max(failed)} or more"
        print(f"{len(failed)} arms failed, see attempts.jsonl in their folders; {hint}", file=sys.stderr)
    for state in damaged:
        print(f"{state.error}; without the file, the arm is run again", file=sys.stderr)
    return 1 if failed or damaged else 0


def _judge(
    summary: Summary, folder: Path | None, command: str, json: bool
) -> tuple[dict[str, Any], list[Path]]:
    """Judge a study, write analysis.json if there is a folder, and print its tables; return its content and path."""
    analysis, study = judged(summary), summary.study
    config = {"study": study.name, "fingerprint": study.fingerprint}
    content = {**asdict(analysis), "provenance": provenance(f"gradpower {command} {study.name}", config)}
    written = [write_json(folder / "analysis.json", content, SCHEMA)] if folder else []
    if not json:
        print(verdict_line(analysis))
        for table in tables(analysis):
            Console().print(table)
    return content, written


def _dry_run(store: Store, known: Known | None, json: bool) -> None:
    from experiments.corpora import require_text

    for data in {arm.recipe.data: None for arm in store.arms}:
        require_text(data)
    states = store.states()
    if known is not None:
        done = {arm.fingerprint: result.final.validation_loss for arm, result in known.results}
        states = [
            replace(state, state="completed", validation_loss=done[state.fingerprint], seconds_left=0.0)
            if state.state == "open" and state.fingerprint in done
            else state
            for state in states
        ]
        print(f"{len(done)} of these arms are in {known.path}, if their text is the same", file=sys.stderr)
    _show(store, states, json)


def _show(store: Store, states: Sequence[ArmState], json: bool, **more: Any) -> None:
    """Print where the arms are: as tables, or as JSON with whatever `more` there is to tell."""
    study = store.study
    if not json:
        Console().print(arms_view(study, states))
        return
    content = {
        "study": study.name,
        "fingerprint": study.fingerprint,
        "folder": str(store.folder),
        "arms": states,
    }
    print(json_module.dumps(jsonable(content | more), allow_nan=False))


def status(study: StudyWord, output: Path | None = None, retries: int = 2, json: Flag = False) -> int:
    """Show where the arms of a study are.

    Parameters
    ----------
    study
        Name of a study, a .toml file, or the folder of a study.
    output
        Folder of the study; runs/NAME if not given.
    retries
        As given to `gradpower sweep`: an arm with more failures than that has failed.
    json
        Print one JSON object instead of a table.
    """
    whole("retries", retries, minimum=0)
    store = Store(output or study_folder(study), retries=retries)
    _show(store, store.states(), json)
    return 0


def analyse(study: StudyWord, output: Path | None = None, json: Flag = False) -> None:
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
    """
    source = study_folder(study)
    folder = output or (source if source.is_dir() else None)
    if folder is not None:
        require_folder(folder)
    outcome = read_outcome(source)
    if study.endswith(".toml"):
        allowed = f"a study with the rule that it was run with, as in {source}"
        require(read_study(Path(study)).rule == outcome.study.rule, "study", study, allowed)
    analysis, written = _judge(outcome, folder, "analyse", json)
    if json:
        print(json_module.dumps(json_content(analysis, SCHEMA), allow_nan=False))
    out = sys.stderr if json else sys.stdout
    tell(written, file=out)
    print(f"to draw it: gradpower figure sweep-losses {source}", file=out)

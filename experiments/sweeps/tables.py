"""A study's arms as tables, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from experiments.sweeps.arms import ArmState
from experiments.sweeps.concurrency import Throughput
from experiments.sweeps.estimate import Estimate
from experiments.sweeps.study import Study
from theory.flags import result_table

STATES = ("open", "running", "paused", "completed", "diverged", "failed")


def duration(seconds: float | None) -> str:
    """Return seconds as a person says them.

    >>> [duration(s) for s in (0.4, 75, 7260, 200_000, None)]
    ['0 s', '1 min 15 s', '2 h 01 min', '2 d 7 h', '']
    """
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def clock(seconds: float | None) -> str:
    """Return seconds as hours, minutes and seconds, short enough for a column.

    >>> [clock(s) for s in (75, 7260, None)]
    ['1:15', '2:01:00', '']
    """
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def short_values(values: Mapping[str, Any]) -> str:
    """Return the values of an arm in one line, without the sections of the fields.

    >>> short_values({"optimizer.power": 1.2, "training.batch_size": 8})
    'power=1.2 batch_size=8'
    """
    return " ".join(f"{name.partition('.')[2]}={value}" for name, value in values.items())


def counted(states: Sequence[ArmState]) -> str:
    """Return how many arms are in which state, in one line."""
    found = [state.state for state in states]
    parts = [f"{found.count(state)} {state}" for state in reversed(STATES) if state in found]
    return f"{len(states)} arms: {', '.join(parts)}"


def status_table(study: Study, states: Sequence[ArmState]) -> Table:
    """Return the table of `gradpower status`."""
    columns = _arm_columns(study, states) | {
        "step": [f"{state.step}/{state.steps}" for state in states],
        "loss": [_number(state.loss, ".3f") for state in states],
        "val.": [_number(state.validation_loss, ".4f") for state in states],
        "tok/s": [_number(state.tokens_per_second, ".0f") for state in states],
        "beat": ["" if state.heartbeat is None else f"{state.heartbeat:.0f} s" for state in states],
        "left": [clock(state.eta) for state in states],
    }
    columns["failures"] = [state.failures or "" for state in states]
    shown = {name: cells for name, cells in columns.items() if any(cell != "" for cell in cells)}
    table = result_table(f"Study {study.name}", shown)
    table.caption = f"{counted(states)}; training and validation loss in nats a token"
    for column in table.columns:
        column.no_wrap = True
    return table


def _arm_columns(study: Study, states: Sequence[ArmState]) -> dict[str, list[Any]]:
    """Return which arm each is, and its state."""
    # Of fields that vary together, one tells which arm it is.
    names = [next(iter(axis)) for axis in study.axes]
    return {name.partition(".")[2]: [state.values[name] for state in states] for name in names} | {
        "seed": [state.seed for state in states],
        "state": [state.state for state in states],
    }


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def dry_table(study: Study, states: Sequence[ArmState], needed: Sequence[Estimate]) -> Table:
    """Return the table of `gradpower sweep --dry-run`."""
    times = [duration(each.seconds) if each.basis != "done" else "" for each in needed]
    table = result_table(f"Study {study.name}", _arm_columns(study, states) | {"time": times})
    bases = {each.basis for each in needed}
    told = [f"{counted(states)}; {duration(sum(each.seconds for each in needed))} one by one"]
    if "measured" in bases:
        told.append("times measured on finished arms of the same model")
    if "operations" in bases:
        told.append("times counted from operations at the speed of a plain matrix product: lower bounds")
    table.caption = "; ".join(told)
    return table


def throughput_table(rows: Sequence[Throughput]) -> Table:
    """Return the table of arms an hour against the number of workers."""
    return result_table(
        "Arms an hour by number of workers",
        {
            "workers": [row.workers for row in rows],
            "threads each": [row.threads for row in rows],
            "arms/hour": [f"{row.arms_per_hour:.1f}" for row in rows],
            "against one by one": [f"{row.gain:.2f}" for row in rows],
        },
    )

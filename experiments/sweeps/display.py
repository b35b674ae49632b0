"""What a person sees of a sweep: progress while it goes, and its arms as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from experiments.sweeps.arms import ENDED, STATES, ArmState
from experiments.sweeps.leases import LIMIT
from experiments.sweeps.study import Settings, Study
from experiments.training.reporting import LiveReporter, duration
from gradpower.tools.terminal import result_table

Point = tuple[Settings, dict[int, ArmState]]


def short(name: str) -> str:
    """Return a field's name without its section, in words.

    >>> short("training.batch_size")
    'batch size'
    """
    return name.rpartition(".")[2].replace("_", " ")


def number(value: float | None, form: str = ".3g") -> str:
    """Return a number as text; a dash if there is none."""
    return "–" if value is None else format(value, form)


def counted(states: Sequence[ArmState]) -> str:
    """Return how many arms are in which state, in one line."""
    names = [state.state for state in states]
    parts = [f"{names.count(state)} {state}" for state in reversed(STATES) if state in names]
    return f"{len(states)} arms: {', '.join(parts)}"


def arms_view(study: Study, states: Sequence[ArmState]) -> Group:
    """Return a table of every arm, a column a seed, one of those that run now, and what else is to be known."""
    points = _points(states)
    table: dict[str, list[Any]] = _columns(study, [values for values, _ in points]) | {
        f"seed {seed}": [_cell(arms.get(seed)) for _, arms in points] for seed in study.seeds
    }
    lines = [
        "Validation loss in nats a token where done; % of the steps, in brackets if paused.",
        counted(states),
    ]
    if left := _tokens_left(study, states):
        lines.append(f"{left / 1e6:.3g}M tokens are left to train on")
    needed = [sum(state.seconds_left or 0.0 for state in arms.values()) for _, arms in points]
    if any(needed):
        table["time left"] = [duration(seconds or None) for seconds in needed]
        if all(state.seconds_left is not None for state in states):
            lines.append(f"{duration(sum(needed))} one by one")
    tables = [result_table(f"Study {study.name}", table)]
    running = [state for state in states if state.state == "running"]
    if running:
        tables.append(_running_table(study, running))
    for column in (column for each in tables for column in each.columns):
        column.no_wrap = True
    failures = sum(state.failures for state in states)
    lines += [f"{failures} failed attempts: attempts.jsonl"] if failures else []
    for state in states:
        if state.state == "damaged":
            lines.append(str(state.error))
        elif (state.heartbeat or 0.0) > LIMIT:
            lines.append(f"{_name(state)}: the worker, {state.holder}, is suspended")
    return Group(*tables, *map(Text, lines))


def _tokens_left(study: Study, states: Sequence[ArmState]) -> int:
    return sum(
        arm.recipe.tokens_per_step * (state.steps - state.step)
        for arm, state in zip(study.arms(), states, strict=True)
        if state.state not in ENDED
    )


def _columns(study: Study, rows: Sequence[Settings]) -> dict[str, list[Any]]:
    """Return the fields that tell which arm it is: of those that vary together as many as it takes."""
    names = [name for axis in study.axes for name in _telling(axis)]
    return {short(name): [values[name] for values in rows] for name in names}


def _telling(axis: Mapping[str, Sequence[Any]]) -> list[str]:
    told, points = list[str](), 0
    for name in axis:
        if (count := len(set(zip(*(axis[known] for known in (*told, name)), strict=True)))) > points:
            told, points = [*told, name], count
    return told


def _points(states: Sequence[ArmState]) -> list[Point]:
    """Return the combinations of values, each with its arms by seed, in the study's order."""
    points: dict[Any, Point] = {}
    for state in states:
        points.setdefault(frozenset(state.values.items()), (state.values, {}))[1][state.seed] = state
    return list(points.values())


def _cell(state: ArmState | None) -> str:
    if state is None or state.state == "open":
        return "–"
    if state.state in ("diverged", "failed", "damaged"):
        return state.state
    if state.state == "completed":
        return number(state.validation_loss, ".4f")
    share = f"{state.step / state.steps:.0%}"
    return f"({share})" if state.state == "paused" else share


def _running_table(study: Study, states: Sequence[ArmState]) -> Table:
    columns: dict[str, list[Any]] = {
        "seed": [state.seed for state in states],
        "step": [f"{state.step}/{state.steps}" for state in states],
        "loss": [number(state.loss, ".3f") for state in states],
        "tok/s": [number(state.tokens_per_second, ".0f") for state in states],
        "beat": [f"{state.heartbeat:.0f} s" for state in states],
        "left": [duration(state.seconds_left) for state in states],
    }
    return result_table("Running", _columns(study, [state.values for state in states]) | columns)


class Display(LiveReporter):
    """Progress of a sweep on stderr; its bar is cleared in the end."""

    def __init__(self) -> None:
        super().__init__()
        self._ended: set[str] | None = None

    def arms(self, states: Sequence[ArmState]) -> None:
        """Show each arm that has ended since the last call, and where all of them are."""
        ended = {state.fingerprint: state for state in states if state.state in ENDED}
        for name, state in ended.items():
            if self._ended is not None and name not in self._ended:
                self.note(_ending(state))
        self._ended = set(ended)
        running = sum(state.state == "running" for state in states)
        seconds = [state.seconds_left for state in states if state.seconds_left is not None]
        known = running and len(seconds) == len(states)
        time_left = f", {duration(sum(seconds) / running)} left" if known else ""
        done = sum(state.steps if state.state in ENDED else state.step for state in states)
        self.progress("step", done, sum(state.steps for state in states), counted(states) + time_left)


def _ending(state: ArmState) -> str:
    ending = {
        "completed": f"validation loss {state.validation_loss or 0.0:.4f}",
        "diverged": f"the loss was no longer finite at step {state.step}",
        "failed": f"{state.failures} failed attempts; the last: {state.error}",
        "damaged": state.error,
    }[state.state]
    return f"{state.state}: {_name(state)}: {ending}"


def _name(state: ArmState) -> str:
    values = " ".join(f"{name.partition('.')[2]}={value}" for name, value in state.values.items())
    return f"{values} seed={state.seed}"

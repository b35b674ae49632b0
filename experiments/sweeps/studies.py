"""The studies that are known by name: functions that return a whole `Study`."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from experiments.recipes import recipe
from experiments.sweeps.rule import Rule
from experiments.sweeps.study import Study
from experiments.sweeps.study_files import read_study
from theory.inputs import InputError


def example() -> Study:
    """Two powers at two batch sizes, the same tokens at each, learning rate ∝ √(batch size), two seeds: 15 minutes.

    It shows how a study works; two seeds are too few to decide anything but large effects.

    Examples
    --------
    >>> len(example().arms())
    8
    """
    batches = {
        "training.batch_size": (8, 16),
        "training.steps": (800, 400),
        "optimizer.warmup_steps": (60, 30),
        "optimizer.learning_rate": (4.2e-3, 6e-3),
    }
    return Study(
        "example",
        recipe("pocket"),
        axes=({"optimizer.power": (1.0, 1.2)}, batches),
        rule=Rule("optimizer.power", 1.0, within="training.batch_size"),
        seeds=(0, 1),
    )


STUDIES: dict[str, Callable[[], Study]] = {"example": example}


def chosen_study(word: str) -> Study:
    """Return the study of this name, or the one in this TOML file.

    Raises
    ------
    InputError
        If there is none; the nearest name is suggested.

    Examples
    --------
    >>> chosen_study("exampel")
    Traceback (most recent call last):
    ...
    theory.inputs.InputError: study: exampel is not allowed; expected one of example, or a .toml file (did you ...
    """
    if word.endswith(".toml"):
        return read_study(Path(word))
    if word not in STUDIES:
        near = get_close_matches(word, STUDIES, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError("study", word, f"one of {', '.join(STUDIES)}, or a .toml file{hint}")
    return STUDIES[word]()

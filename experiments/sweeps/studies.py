"""The studies that are known by name: functions that return a whole `Study`."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from experiments.recipes.named import recipe
from experiments.sweeps.rule import Rule
from experiments.sweeps.study import RATE, Study, read_study
from gradpower.tools.errors import InputError, require


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
        If there is none (the nearest name is suggested), or its rule cannot decide anything with its seeds.

    Examples
    --------
    >>> chosen_study("exampel")
    Traceback (most recent call last):
    ...
    gradpower.tools.errors.InputError: study: exampel is not allowed; expected one of ... (did you mean example?)
    """
    if word.endswith(".toml"):
        study = read_study(Path(word))
    elif word in STUDIES:
        study = STUDIES[word]()
    else:
        near = get_close_matches(word, STUDIES, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError("study", word, f"one of {', '.join(STUDIES)}, or a .toml file{hint}")
    # A learning rate is chosen, for other runs, and not tested.
    allowed = "two seeds or more: the rule's t test needs their spread"
    require(study.rule.compared == RATE or len(study.seeds) > 1, "seeds", list(study.seeds), allowed)
    return study

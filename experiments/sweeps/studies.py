"""The studies that are known by name: functions that return a whole `Study`."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from experiments.recipes import recipe
from experiments.sweeps.batch_size import PARTS, batch_size_study, word_of
from experiments.sweeps.rule import Rule
from experiments.sweeps.study import Study, read_study
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
SCALED = {word_of(part): part for part in PARTS}


def chosen_study(word: str, scale: str | None = None, source: str | None = None) -> Study:
    """Return the study of this name, or the one in this TOML file.

    Parameters
    ----------
    word : str
        A name, or a path that ends in .toml.
    scale : str, optional
        Of the studies batch-size…: see `batch_size.scales`; pocket if not given.
    source : str, optional
        Text of those studies instead of their recipes' `data.source`.

    Raises
    ------
    InputError
        If there is none, or it has no scales; the nearest name is suggested.

    Examples
    --------
    >>> chosen_study("exampel")
    Traceback (most recent call last):
    ...
    gradpower.tools.errors.InputError: study: exampel is not allowed; expected one of ... (did you mean example?)
    """
    if word in SCALED:
        return batch_size_study(scale or "pocket", SCALED[word], source)
    if word.endswith(".toml"):
        for name, value in (("scale", scale), ("source", source)):
            require(
                value is None,
                name,
                value,
                f"none with a .toml file, which says it itself; {', '.join(SCALED)} have it",
            )
        return read_study(Path(word))
    if word not in STUDIES:
        names = [*STUDIES, *SCALED]
        near = get_close_matches(word, names, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError("study", word, f"one of {', '.join(names)}, or a .toml file{hint}")
    for name, value in (("scale", scale), ("source", source)):
        require(value is None, name, value, f"none, which {word} does not have; {', '.join(SCALED)} do")
    return STUDIES[word]()

"""What is measured: the weights of a run's checkpoint, or those that a recipe starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.recipes.named import RECIPES, recipe
from experiments.recipes.settings import Recipe
from experiments.training.records import read_recipe
from gradpower.tools.errors import InputError

if TYPE_CHECKING:
    from torch import nn


KINDS = ("snapshots", "checkpoints")


@dataclass(frozen=True)
class Source:
    """A model at a point of its training.

    Attributes
    ----------
    recipe : Recipe
        Its recipe.
    step : int
        Steps taken; 0: the initial weights.
    checkpoint : Path or None
        Where the weights lie; None for the initial ones.
    """

    recipe: Recipe
    step: int
    checkpoint: Path | None

    def model(self) -> nn.Module:
        """Return the model, on the CPU.

        Raises
        ------
        InputError
            If the checkpoint is damaged, or not of this recipe.
        """
        from experiments.training.checkpoints import CorruptCheckpoint, load_checkpoint
        from experiments.training.models import build_model

        settings = self.recipe
        model = build_model(settings.model, seed=settings.training.seed, length=settings.data.sequence_length)
        if self.checkpoint is not None:
            try:
                _, weights, state = load_checkpoint(self.checkpoint)
            except CorruptCheckpoint as error:
                raise InputError("source", self.checkpoint, f"a whole checkpoint ({error})") from None
            if state.get("fingerprint") != settings.fingerprint:
                allowed = f"a checkpoint of the recipe beside it ({settings.fingerprint})"
                raise InputError("source", self.checkpoint, allowed)
            model.load_state_dict(weights)
        return model


def find_source(word: str, step: int | None = None) -> Source:
    """Return what a word of the command line names.

    Parameters
    ----------
    word : str
        A run's folder, one of its checkpoints or snapshots (`…/checkpoints/step-NNNNNNNN`), a recipe.json or the name
        of a recipe.
    step : int, optional
        Which checkpoint or snapshot of a run's folder; the newest by default.

    Raises
    ------
    InputError
        If there is no such thing.

    Examples
    --------
    >>> find_source("pocket").step
    0
    >>> find_source("poket")
    Traceback (most recent call last):
    ...
    gradpower.tools.errors.InputError: source: poket is not allowed; expected ... (did you mean pocket?)
    """
    path = Path(word)
    if path.is_dir():
        return _of_folder(path, step)
    if step:
        raise InputError("step", step, f"given for the folder of a run only, and {word} is none")
    if path.suffix == ".json":
        return Source(read_recipe(path), 0, None)
    if word in RECIPES:
        return Source(recipe(word), 0, None)
    raise InputError("source", word, _allowed(word))


def _allowed(word: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, RECIPES, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return (
        f"the folder of a run, one of its checkpoints, a recipe.json, or a name of `gradpower recipes`{hint}"
    )


def _of_folder(path: Path, step: int | None) -> Source:
    from experiments.training.checkpoints import checkpoint_name, checkpoints

    run = path
    if path.parent.name in KINDS and (path / "manifest.json").exists():
        if step is not None:
            raise InputError("step", step, f"given for the folder of a run only, and {path} is a checkpoint")
        run, found = path.parent.parent, [path]
    else:
        found = [checkpoint for kind in KINDS for checkpoint in checkpoints(path / kind)]
    if not (run / "recipe.json").exists() or not found:
        raise InputError("source", path, "the folder of a run with its recipe.json and a checkpoint")
    made = read_recipe(run / "recipe.json")
    if step == 0:
        return Source(made, 0, None)
    steps = {_step(checkpoint): checkpoint for checkpoint in found}
    chosen = step if step is not None else max(steps)
    if chosen not in steps:
        there = ", ".join(str(number) for number in [0, *steps])
        raise InputError("step", chosen, f"one of {there}; {checkpoint_name(chosen)} is not kept in {run}")
    return Source(made, chosen, steps[chosen])


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))

"""What is measured: the weights of a run's checkpoint, or those that a recipe starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.recipes.named import RECIPES, recipe
from experiments.recipes.settings import Recipe
from experiments.training.records import read_recipe
from gradpower.tools.errors import InputError, nearest, require

if TYPE_CHECKING:
    from torch import nn

KINDS = ("snapshots", "checkpoints")


@dataclass(frozen=True)
class Source:
    """A model at a point of its training."""

    recipe: Recipe
    step: int = 0
    """Steps taken; 0: the initial weights."""
    checkpoint: Path | None = None
    """Where the weights lie; None for the initial ones."""

    def model(self) -> nn.Module:
        """Return the model, on the CPU; InputError if the checkpoint is damaged, or not of this recipe."""
        from experiments.training.checkpoints import CorruptCheckpoint, load_checkpoint
        from experiments.training.models import build_model

        settings = self.recipe
        model = build_model(settings.model, seed=settings.training.seed, length=settings.data.sequence_length)
        if self.checkpoint is not None:
            try:
                _, weights, state = load_checkpoint(self.checkpoint)
            except CorruptCheckpoint as error:
                raise InputError("source", self.checkpoint, f"a whole checkpoint ({error})") from None
            allowed = f"a checkpoint of the recipe beside it ({settings.fingerprint})"
            require(state.get("fingerprint") == settings.fingerprint, "source", self.checkpoint, allowed)
            model.load_state_dict(weights)
        return model


def find_source(word: str, step: int | None = None) -> Source:
    """Return what a word of the command line names; InputError if there is no such thing.

    It is a run's folder, of which `step` is a checkpoint or snapshot, by default the newest; one of these
    (`…/checkpoints/step-NNNNNNNN`); a recipe.json; or the name of a recipe.

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
    require(not step, "step", step, f"given for the folder of a run only, and {word} is none")
    if path.suffix == ".json":
        return Source(read_recipe(path))
    allowed = "the folder of a run, one of its checkpoints, a recipe.json, or a name of `gradpower recipes`"
    require(word in RECIPES, "source", word, allowed + nearest(word, RECIPES))
    return Source(recipe(word))


def _of_folder(path: Path, step: int | None) -> Source:
    from experiments.training.checkpoints import checkpoints, step_of

    run = path
    if path.parent.name in KINDS and (path / "manifest.json").exists():
        allowed = f"given for the folder of a run only, and {path} is a checkpoint"
        require(step is None, "step", step, allowed)
        run, found = path.parent.parent, [path]
    else:
        found = [checkpoint for kind in KINDS for checkpoint in checkpoints(path / kind)]
    whole = (run / "recipe.json").exists() and found
    require(whole, "source", path, "the folder of a run with its recipe.json and a checkpoint")
    made = read_recipe(run / "recipe.json")
    if step == 0:
        return Source(made)
    steps = {step_of(checkpoint): checkpoint for checkpoint in found}
    chosen = max(steps) if step is None else step
    kept = ", ".join(map(str, [0, *steps]))
    require(chosen in steps, "step", chosen, f"one of {kept}, of which {run} holds the weights")
    return Source(made, chosen, steps[chosen])

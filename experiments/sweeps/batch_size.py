"""The study of Figures 2 and 6: does the best power fall as the batch grows? With the controls a sceptic would ask for.

Every part is a `Study` of its own at each of the `scales`. All runs of a scale see the same number of tokens: a batch
that is four times as large takes a quarter of the steps, and a quarter of the steps of warm-up.

* rates: the learning rate of each batch size, tuned at p = 1 on a seed that no other part uses, before any comparison;
* main: powers × batch sizes × paired seeds, at those rates;
* one-rate: the comparison at one rate for all batch sizes, as the paper's Figure 6 has it;
* tuned: the rate tuned for each power, too;
* damping: p > 1 shortens the steps; rates times and over the ratio of their RMS;
* half-life: Adam's second moment averaged over the same tokens, not the same steps, at every batch size;
* epsilon, clip, offset: ε^p; clipping after the power; (|g| + 1e-8)^p, as in the authors' code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from experiments.recipes import recipe
from experiments.settings import Recipe
from experiments.sweeps.rule import Rule
from experiments.sweeps.study import RATE, Study
from gradpower.tools.errors import require

POWER, BATCH = "optimizer.power", "training.batch_size"
POWERS = (1.0, 1.2, 0.8, 1.5, 0.9, 1.1, 0.7, 1.35)
"""Both sides of 1; the most telling first, as runs are made in this order."""
THREE = (1.0, 1.2, 0.8)
"""Those of the controls."""
WARMUP = 0.05
"""Share of the steps, as far as a scale says nothing else."""


@dataclass(frozen=True)
class Scale:
    """Model, batch sizes and length of the study.

    Attributes
    ----------
    recipe : Recipe
        At p = 1.
    batches : tuple of int
        Batch sizes in sequences, increasing.
    rates : tuple of float
        Learning rate of each batch size: at the scale pocket from the part `rates` on `rate_seeds`; at paper the
        paper's; at the others √-scaled guesses, to be replaced by what the part `rates` says before any comparison.
    rate_grid : tuple of float
        What that part tries.
    fewest_steps : int
        Steps at the largest batch, which decide the tokens of every run.
    damping : (float, float)
        Ratio of the RMS of AdamPower's update at p = 1.2 to Adam's at the smallest and at the largest batch. 0.94 is
        that of Gaussian gradients without a mean: to be replaced by what `gradpower batch-size` measures in the part
        `main` before the part `damping` is run.
    seeds, rate_seeds : tuple of int
        Of the comparisons, and of the rates before them.
    warmup : float
        Share of the steps.
    guessed : str
        What of these is a guess, for whoever runs it.
    """

    recipe: Recipe
    batches: tuple[int, ...]
    rates: tuple[float, ...]
    rate_grid: tuple[float, ...]
    fewest_steps: int = 500
    damping: tuple[float, float] = (0.94, 0.94)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    rate_seeds: tuple[int, ...] = (100,)
    warmup: float = WARMUP
    guessed: str = ""

    def axis(self, batches: Sequence[int], rates: Sequence[float] | None = None) -> dict[str, Sequence[Any]]:
        """Return the axis of some batch sizes: what is tied to them, and their rates if given."""
        steps = [self.fewest_steps * self.batches[-1] // batch for batch in batches]
        axis: dict[str, Sequence[Any]] = {
            BATCH: tuple(batches),
            "training.steps": tuple(steps),
            "optimizer.warmup_steps": tuple(max(1, round(self.warmup * each)) for each in steps),
        }
        return axis if rates is None else {**axis, RATE: tuple(rates)}

    @property
    def ends(self) -> dict[int, float]:
        """The smallest and the largest batch with their rates: where the controls are run."""
        return {batch: self.rates[self.batches.index(batch)] for batch in (self.batches[0], self.batches[-1])}


def scales() -> dict[str, Scale]:
    """Return the scales by name.

    Examples
    --------
    >>> scales()["pocket"].batches
    (2, 8, 32)
    """
    grid = tuple(round(4e-3 * 2 ** (k / 2), 4) for k in (0, 2, 4, -2, 1, 3, -1, 5, -3, -4))
    paper = recipe("llama-0.2b")
    gpu: dict[str, Any] = {
        "batches": (32, 128, 512),
        "rates": (1.4e-3, 2.8e-3, 5.7e-3),
        "rate_grid": tuple(round(1e-3 * 2 ** (k / 2), 4) for k in range(8)),
        "guessed": "learning rates and the damping ratio are guesses here: first run batch-size-rates, and put what "
        "it finds into experiments/sweeps/batch_size.py",
    }
    return {
        "pocket": Scale(
            recipe("pocket-small"), (2, 8, 32), (2.8e-3, 2.8e-3, 5.7e-3), grid, damping=(0.970, 0.963)
        ),
        "gpu": Scale(recipe("gpu-10m"), **gpu),
        "gpu-30m": Scale(recipe("gpu-30m"), **gpu),
        "gpu-moe": Scale(recipe("gpu-10m-moe"), **gpu),
        "paper": Scale(
            paper,
            (512, 2048, 4096, 8192),
            (1e-3,) * 4,
            (2e-4, 3e-4, 6e-4, 1e-3, 1.5e-3, 2e-3),
            fewest_steps=paper.training.steps * 512 // 8192,
            seeds=(0, 1, 2),
            warmup=1000 / paper.training.steps,
        ),
    }


def _rates(scale: Scale) -> dict[str, Any]:
    axes = ({RATE: scale.rate_grid}, scale.axis(scale.batches))
    return {"axes": axes, "seeds": scale.rate_seeds, "rule": Rule(RATE, scale.rate_grid[0], within=BATCH)}


def _main(scale: Scale) -> dict[str, Any]:
    return {"axes": (scale.axis(scale.batches, scale.rates), {POWER: POWERS})}


def _one_rate(scale: Scale) -> dict[str, Any]:
    """The rate of the batch size in the middle."""
    rate = scale.rates[len(scale.rates) // 2]
    return {"axes": (scale.axis(scale.batches, (rate,) * len(scale.batches)), {POWER: POWERS})}


def _ends(
    scale: Scale,
    powers: Sequence[float],
    small: Sequence[float] = (1.0,),
    large: Sequence[float] = (1.0,),
) -> dict[str, Any]:
    """A control: the smallest batch at its rate times each of some factors, the largest, some powers, three seeds."""
    ends = [
        [(batch, rate * factor) for factor in factors]
        for (batch, rate), factors in zip(scale.ends.items(), (small, large), strict=True)
    ]
    pairs = [pair for both in zip_longest(*ends) for pair in both if pair is not None]
    batches, rates = zip(*pairs, strict=True)
    return {"axes": (scale.axis(batches, rates), {POWER: tuple(powers)}), "seeds": scale.seeds[:3]}


def _tuned(scale: Scale) -> dict[str, Any]:
    """Lower rates at the smallest batch: at pocket size half the rate was not low enough there."""
    factors = (1.0, 2**0.5, 0.5**0.5, 2.0, 0.5)
    rule = Rule(POWER, 1.0, within=BATCH, learning_rate="tuned")
    return _ends(scale, THREE, (*factors, 0.5**1.5, 0.25), factors) | {"rule": rule}


def _damping(scale: Scale) -> dict[str, Any]:
    low, high = scale.damping
    return _ends(scale, (1.0, 1.2), (1.0, low, 1 / low), (1.0, high, 1 / high))


def _half_life(scale: Scale) -> dict[str, Any]:
    """The half-life of β2 at the batch size in the middle."""
    beta2, middle = scale.recipe.optimizer.beta2, scale.batches[len(scale.batches) // 2]
    tokens = middle * scale.recipe.data.sequence_length * math.log(2) / -math.log(beta2)
    return _ends(scale, THREE) | {"fields": {"optimizer.beta2_half_life": float(round(tokens))}}


def _with(field: str, value: Any) -> Callable[[Scale], dict[str, Any]]:
    return lambda scale: _ends(scale, THREE) | {"fields": {field: value}}


PARTS: dict[str, Callable[[Scale], Mapping[str, Any]]] = {
    "main": _main,
    "rates": _rates,
    "one-rate": _one_rate,
    "tuned": _tuned,
    "damping": _damping,
    "half-life": _half_life,
    "epsilon": _with("optimizer.match_epsilon", True),
    "clip": _with("optimizer.clip_order", "after"),
    "offset": _with("optimizer.offset", 1e-8),
}


def batch_size_study(scale: str, part: str = "main", source: str | None = None) -> Study:
    """Return one part of the study at one scale.

    Parameters
    ----------
    scale : str
        "pocket" (two CPU cores, hours), "gpu", "gpu-30m", "gpu-moe" (one GPU) or "paper".
    part : str
        See `PARTS`.
    source : str, optional
        Other text than the recipe's `data.source`.

    Examples
    --------
    >>> len(batch_size_study("pocket").arms())
    120
    """
    known = scales()
    require(scale in known, "scale", scale, f"one of {', '.join(known)}")
    made = known[scale]
    about: dict[str, Any] = {"seeds": made.seeds, "rule": Rule(POWER, 1.0, within=BATCH)} | dict(
        PARTS[part](made)
    )
    base = made.recipe
    if source is not None:
        base = replace(base, data=replace(base.data, source=source))
    return Study(f"{word_of(part)}-{scale}", base, **about)


def word_of(part: str) -> str:
    """Return what a part is called on the command line.

    >>> word_of("main"), word_of("clip")
    ('batch-size', 'batch-size-clip')
    """
    return "batch-size" if part == "main" else f"batch-size-{part}"


def parts_of(study: Study) -> dict[str, str]:
    """Return the names of all parts at the scale of one of them, with their words; none for another study.

    >>> parts_of(batch_size_study("gpu", "clip"))["batch-size-gpu"]
    'batch-size'
    """
    for scale in scales():
        names = {f"{word_of(part)}-{scale}": word_of(part) for part in PARTS}
        if study.name in names:
            return names
    return {}


def guesses(study: Study) -> str:
    """Return what of a study's settings is a guess; nothing for most studies, or the part that replaces guesses.

    >>> guesses(batch_size_study("gpu"))[:14], guesses(batch_size_study("gpu", "rates"))
    ('learning rates', '')
    """
    word = parts_of(study).get(study.name)
    if word is None or word == word_of("rates"):
        return ""
    return scales()[study.name.removeprefix(f"{word}-")].guessed


def command_of(study: Study) -> str:
    """Return the command that runs a study.

    >>> command_of(batch_size_study("gpu", "clip", "text:a.txt"))
    'gradpower sweep batch-size-clip --scale gpu --source text:a.txt'
    """
    word = parts_of(study).get(study.name)
    if word is None:
        return f"gradpower sweep {study.name}"
    scale = study.name.removeprefix(f"{word}-")
    source = study.recipe.data.source
    own = scales()[scale].recipe.data.source
    return f"gradpower sweep {word} --scale {scale}" + ("" if source == own else f" --source {source}")

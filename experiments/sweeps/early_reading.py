"""The paper's reading of Figure 6: all losses at the moment when the best run reaches a target loss.

In the stable phase of a schedule such a loss is not that of the finished run: a rate that is too high looks
worse there than it ends. It is offered to compare with the paper; the rule judges final losses.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from experiments.records import read_metrics
from experiments.sweeps.results import ArmResult
from experiments.sweeps.study import Study
from gradpower.tools.errors import InputError
from theory.numerics.inputs import Array, positive

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class EarlyReading:
    """What an early reading needs.

    Attributes
    ----------
    target : float
        Validation loss that the best arm is to reach, > 0.
    curves : mapping
        By an arm's fingerprint, its (tokens, validation losses).
    """

    target: float
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]

    def __post_init__(self) -> None:
        """Check the target."""
        positive("target_loss", self.target)


def losses_at_target(
    curves: Mapping[Key, tuple[ArrayLike, ArrayLike]], target: float
) -> dict[Key, float] | None:
    """Return every curve's loss at the place where the first of them reaches the target.

    A curve reaches the target where the line between two evaluations first crosses it. All curves are read there, by
    linear interpolation; one that ends before has NaN.

    Parameters
    ----------
    curves : mapping
        (tokens, losses) of some arms: tokens increasing; losses finite.
    target : float
        Loss.

    Returns
    -------
    dict or None
        None if no curve reaches the target.

    Raises
    ------
    InputError
        If tokens do not increase, or there are not as many losses.

    Examples
    --------
    >>> losses_at_target({"a": ([0, 10, 20], [5.0, 4.0, 3.0]), "b": ([0, 10, 20], [5.0, 4.2, 3.4])}, 3.5)
    {'a': 3.5, 'b': 3.8}
    """
    checked = {key: _checked(*curve) for key, curve in curves.items()}
    reached = [
        place for tokens, losses in checked.values() if (place := _first(tokens, losses, target)) is not None
    ]
    if not reached:
        return None
    place = min(reached)
    return {
        key: float(np.interp(place, tokens, losses, left=np.nan, right=np.nan)) if tokens.size else np.nan
        for key, (tokens, losses) in checked.items()
    }


def _checked(tokens: ArrayLike, losses: ArrayLike) -> tuple[Array, Array]:
    x, y = np.asarray(tokens, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or np.any(np.diff(x) <= 0):
        raise InputError("curves", x.tolist(), "increasing tokens, and as many losses")
    return x, y


def _first(tokens: Array, losses: Array, target: float) -> float | None:
    below = np.flatnonzero(losses <= target)
    if not below.size:
        return None
    end = int(below[0])
    if end == 0:
        return float(tokens[0])
    share = (losses[end - 1] - target) / (losses[end - 1] - losses[end])
    return float(tokens[end - 1] + share * (tokens[end] - tokens[end - 1]))


def curves_of(results: Sequence[ArmResult]) -> dict[str, tuple[list[float], list[float]]]:
    """Return the validation losses against tokens of every arm that has ended and tells them.

    Evaluations whose loss was no longer finite are left out.
    """
    kept = {
        result.fingerprint: [row for row in result.evaluations if row.get("validation_loss") is not None]
        for result in results
    }
    return {
        name: ([row["tokens"] for row in rows], [row["validation_loss"] for row in rows])
        for name, rows in kept.items()
        if rows
    }


def read_curves(folder: Path, study: Study) -> dict[str, tuple[list[float], list[float]]]:
    """Return the validation losses against tokens of every arm of a study that has any, from its folder."""
    curves = {}
    for arm in study.arms():
        rows: list[dict[str, Any]] = [
            row
            for row in read_metrics(folder / "arms" / arm.fingerprint)
            if row.get("validation_loss") is not None
        ]
        if rows:
            tokens = [row["step"] * arm.recipe.tokens_per_step for row in rows]
            curves[arm.fingerprint] = (tokens, [row["validation_loss"] for row in rows])
    return curves

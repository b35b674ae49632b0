"""The pictures of the study of batch size and power: what there is to draw, its file, and what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments.sweeps.verdict import early_view, primary_view

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from figures.style import Row

Data = Mapping[str, Any]
LOSSES = "batch_size_losses"


@dataclass(frozen=True)
class Picture:
    """A picture that has not been drawn yet.

    Attributes
    ----------
    file : str
        Its name, without an ending.
    caption : str
        What it shows.
    draw : callable
        Called as draw(); returns the figure and a row for every mark. Only this imports matplotlib.
    """

    file: str
    caption: str
    draw: Callable[[], tuple[Figure, list[Row]]]


def pictures(found: Data) -> list[Picture]:
    """Return the pictures that can be drawn.

    Parameters
    ----------
    found : mapping
        From `figures.batch_size.collect`.
    """
    main, one = found["main"], found["one_rate"]
    made = [_losses("", "Losses less those of p = 1 against p, and the best power", main, primary_view(main))]
    early = early_view(main)
    if early is not None:
        said = "The same, read before the decay when the best run reaches the target loss"
        made.append(_losses("_early", said, main, early))
    if one is not None:
        said = "The same at one learning rate for all batch sizes"
        made.append(_losses("_one_rate", said, one, primary_view(one)))
    if found["contrasts"]:
        made.append(Picture("batch_size_controls", "What each control changes", lambda: _controls(found)))
    said = "Best powers measured and predicted, noise to signal along the training, shape of the noise"
    made.append(Picture("batch_size_theory", said, lambda: _theory(found)))
    return made


def _losses(suffix: str, caption: str, analysis: Data, view: Data) -> Picture:
    def draw() -> tuple[Figure, list[Row]]:
        from figures import sweep_losses

        rows = [row for row in sweep_losses.rows(analysis) if row["view"] == view["kind"]]
        return sweep_losses.draw(analysis, view), rows

    return Picture(LOSSES + suffix, caption, draw)


def _controls(found: Data) -> tuple[Figure, list[Row]]:
    from figures import batch_size_controls

    return batch_size_controls.draw(found["contrasts"]), batch_size_controls.rows(found["contrasts"])


def _theory(found: Data) -> tuple[Figure, list[Row]]:
    from figures import batch_size_theory

    return batch_size_theory.draw(found), batch_size_theory.rows(found)

"""Columns of two panels, one column a law: curves against p, and below them each curve over its own maximum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.style import legend, letter, new_figure, ratio_style

LAW_TITLES = {
    "uniform": "uniform noise",
    "binary": "binary noise",
    "gaussian": "Gaussian noise",
    "laplace": "Laplace noise",
}


def law_title(law: str) -> str:
    """Name of a law in a title.

    >>> law_title("gaussian"), law_title("student-t:5")
    ('Gaussian noise', 'student-t:5 noise')
    """
    return LAW_TITLES.get(law, f"{law} noise")


def law_columns(
    laws: Sequence[str], absolute: str, relative: str, last_power: float
) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """Return a figure and, for each law, its axes of the curves and of the curves over their maxima.

    A single law has the two side by side, several have them one above the other.

    Parameters
    ----------
    laws : sequence of str
        One or more.
    absolute, relative : str
        What the vertical axes show.
    last_power : float
        Where the horizontal axes end.
    """
    if len(laws) == 1:
        figure, grid = new_figure(1, 2, height=3.3, sharex=True)
        pairs = [tuple(grid[0])]
    else:
        figure, grid = new_figure(2, len(laws), height=4.8, sharex=True, sharey="row")
        pairs = [tuple(grid[:, column]) for column in range(len(laws))]
    for law, (top, bottom) in zip(laws, pairs, strict=True):
        top.set_title(law_title(law))
        bottom.set_title("each over its maximum")
        top.set_yscale("log")
        for axis in (top, bottom):
            axis.set_xlim(0, last_power)
            axis.grid(alpha=0.25)
        bottom.set_xlabel("power $p$")
        if len(laws) == 1:
            top.set_xlabel("power $p$")
    pairs[0][0].set_ylabel(absolute)
    pairs[0][1].set_ylabel(relative)
    letter([axis for pair in pairs for axis in pair] if len(laws) == 1 else list(grid.flat))
    return figure, pairs


def ratio_legend(figure: Figure, ratios: Sequence[float], marks: Mapping[str, Mapping[str, Any]]) -> None:
    """Put above the axes what the colours (ratios), and below them what the marks mean."""
    curves = {
        f"{'σ/μ = ' if index == 0 else ''}{ratio:g}": {"markersize": 4, **ratio_style(index, len(ratios))}
        for index, ratio in enumerate(ratios)
    }
    legend(figure, "upper", curves, columnspacing=1.6)
    legend(figure, "lower", {label: {"color": "0.25", **style} for label, style in marks.items()})

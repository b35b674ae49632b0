"""The bounds of Section 4.2 against simulations: where Theorem 4.8, Theorem 4.11, or neither of them speaks.

Marks are means over independent runs with ± 2 standard errors, mostly smaller than the marks. Thick lines are bounds
on them. (a) Noise in proportion to the gradient: Theorem 4.8 falls like T^(−1/2) whatever p, while the averages fall
like T^(−(p+1)/2). So do the dotted bounds of `theory.adagrad.relative_noise`, but for logarithms; their constants are
larger, and they are the lower ones only beyond the T shown. They bound the mean of the 1/(p+1)-th power of a run's
average, and are raised to p+1 here. (b) Strong binary noise: Theorem 4.11. (c) Gaussian noise, where the paper's R is
infinite: `theory.adagrad.bounds.second_moment_bound`, on the square of the mean of |F'|.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.style import Row, columns, grouped, legend, panels, ratio_style, select
from simulate.adagrad.bounds import arm_bound, bound_constants, unbounded_arm_bound
from simulate.adagrad.descent import Arm, Descent, NoiseKind, build_descent
from simulate.adagrad.monte_carlo import AdagradRuns, simulate_adagrad
from theory.adagrad.relative_noise import relative_noise_bound
from theory.numerics.inputs import Array

_DOTTED_POWERS = (0.5, 1.0)
_ERRORS = 2.0  # standard errors that a bar reaches to either side


class Setting(NamedTuple):
    """What one panel simulates."""

    problem: str
    noise: NoiseKind
    law: str
    noise_to_signal: float
    learning_rate: float
    powers: tuple[float, ...]


# η = 5 on pseudo-huber: within a factor √2 of the best one for each of these powers.
SETTINGS = {
    "low noise": Setting("geman-mcclure", "multiplicative", "uniform", 0.3, 1.0, (0.25, 0.5, 0.75, 1.0)),
    "high noise": Setting("pseudo-huber", "additive", "binary", 10.0, 5.0, (1.0, 1.2, 2.0, 3.0)),
    "unbounded": Setting("pseudo-huber", "additive", "gaussian", 10.0, 5.0, (0.5, 1.0, 1.2, 2.0)),
}
_POWERS = sorted({power for setting in SETTINGS.values() for power in setting.powers})


def compute(steps: int = 100_000, seeds: int = 32) -> list[Row]:
    """Simulate all three settings: every point of the averages, with the ends of its error bar, and of the bounds."""
    table: list[Row] = []
    for panel, setting in SETTINGS.items():
        problem, noise, law, ratio, rate, powers = setting
        descent = build_descent(problem, powers, rate, ratio, law, noise=noise, steps=steps, seeds=seeds)
        runs = simulate_adagrad(descent)
        same = {name: value for name, value in setting._asdict().items() if name != "powers"}
        for place, arm in descent.arms.items():
            for series, curves in _series(panel, descent, arm, runs, place):
                common = {"panel": panel} | same | {"series": series, "power": arm.power}
                points = zip(runs.steps.tolist(), *(curve.tolist() for curve in curves), strict=True)
                names = ("steps", "value", "low", "high")
                table += [common | dict(zip(names, numbers, strict=False)) for numbers in points]
    return table


def _series(
    panel: str, descent: Descent, arm: Arm, runs: AdagradRuns, place: tuple[int, ...]
) -> Iterator[tuple[str, tuple[Array, ...]]]:
    """The average of one arm with both ends of its bars, and the bounds on it, over the checkpoints."""
    steps = runs.steps.astype(np.float64)
    if panel == "unbounded":  # the square of the mean of (1/T)Σ|F'|, and the bound that needs no R
        mean, error = runs.over_seeds(runs.mean_absolute[place])
        low, high = np.maximum(mean - _ERRORS * error, 0.0), mean + _ERRORS * error
        yield "measured", (mean**2, low**2, high**2)
        largest = descent.problem.largest_gradient
        yield "second-moment bound", (unbounded_arm_bound(descent, arm, largest, steps).total,)
        return
    found = arm_bound(descent, arm)
    assert found.bound is not None, found.note
    mean, error = runs.over_seeds(getattr(runs, found.average)[place])
    yield "measured", (mean, mean - _ERRORS * error, mean + _ERRORS * error)
    yield f"Theorem {found.theorem}", (found.bound.total,)
    if panel == "low noise" and arm.power in _DOTTED_POWERS:
        bound = relative_noise_bound(
            steps,
            bound_constants(descent, arm, found.gradient_bound),
            arm.power,
            alignment=found.alignment,
            largest_factor=1 + arm.noise_to_signal * descent.law.reach,
        )
        yield "relative-noise bound", (bound ** (arm.power + 1),)


def rows(data: Sequence[Row]) -> list[Row]:
    """Return what is drawn."""
    return list(data)


_TITLES = {
    "low noise": "relative uniform noise, $r=0.3$",
    "high noise": "binary noise, $r=10$",
    "unbounded": "Gaussian noise, $r=10$",
}
_LABELS = {
    "low noise": "$T^{-1}\\Sigma_t\\, E\\,\\|\\nabla F(\\theta_t)\\|_{p+1}^{p+1}$",
    "high noise": "$T^{-1}\\Sigma_t\\, E\\,\\|\\nabla F(\\theta_t)\\|^2$",
    "unbounded": "$(T^{-1}\\Sigma_t\\, E\\,|F'(\\theta_t)|)^2$",
}

_SOLID: dict[str, Any] = {"linewidth": 1.6}
_DOTTED: dict[str, Any] = {"linewidth": 1.2, "linestyle": (0, (1, 1.2))}
_MEASURED: dict[str, Any] = {"markersize": 3, "linewidth": 0.5}
_GUIDES = {"low noise": (0.5, 3e5), "high noise": (0.25, 60.0), "unbounded": (0.25, 60.0)}


def draw(data: Sequence[Row]) -> Figure:
    """Draw the three panels side by side."""
    with panels(1, 3, height=3.3) as (figure, grid):
        for axis, panel in zip(grid[0], SETTINGS, strict=True):
            own = select(data, panel=panel)
            axis.set(xscale="log", yscale="log", xlabel="steps $T$", title=_TITLES[panel])
            axis.set_ylabel(_LABELS[panel], labelpad=1)
            for (series, power), points in grouped(own, lambda row: (row["series"], row["power"])).items():
                _draw_curve(axis, series, power, points)
            _draw_guides(axis, *_GUIDES[panel], last=own[-1]["steps"])
        _legends(figure)
    return figure


def _draw_curve(axis: Axes, series: str, power: float, points: Sequence[Row]) -> None:
    style = ratio_style(_POWERS.index(power), len(_POWERS))
    steps, value = np.array(columns(points, "steps", "value"))
    if series != "measured":
        line = _DOTTED if series == "relative-noise bound" else _SOLID
        axis.plot(steps, value, color=style["color"], **line)
        return
    low, high = np.array(columns(points, "low", "high"))
    every = (_POWERS.index(power) % 4, 4)  # marks of different powers at different T
    style |= {"errorevery": every, "markevery": every, "elinewidth": 0.9, **_MEASURED}
    axis.errorbar(steps, value, np.maximum([value - low, high - value], 0.0), **style)


def _draw_guides(axis: Axes, start: float, height: float, *, last: int) -> None:
    """Slopes −½ and −1, in the gap between bounds and averages, or above both where there is none."""
    x = last ** np.array([start, start + 0.3])
    for slope, name in ((-0.5, "$T^{-1/2}$"), (-1.0, "$T^{-1}$")):
        y = height * (x / x[0]) ** slope
        axis.plot(x, y, color="0.5", linewidth=0.6)
        axis.annotate(
            name, (x[1], y[1]), (2, 0), textcoords="offset points", color="0.25", fontsize=7, va="center"
        )


def _legends(figure: Figure) -> None:
    powers = {
        f"$p={power:g}$" + " (Adagrad)" * (power == 1): ratio_style(index, len(_POWERS))
        | {"markersize": 4, "linewidth": 1.6}
        for index, power in enumerate(_POWERS)
    }
    legend(figure, "upper", powers)
    grey = {"color": "0.25"}
    marks = {
        "measured, ± 2 standard errors": {"marker": "o", **_MEASURED},
        "(a), (b) the theorem's bound; (c) bound without $R$": _SOLID,
        "bound for relative noise": _DOTTED,
    }
    legend(figure, "lower", {label: grey | style for label, style in marks.items()})

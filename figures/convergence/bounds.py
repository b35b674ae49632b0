"""The bounds of Section 4.2 against simulations: where Theorem 4.8, Theorem 4.11, or neither of them speaks.

Marks are means over independent runs with ± 2 standard errors, mostly smaller than the marks. Thick lines are bounds
on them. (a) Noise in proportion to the gradient: Theorem 4.8 falls like T^(−1/2) whatever p, while the averages fall
like T^(−(p+1)/2). So do the dotted bounds of `theory.adagrad.relative_noise`, but for logarithms; their constants are
larger, and they are the lower ones only beyond the T shown. They bound the mean of the 1/(p+1)-th power of a run's
average, and are raised to p+1 here. (b) Strong binary noise: Theorem 4.11. (c) Gaussian noise, where the paper's R is
infinite: `theory.adagrad.bounds.second_moment_bound`, on the square of the mean of |F'|.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.style import Row, legend, panels, ratio_style
from simulate.adagrad.bounds import arm_bound, bound_constants, unbounded_arm_bound
from simulate.adagrad.descent import Arm, Descent, NoiseKind, build_descent
from simulate.adagrad.monte_carlo import AdagradRuns, simulate_adagrad
from simulate.problems import parse_problem
from theory.adagrad.relative_noise import relative_noise_bound
from theory.laws import parse_law
from theory.numerics.inputs import Array

FILE = "convergence_bounds"
_DOTTED_POWERS = (0.5, 1.0)
_ERRORS = 2.0  # standard errors that a bar reaches to either side


@dataclass(frozen=True)
class Setting:
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


@dataclass(frozen=True)
class Curve:
    """One average, or one bound on it, over the checkpoints T; `low` and `high` end the error bars of an average."""

    panel: str
    series: str
    power: float
    steps: Array
    value: Array
    low: Array | None = None
    high: Array | None = None


def compute(steps: int = 100_000, seeds: int = 32) -> list[Curve]:
    """Simulate all three settings, and return the averages with their bounds."""
    curves: list[Curve] = []
    for panel, setting in SETTINGS.items():
        descent = build_descent(
            parse_problem(setting.problem),
            setting.powers,
            setting.learning_rate,
            setting.noise_to_signal,
            parse_law(setting.law),
            noise=setting.noise,
            steps=steps,
            seeds=seeds,
        )
        runs = simulate_adagrad(descent)
        for place, arm in descent.arms.items():
            if panel == "unbounded":
                curves += _unbounded(descent, arm, runs, place)
            else:
                curves += _bounded(panel, descent, arm, runs, place)
            if panel == "low noise" and arm.power in _DOTTED_POWERS:
                curves.append(_relative(descent, arm))
    return curves


def _bounded(
    panel: str, descent: Descent, arm: Arm, runs: AdagradRuns, place: tuple[int, ...]
) -> Iterator[Curve]:
    """The average of one power, and the theorem's bound."""
    found = arm_bound(descent, arm)
    mean, error = runs.over_seeds(getattr(runs, found.average)[place])
    steps = runs.steps.astype(np.float64)
    yield Curve(panel, "measured", arm.power, steps, mean, mean - _ERRORS * error, mean + _ERRORS * error)
    if found.bound is None:
        raise AssertionError(f"no theorem speaks of the arms of this panel: {found.note}")
    yield Curve(panel, f"Theorem {found.theorem}", arm.power, steps, found.bound.total)


def _relative(descent: Descent, arm: Arm) -> Curve:
    """The bound for relative noise, raised to p+1."""
    found = arm_bound(descent, arm)
    steps = np.array(descent.checkpoints, dtype=np.float64)
    bound = relative_noise_bound(
        steps,
        bound_constants(descent, arm, found.gradient_bound),
        arm.power,
        alignment=found.alignment,
        largest_factor=1 + arm.noise_to_signal * descent.law.reach,
    )
    return Curve("low noise", "relative-noise bound", arm.power, steps, bound ** (arm.power + 1))


def _unbounded(descent: Descent, arm: Arm, runs: AdagradRuns, place: tuple[int, ...]) -> Iterator[Curve]:
    """The square of the mean of (1/T)Σ|F'| for one power, and the bound that needs no R."""
    steps = runs.steps.astype(np.float64)
    mean, error = runs.over_seeds(runs.mean_absolute[place])
    low, high = np.maximum(mean - _ERRORS * error, 0.0), mean + _ERRORS * error
    yield Curve("unbounded", "measured", arm.power, steps, mean**2, low**2, high**2)
    bound = unbounded_arm_bound(descent, arm, descent.problem.largest_gradient, steps)
    yield Curve("unbounded", "second-moment bound", arm.power, steps, bound.total)


def rows(curves: Sequence[Curve]) -> list[Row]:
    """Return every drawn point: the panel's setting, series, p, T, value, and the ends of its error bar."""
    table: list[Row] = []
    for curve in curves:
        setting = SETTINGS[curve.panel]
        same = {name: getattr(setting, name) for name in ("problem", "noise", "law", "noise_to_signal")}
        for i, (steps, value) in enumerate(zip(curve.steps.tolist(), curve.value.tolist(), strict=True)):
            row = {"panel": curve.panel} | same | {"learning_rate": setting.learning_rate}
            row |= {"series": curve.series, "power": curve.power, "steps": int(steps), "value": value}
            if curve.low is not None and curve.high is not None:
                row |= {"low": float(curve.low[i]), "high": float(curve.high[i])}
            table.append(row)
    return table


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

_GUIDES = {"low noise": (0.5, 3e5), "high noise": (0.25, 60.0), "unbounded": (0.25, 60.0)}


def draw(curves: Sequence[Curve]) -> Figure:
    """Draw the three panels side by side."""
    with panels(1, 3, height=3.3) as (figure, grid):
        for axis, panel in zip(grid[0], SETTINGS, strict=True):
            own = [curve for curve in curves if curve.panel == panel]
            axis.set(xscale="log", yscale="log", xlabel="steps $T$", title=_TITLES[panel])
            axis.set_ylabel(_LABELS[panel], labelpad=1)
            for curve in own:
                _draw_curve(axis, curve)
            _draw_guides(axis, own)
        _legends(figure)
    return figure


def _draw_curve(axis: Axes, curve: Curve) -> None:
    style = ratio_style(_POWERS.index(curve.power), len(_POWERS))
    if curve.low is None or curve.high is None:
        dotted = curve.series == "relative-noise bound"
        line = {"linestyle": (0, (1, 1.2)), "linewidth": 1.2} if dotted else {"linewidth": 1.6}
        axis.plot(curve.steps, curve.value, color=style["color"], **line)
        return
    reach = np.array([curve.value - curve.low, curve.high - curve.value])
    every = (_POWERS.index(curve.power) % 4, 4)  # marks of different powers at different T
    style |= {"errorevery": every, "markevery": every, "markersize": 3, "linewidth": 0.5, "elinewidth": 0.9}
    axis.errorbar(curve.steps, curve.value, np.maximum(reach, 0.0), **style)


def _draw_guides(axis: Axes, curves: Sequence[Curve]) -> None:
    """Slopes −½ and −1, in the gap between bounds and averages, or above both where there is none."""
    panel, last = curves[0].panel, float(curves[0].steps[-1])
    start, height = _GUIDES[panel]
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
    marks: dict[str, dict[str, Any]] = {
        "measured, ± 2 standard errors": {"marker": "o", "markersize": 3, "linewidth": 0.5},
        "(a), (b) the theorem's bound; (c) bound without $R$": {"linewidth": 1.6},
        "bound for relative noise": {"linewidth": 1.2, "linestyle": (0, (1, 1.2))},
    }
    legend(figure, "lower", {label: grey | style for label, style in marks.items()})

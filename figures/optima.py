"""The table of optimal powers: every law and ratio, by every method that can tell."""

from __future__ import annotations

from typing import Any

from figures.curves import INTERVAL, Point, Setting
from figures.style import Row
from simulate.adam.optimum import monte_carlo_optimal_power
from theory.adam.optimum import OptimalPower, optimal_power
from theory.laws import parse_law

LAWS = ("uniform", "gaussian", "laplace")


def optimal_powers(setting: Setting) -> list[Row]:
    """Return, for every law and ratio, the optimal powers among those of `INTERVAL`.

    "limit", "exact" and "drift_to_rms" (exact, but of E u/√(E u²)) for all laws, "proposition" and "monte_carlo" (both
    None elsewhere) for uniform noise. Each is a mapping with the power, the edge it sits at (or None), and the
    proposition's bounds or the Monte Carlo's 95% interval.
    """
    return [row(point, setting.seed) for law in setting.law or LAWS for point in setting.points(law)]


def row(point: Point, seed: int) -> Row:
    """Return the optimal powers of one noise example; `seed` is that of the Monte Carlo."""
    uniform = point.law == "uniform"
    return {
        "law": point.law,
        "noise_to_signal": point.noise_to_signal,
        "proposition": _found(_proposition(point)) if uniform else None,
        "limit": _found(point.limit_optimum()),
        "exact": _found(point.optimum()),
        "monte_carlo": _found(_monte_carlo(point, seed)) if uniform else None,
        "drift_to_rms": _found(point.drift_to_rms_optimum()),
    }


def _found(best: OptimalPower) -> dict[str, Any]:
    found: dict[str, Any] = {"power": float(best.power), "at_edge": best.at_edge}
    for interval in ("bounds", "power_interval"):
        if getattr(best, interval, None):
            found[interval] = list(getattr(best, interval))
    return found


def _proposition(point: Point) -> OptimalPower:
    return optimal_power(
        point.mean,
        point.noise_scale,
        parse_law(point.law),
        epsilon=point.epsilon,
        method="proposition",
        interval=INTERVAL,
    )


def _monte_carlo(point: Point, seed: int) -> OptimalPower:
    return monte_carlo_optimal_power(
        point.mean,
        point.noise_scale,
        parse_law(point.law),
        beta1=point.beta1,
        beta2=point.beta2,
        epsilon=point.epsilon,
        interval=INTERVAL,
        seed=seed,
    )

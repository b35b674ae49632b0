"""The table of optimal powers: every law and ratio, by every method that can tell."""

from figures.adam.example import INTERVAL, Point, Setting
from figures.results import BestPower, OptimalPowers
from simulate.adam.optimum import monte_carlo_optimal_power
from theory.adam.optimum import OptimalPower, optimal_power

LAWS = ("uniform", "gaussian", "laplace")


def optimal_powers(setting: Setting) -> list[OptimalPowers]:
    """Return, for every law and ratio, the optimal powers among those of `INTERVAL`.

    "limit", "exact" and "drift_to_rms" (exact) are there for all laws, the proposition and the Monte Carlo for uniform
    noise.
    """
    return [row(point, setting.seed) for law in setting.law or LAWS for point in setting.points(law)]


def row(point: Point, seed: int) -> OptimalPowers:
    """Return the optimal powers of one noise example; `seed` is that of the Monte Carlo."""
    closed = simulated = None
    if point.law == "uniform":
        noise, epsilon = point.noise, point.epsilon
        closed = _best(optimal_power(*noise, epsilon=epsilon, method="proposition", interval=INTERVAL))
        simulated = _best(monte_carlo_optimal_power(*noise, **point.adam, interval=INTERVAL, seed=seed))
    return OptimalPowers(
        point.law,
        point.noise_to_signal,
        closed,
        _best(point.limit_optimum()),
        _best(point.optimum()),
        simulated,
        _best(point.drift_to_rms_optimum()),
    )


def _best(best: OptimalPower) -> BestPower:
    return BestPower(best.power, best.at_edge, best.bounds, best.power_interval)

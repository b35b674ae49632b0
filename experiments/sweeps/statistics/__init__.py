"""The statistics of a study over paired seeds: pure functions of arrays of losses.

| module | what |
|---|---|
| paired | differences from a baseline over seeds: intervals, p-values, what the study could have seen |
| decisions | correction for many comparisons, equivalence, and the declared rule's verdict |
| optima | the best value on a grid, and of a parabola, with intervals |
| trend | does the best value fall as something grows: Page's test and a slope |
| tuning | losses at the learning rate tuned for each value: what is tested, and an estimate without the choice's bias |
"""

from experiments.sweeps.statistics.decisions import (
    Correction,
    adjusted_p_values,
    decide,
    equivalence_p_value,
)
from experiments.sweeps.statistics.optima import GridBest, QuadraticBest, grid_best, quadratic_best
from experiments.sweeps.statistics.paired import (
    PairedDifference,
    detectable_difference,
    paired_difference,
    sign_flip_p_value,
)
from experiments.sweeps.statistics.trend import PageTest, Slope, page_test, slope_over_seeds
from experiments.sweeps.statistics.tuning import Tuned, tune

__all__ = [
    "Correction",
    "GridBest",
    "PageTest",
    "PairedDifference",
    "QuadraticBest",
    "Slope",
    "Tuned",
    "adjusted_p_values",
    "decide",
    "detectable_difference",
    "equivalence_p_value",
    "grid_best",
    "page_test",
    "paired_difference",
    "quadratic_best",
    "sign_flip_p_value",
    "slope_over_seeds",
    "tune",
]

"""Statistics over paired seeds: pure functions of arrays of losses, shared by all studies.

| module | what |
|---|---|
| paired | the mean over seeds of a difference or a slope, its interval and test |
| decisions | correction for many comparisons, equivalence, and the declared rule's verdict |
| crossing | slopes of the loss in the logarithm of the power, and whether the best power moves |
| spikes | spikes of a training loss |
"""

from experiments.statistics.crossing import Crossing, crossing_test, slopes
from experiments.statistics.decisions import Contrasts, adjusted_p_values, decide, equivalence_p_value
from experiments.statistics.paired import SeedMean, mean_over_seeds, one_sided
from experiments.statistics.spikes import spikes

__all__ = [
    "Contrasts",
    "Crossing",
    "SeedMean",
    "adjusted_p_values",
    "crossing_test",
    "decide",
    "equivalence_p_value",
    "mean_over_seeds",
    "one_sided",
    "slopes",
    "spikes",
]

"""How large the studies are: as published, or just enough to test them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Size:
    """The size of every study."""

    steps: int
    """T of the comparisons."""
    long_steps: int
    """T where exponents are fitted."""
    seeds: int
    """Independent runs of each arm."""
    rates_per_octave: int
    """Learning rates tried a factor 2; the best one is sought on this grid."""
    search_steps: int
    """T of the search for extremes."""
    search_rounds: int
    """Instances tried from each of its starts."""


FULL = Size(100_000, 1_000_000, seeds=32, rates_per_octave=2, search_steps=3_000, search_rounds=40)
QUICK = Size(300, 1_000, seeds=4, rates_per_octave=1, search_steps=100, search_rounds=3)

"""Whether a power acts like less noise in the language model, too, where noise of chosen laws is added.

Under strong noise, Adam on φ_p(g) at noise σ and rate η should move as p = 1 does at noise σ/q and rate
η·√(LRV(p)/LRV(1)), whatever the rate: drift and diffusion are then the same. Each law has a run at p = 1 and noise σ,
runs at other powers, whose rates make the diffusion equal to that of p = 1, and their *twins*, p = 1 at noise σ/q. The
measured change is L(p) − L(1), the predicted one L(twin) − L(1). results/intervention/design.md has the rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.statistics import SeedMean, mean_over_seeds
from experiments.studies.completed import losses_at, read_completed
from gradpower.tools.labels import Label
from theory.adam.noise_equivalent import PURE_NOISE, long_run_update
from theory.laws import parse_law
from theory.measured.calibration import Calibration, calibrate

LLAMA = "intervention/llama.json"  # in results
LAWS, POWERS = ("uniform", "gaussian", "laplace"), (0.8, 1.5)
LEVEL, RATE = 10.0, 4e-3


@dataclass(frozen=True)
class ChosenNoiseChange:
    """One law and power."""

    law: str
    power: float
    measured: SeedMean
    predicted: SeedMean


@dataclass(frozen=True)
class ChosenNoise:
    """Measured changes of the loss against those of the twins."""

    changes: tuple[ChosenNoiseChange, ...]
    calibration: Calibration
    by_law: dict[str, Calibration]
    """Of each law's changes alone; not declared."""

    @property
    def label(self) -> Label:
        """By the declared rule, on the interval by jackknife."""
        return self.calibration.jackknife_label


def twin(law: str, power: float) -> tuple[float, float]:
    """Return the noise level of a power's twin, and the rate of the power, as rounded in the study's file.

    >>> twin("uniform", 1.5)
    (8.743, 0.0040111)
    """
    ours, one = (long_run_update(p, PURE_NOISE, 1.0, parse_law(law)) for p in (power, 1.0))
    level, rate = LEVEL * one.progress / ours.progress, RATE * (one.variance / ours.variance) ** 0.5
    return round(level, 3), round(rate, 7)


def read_chosen_noise(path: Path) -> ChosenNoise:
    """Read the study from its summary; InputError as from `read_completed`."""
    summary = read_completed(path, "intervention-llama")
    changes, parts = [], []
    for law in LAWS:
        for power in POWERS:
            plain, powered, alike = (
                losses_at(summary, added_noise=law, power=p, noise_level=level)
                for p, level in ((1.0, LEVEL), (power, LEVEL), (1.0, twin(law, power)[0]))
            )
            parts.append((powered - plain, alike - plain))
            changes.append(ChosenNoiseChange(law, power, *map(mean_over_seeds, parts[-1])))
    measured, predicted = (np.array(part) for part in zip(*parts, strict=True))
    own = {law: [each.law == law for each in changes] for law in LAWS}
    by_law = {law: calibrate(measured[rows], predicted[rows], weighted=False) for law, rows in own.items()}
    return ChosenNoise(tuple(changes), calibrate(measured, predicted, weighted=False), by_law)

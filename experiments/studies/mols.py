"""MoLS-style rates: the noise of modules, and what rates scaled by it do. See results/paper/design.md.

MoLS itself is not judged: its estimator and exponent are not known to us. Seeds are paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.noise.measurement import NOISE, Measurement
from experiments.noise.statistics import ModuleRow
from experiments.statistics import Contrasts, SeedMean, mean_over_seeds
from experiments.studies.completed import arms_at, losses_at, read_completed, read_ended, tried
from experiments.studies.memory import POWER
from experiments.studies.stability import highest_stable
from experiments.sweeps.results import ArmResult
from gradpower.tools.errors import require
from gradpower.tools.labels import Label
from theory.numerics.inputs import Array

MODULES = {"qk": "qk", "vo": "vo", "mlp": "ffn", "embedding": "embedding", "head": "head"}  # and Adam's names
SNAPSHOTS = (20, 100, 200, 500, 1000, 2000)  # 1, 5, 10, 25, 50 and 100 % of the steps
_START, _EARLY, _LATE = 0, [0, 1], [4, 5]  # places among them
_SMALLEST_GAIN = 0.005
_FACTORS: dict[str, Any] = {
    "module_rates": "mols",
    "mols_share": 0.01,
    "mols_every": 0,
    "mols_exponent": 0.5,
    "mols_limit": 10.0,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "factors from 10 % on": {"mols_share": 0.1},
    "exponent 0.25": {"mols_exponent": 0.25},
    "exponent 1": {"mols_exponent": 1.0},
    "measured every 100 steps": {"mols_every": 100},
    "factors within 1/2 and 2": {"mols_limit": 2.0},
}


@dataclass(frozen=True)
class SignalToNoise:
    """Squared signal-to-noise ratios ‖E g‖²/tr Cov(g) of modules along training."""

    ratios: dict[str, dict[str, list[SeedMean | None]]]
    """By estimator ("micro-batches", "Adam, β2 = 0.95", …) and module, at the snapshots."""
    errors: dict[str, list[float]]
    """Standard error of one measurement by micro-batches, by module, as a root mean square over seeds."""
    endpoints: Contrasts
    """VO less each other module ("vo qk", …) over the snapshots; "start" and "fall" of the design."""

    @property
    def highest_label(self) -> Label:
        """That VO has the highest ratio."""
        labels = {self.endpoints.side(name, 1) for name in self.endpoints.adjusted if name.startswith("vo ")}
        if Label.NOT_REPRODUCED in labels:
            return Label.NOT_REPRODUCED
        return Label.INCONCLUSIVE if Label.INCONCLUSIVE in labels else Label.REPRODUCED


def read_signal_to_noise(path: Path, measurements: Path) -> SignalToNoise:
    """Read a study's summary, and the noise.json of each of its runs at β2 = 0.95 and snapshot, from a folder's files.

    Raises InputError if the study is another's, arms are missing, or measurements are not just those.
    """
    summary = read_completed(path, "paper-mols-measured")
    by_run = {
        (found.recipe.fingerprint, found.step): found
        for found in map(NOISE.read, measurements.glob("*.json"))
    }
    runs = [arm.fingerprint for arm in arms_at(summary, beta2=0.95)]
    wanted = {(run, step) for run in runs for step in SNAPSHOTS}
    allowed = f"the {len(wanted)} measurements of its runs at β2 = 0.95"
    require(by_run.keys() == wanted, "study", f"{measurements}, with {len(by_run)} measurements,", allowed)
    squared, errors = {}, {}
    for module in MODULES:
        rows = [[_row(by_run[run, step], module) for step in SNAPSHOTS] for run in runs]
        squared[module] = np.array([[_squared(row.noise_to_signal) for row in own] for own in rows])
        widths = [[_squared(row.low) - _squared(row.high) for row in own] for own in rows]
        errors[module] = np.sqrt(np.mean((np.array(widths) / 4) ** 2, axis=0)).tolist()
    estimates = {"micro-batches": squared}
    for beta2 in tried(summary, "optimizer.beta2"):
        estimates[f"Adam, β2 = {beta2:g}"] = _from_adam(arms_at(summary, beta2=beta2))
    ratios = {
        name: {module: [_mean(of_step) for of_step in own.T] for module, own in found.items()}
        for name, found in estimates.items()
    }
    return SignalToNoise(ratios, errors, Contrasts.of(_endpoints(squared)))


def _endpoints(squared: Mapping[str, Array]) -> dict[str, Array]:
    """Return the design's endpoints by seed, of squared ratios by module, shape (seeds, snapshots)."""
    averaged = {module: own.mean(axis=1) for module, own in squared.items()}
    start = {module: own[:, _START] for module, own in squared.items()}
    everything = np.mean(list(squared.values()), axis=0)
    return {f"vo {module}": averaged["vo"] - own for module, own in averaged.items() if module != "vo"} | {
        "start": (start["embedding"] + start["head"]) / 2 - (start["qk"] + start["vo"] + start["mlp"]) / 3,
        "fall": everything[:, _LATE].mean(axis=1) - everything[:, _EARLY].mean(axis=1),
    }


def _row(measurement: Measurement, module: str) -> ModuleRow:
    return next(row for row in measurement.modules if row.module == module)


def _squared(noise_to_signal: float | None) -> float:
    """Return the squared signal-to-noise ratio; 0 where no signal was found."""
    return 0.0 if noise_to_signal is None else noise_to_signal**-2


def _from_adam(arms: Sequence[ArmResult]) -> dict[str, Array]:
    """Return the squared ratios by Adam's moments, shape (seeds, snapshots); NaN where the moments showed no noise."""
    found = [{each["tokens"]: each.get("squared_snr") or {} for each in arm.evaluations} for arm in arms]
    places = [max(found[0]) * step // SNAPSHOTS[-1] for step in SNAPSHOTS]  # in tokens
    return {
        module: np.array([[of_arm[place].get(own, np.nan) for place in places] for of_arm in found])
        for module, own in MODULES.items()
    }


def _mean(ratios: Array) -> SeedMean | None:
    """Return the mean over seeds, if every seed has a ratio."""
    return mean_over_seeds(ratios) if np.all(np.isfinite(ratios)) else None


class ModuleRates(Contrasts):
    """What module rates change of the loss of one rate at p = 1, and the design's endpoints.

    "factors", "by hand", "Blockwise" and the variants are less one rate; "half" is the factors less the mean of one
    rate and by hand, "to Blockwise" the factors less Blockwise; "power: one rate" and "power: factors" are what p = 1.2
    changes, "power" the second less the first.
    """

    @property
    def label(self) -> Label:
        """That the factors lower the loss."""
        return self.side("factors", -1, _SMALLEST_GAIN)

    @property
    def half_label(self) -> Label:
        """That they do more than half of what tuning by hand does."""
        return self.side("half", -1) if self.shown("by hand", -1) else Label.INCONCLUSIVE


def read_module_rates(path: Path) -> ModuleRates:
    """Read the study from its summary; InputError if it is another's, or arms are missing."""
    summary, diverged = read_ended(path, "paper-mols")
    (by_hand,) = {arm.values["optimizer.module_rates"] for arm in summary.arms} - {
        "uniform",
        "mols",
        "blockwise",
    }
    start, tuned, blocks = (
        losses_at(summary, module_rates=rates, power=1.0) for rates in ("uniform", by_hand, "blockwise")
    )
    factors = losses_at(summary, power=1.0, **_FACTORS)
    powers = {
        "power: one rate": losses_at(summary, module_rates="uniform", power=POWER) - start,
        "power: factors": losses_at(summary, power=POWER, **_FACTORS) - factors,
    }
    declared = {
        "factors": factors - start,
        "by hand": tuned - start,
        "half": factors - (start + tuned) / 2,
        "to Blockwise": factors - blocks,
        "power": powers["power: factors"] - powers["power: one rate"],
    }
    variants = {
        name: losses_at(summary, power=1.0, **(_FACTORS | changed)) - start
        for name, changed in VARIANTS.items()
    }
    others = {"Blockwise": blocks - start} | variants | powers
    return ModuleRates.of(declared | others, tuple(declared), diverged)


@dataclass(frozen=True)
class RatesEdge:
    """Highest stable base rates by seed, with one rate and with factors, and ln of the second over the first."""

    uniform: tuple[float, ...]
    mols: tuple[float, ...]
    shift: SeedMean


def read_rates_edge(path: Path) -> RatesEdge:
    """Read the study from its summary; InputError if it is another's, or arms are missing."""
    summary = read_completed(path, "paper-mols-edge", diverged=True)
    uniform, mols = (highest_stable(summary, module_rates=rates) for rates in ("uniform", "mols"))
    return RatesEdge(tuple(uniform.tolist()), tuple(mols.tolist()), mean_over_seeds(np.log(mols / uniform)))

"""A study of powers and batch sizes with a known best power, and synthetic results of this and of declared studies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.recipes.named import recipe
from experiments.sweeps.analysis import Analysis
from experiments.sweeps.judge import judged
from experiments.sweeps.results import SUMMARY_SCHEMA, ArmResult, Summary
from experiments.sweeps.studies import read_study
from experiments.sweeps.study import Arm, Rule, Study
from gradpower.tools.reading import write_json

POWERS = (0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
BATCHES = (8, 16, 32)


def synthetic_study(*, rates: Sequence[float] = (), seeds: Sequence[int] = (0, 1, 2), **rule: Any) -> Study:
    """Return powers × batch sizes (× learning rates)."""
    axes: list[dict[str, Sequence[Any]]] = [{"optimizer.power": POWERS}, {"training.batch_size": BATCHES}]
    if rates:
        axes.append({"optimizer.learning_rate": rates})
    judged = {"within": "training.batch_size", "smallest_effect": 0.004} | rule
    return Study("synthetic", recipe("pocket"), axes, Rule("optimizer.power", 1.0, **judged), seeds=seeds)


def best_power(batch: float) -> float:
    """Return the best power at a batch size: 1.2 at 8, falling by 0.12·ln 2 in its logarithm for each doubling."""
    return float(1.2 * (batch / 8) ** -0.12)


def synthetic_results(study: Study, *, noise: float = 1e-3, seed: int = 0) -> list[ArmResult]:
    """Return losses with the minimum at `best_power`, seed effects of 0.02, and noise of the given size in each arm.

    The best learning rate is 2e-3·√p.
    """
    rng = np.random.default_rng(seed)
    shifts: dict[tuple[int, Any], float] = {}
    results = []
    for arm in study.arms():
        p, batch = arm.values["optimizer.power"], arm.values["training.batch_size"]
        shift = shifts.setdefault((arm.seed, batch), 0.02 * rng.normal())
        loss = 3.5 + 0.6 * np.log(p / best_power(batch)) ** 2 + shift + noise * rng.normal()
        rate = arm.values.get("optimizer.learning_rate")
        if rate is not None:
            loss += 0.1 * np.log(rate / (2e-3 * p**0.5)) ** 2
        results.append(ArmResult(arm.values, arm.seed, "completed", float(loss), 0.02, arm.fingerprint))
    return results


def analyse(study: Study, results: Sequence[ArmResult]) -> Analysis:
    """Judge a study by some results of its arms; the others are missing."""
    given = {(result.seed, *sorted(result.values.items())): result for result in results}
    rows = []
    for arm in study.arms():
        missing = ArmResult(arm.values, arm.seed, "missing", None, None, "")
        row = given.get((arm.seed, *sorted(arm.values.items())), missing)
        rows.append(replace(row, fingerprint=arm.fingerprint))
    return judged(Summary(study, [], {}, rows))


def write_summary(
    folder: Path, declared: Path, outcome: Callable[[Arm], dict[str, Any]], **changes: Any
) -> Path:
    """Write the summary of a declared study, changed or not, with an outcome of one's own of each arm; return its path.

    An outcome is fields of ArmResult, the loss at least.
    """
    study = replace(read_study(declared), **changes)
    arms = [
        ArmResult(
            **{
                "values": arm.values,
                "seed": arm.seed,
                "status": "completed",
                "standard_error": 0.01,
                "fingerprint": arm.fingerprint,
                **outcome(arm),
            }
        )
        for arm in study.arms()
    ]
    return write_json(folder / f"{declared.stem}.json", Summary(study, [], {}, arms), SUMMARY_SCHEMA)


def noisy(loss: Callable[..., float], noise: float) -> Callable[[Arm], dict[str, Any]]:
    """Return an outcome with a loss of the arm's values, a seed effect of 0.1, and noise."""
    rng = np.random.default_rng(0)

    def outcome(arm: Arm) -> dict[str, Any]:
        values = {name.rpartition(".")[2]: value for name, value in arm.values.items()}
        return {"loss": float(3.7 + 0.1 * arm.seed + loss(**values) + noise * rng.normal())}

    return outcome

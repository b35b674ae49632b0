"""What each control of the study of batch sizes changes: the differences of a power from p = 1 with it and without it.

Every contrast is a paired difference over seeds at one batch size, at the smallest or the largest. Without a control it
is that of the main part; `change` is the difference of the differences over the seeds that both have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.random import Generator

from experiments.sweeps.batch_size import BATCH, POWER, RATE
from experiments.sweeps.results import ArmResult
from experiments.sweeps.statistics import best_rate, paired_difference

Results = Mapping[str, Sequence[ArmResult]]
Losses = dict[int, float]
SHOWN = (1.2, 0.8)
AS_RUN = "as run"
NAMES = {
    "half-life": "β2 by half-life",
    "epsilon": "ε^p",
    "clip": "clip after the power",
    "offset": "(|g| + 1e-8)^p",
}


def contrasts(parts: Results, *, alpha: float = 0.05, rng: Generator) -> list[dict[str, Any]]:
    """Return a row for every control, batch size and power for which two seeds or more have what is compared.

    Parameters
    ----------
    parts : mapping
        Results of the study's parts by name: "main" and any of the controls.
    alpha : float
        Intervals are at 1 − α each, without a correction: they describe.
    rng : Generator
        Of the bootstrap.

    Returns
    -------
    list of dict
        `control`, `batch_size`, `power`, `differences` by seed, their `statistics`, and `change`, the statistics of the
        change by the control, None where there is nothing to compare with.
    """
    batches = sorted({result.values[BATCH] for result in parts.get("main", ())})
    ends = dict.fromkeys((batches[0], batches[-1])) if batches else {}
    rows = []
    for batch in ends:
        for power in SHOWN:
            plain: Losses = {}
            for control, differences in _differences(parts, batch, power):
                plain = differences if control == AS_RUN else plain
                if len(differences) < 2:
                    continue
                both = sorted(set(plain) & set(differences)) if control != AS_RUN else []
                rows.append(
                    {
                        "control": control,
                        "batch_size": batch,
                        "power": power,
                        "differences": {str(seed): value for seed, value in differences.items()},
                        "statistics": _statistics(differences.values(), None, alpha, rng),
                        "change": _statistics(
                            [differences[s] for s in both], [plain[s] for s in both], alpha, rng
                        ),
                    }
                )
    return rows


def _statistics(ours: Any, theirs: Any, alpha: float, rng: Generator) -> dict[str, Any] | None:
    a = np.array(list(ours), dtype=np.float64)
    b = np.zeros_like(a) if theirs is None else np.array(list(theirs), dtype=np.float64)
    return asdict(paired_difference(a, b, alpha=alpha, rng=rng)) if a.size > 1 else None


def _differences(parts: Results, batch: int, power: float) -> Iterator[tuple[str, Losses]]:
    """Yield each control's name and the differences of the losses at `power` from those at 1, by seed."""
    main = _of_batch(parts.get("main", ()), batch)
    yield AS_RUN, _difference(_losses(main, power), _losses(main, 1.0))
    tuned = _of_batch(parts.get("tuned", ()), batch)
    yield "learning rate tuned", _difference(_at_best_rate(tuned, power), _at_best_rate(tuned, 1.0))
    damped = _of_batch(parts.get("damping", ()), batch)
    rates = sorted({result.values[RATE] for result in damped})
    if len(rates) == 3:
        low, rate, high = rates
        yield (
            "equal RMS: p = 1 at a lower rate",
            _difference(_losses(damped, power, rate), _losses(damped, 1.0, low)),
        )
        yield (
            "equal RMS: p at a higher rate",
            _difference(_losses(damped, power, high), _losses(damped, 1.0, rate)),
        )
    for part, name in NAMES.items():
        results = _of_batch(parts.get(part, ()), batch)
        yield name, _difference(_losses(results, power), _losses(results, 1.0))


def _of_batch(results: Sequence[ArmResult], batch: int) -> list[ArmResult]:
    return [result for result in results if result.values[BATCH] == batch]


def _losses(results: Sequence[ArmResult], power: float, rate: float | None = None) -> Losses:
    """Return the final losses by seed; runs that diverged are none."""
    return {
        result.seed: result.loss
        for result in results
        if result.values[POWER] == power
        and (rate is None or result.values[RATE] == rate)
        and result.loss is not None
    }


def _at_best_rate(results: Sequence[ArmResult], power: float) -> Losses:
    """Return the losses at the rate that is best in the mean of all seeds."""
    rates = sorted({result.values[RATE] for result in results})
    found = [_losses(results, power, rate) for rate in rates]
    seeds = sorted({seed for losses in found for seed in losses})
    table = np.array([[losses.get(seed, math.inf) for losses in found] for seed in seeds])
    best: Losses = found[best_rate(table)] if table.size else {}
    return best if len(best) == len(seeds) else {}


def _difference(ours: Losses, theirs: Losses) -> Losses:
    return {seed: ours[seed] - theirs[seed] for seed in sorted(set(ours) & set(theirs))}


def damping(main: Sequence[ArmResult], power: float = 1.2) -> dict[int, dict[str, float | None]]:
    """Return by batch size the ratio of the RMS of the updates at `power` to that at p = 1, as measured in the runs.

    The mean over seeds of the ratio of the means over evaluations, and its standard error over seeds.
    """
    found: dict[int, dict[str, float | None]] = {}
    for batch in sorted({result.values[BATCH] for result in main}):
        sizes = [_sizes(_of_batch(main, batch), p) for p in (power, 1.0)]
        ratios = [sizes[0][seed] / sizes[1][seed] for seed in sorted(set(sizes[0]) & set(sizes[1]))]
        if ratios:
            error = float(np.std(ratios, ddof=1) / math.sqrt(len(ratios))) if len(ratios) > 1 else None
            found[batch] = {"ratio": float(np.mean(ratios)), "standard_error": error, "seeds": len(ratios)}
    return found


def _sizes(results: Sequence[ArmResult], power: float) -> Losses:
    sizes = {
        result.seed: [row["update_rms"] for row in result.evaluations if row.get("update_rms") is not None]
        for result in results
        if result.values[POWER] == power
    }
    return {seed: float(np.mean(found)) for seed, found in sizes.items() if found}

"""What each control of the study of batch sizes changes: the differences of a power from p = 1 with it and without it.

Every contrast is a paired difference over seeds at one batch size, at the smallest or the largest. "As run" is that of
the main part, over the seeds that the controls have, where there are controls; `change` is the difference of the
differences over the seeds that both have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator

from experiments.sweeps.batch_size import BATCH, POWER
from experiments.sweeps.results import ArmResult
from experiments.sweeps.statistics import paired_difference
from experiments.sweeps.study import RATE

Results = Mapping[str, Sequence[ArmResult]]
Losses = dict[int, float]
SHOWN = (1.2, 0.8)
AS_RUN, TUNED = "as run", "learning rate tuned on other seeds"
NAMES = {
    "one-rate": "one learning rate",
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
        `control`, `batch_size`, `power`, `differences` by seed, `diverged`, how many of the seeds have a run that
        diverged, their `statistics`, None with a run that diverged; `as_run`, the mean difference as run in the same
        seeds, and `change`, the statistics of the change by the control: None where a run on either side diverged, or
        there is nothing to compare with; `as_run` needs the main part's runs only.
    """
    batches = sorted({result.values[BATCH] for result in parts.get("main", ())})
    ends = dict.fromkeys((batches[0], batches[-1])) if batches else {}
    controlled = {r.seed for part, results in parts.items() if part not in ("main", "rates") for r in results}
    rows = []
    for batch in ends:
        for power in SHOWN:
            plain: Losses = {}
            for control, found in _differences(parts, batch, power):
                if control == AS_RUN:
                    found = plain = {s: d for s, d in found.items() if not controlled or s in controlled}
                if len(found) > 1:
                    rows.append(
                        {"control": control, "batch_size": batch, "power": power}
                        | _described(found, plain if control != AS_RUN else {}, alpha, rng)
                    )
    return rows


def _described(found: Losses, plain: Losses, alpha: float, rng: Generator) -> dict[str, Any]:
    both = [seed for seed in found if seed in plain]
    return {
        "differences": {str(seed): d if math.isfinite(d) else None for seed, d in found.items()},
        "diverged": sum(not math.isfinite(d) for d in found.values()),
        "statistics": _statistics(list(found.values()), [0.0] * len(found), alpha, rng),
        "as_run": _mean(plain, both),
        "change": _statistics([found[s] for s in both], [plain[s] for s in both], alpha, rng),
    }


def _mean(losses: Losses, seeds: Sequence[int]) -> float | None:
    mean = float(np.mean([losses[seed] for seed in seeds])) if seeds else math.inf
    return mean if math.isfinite(mean) else None


def _statistics(
    ours: Sequence[float], theirs: Sequence[float], alpha: float, rng: Generator
) -> dict[str, Any] | None:
    if len(ours) < 2 or not all(map(math.isfinite, (*ours, *theirs))):
        return None
    return asdict(paired_difference(ours, theirs, alpha=alpha, rng=rng))


def _differences(parts: Results, batch: int, power: float) -> Iterator[tuple[str, Losses]]:
    """Yield each control's name and the differences of the losses at `power` from those at 1, by seed."""
    main = _of_batch(parts.get("main", ()), batch)
    yield AS_RUN, _difference(_losses(main, power), _losses(main, 1.0))
    tuned = _of_batch(parts.get("tuned", ()), batch)
    yield TUNED, _tuned(tuned, power)
    damped = _of_batch(parts.get("damping", ()), batch)
    rate = next((result.values.get(RATE) for result in main), None)
    lower = max((r.values[RATE] for r in damped if rate is not None and r.values[RATE] < rate), default=None)
    higher = min((r.values[RATE] for r in damped if rate is not None and r.values[RATE] > rate), default=None)
    if lower is not None and higher is not None:
        yield (
            "equal RMS: p = 1 at a lower rate",
            _difference(_losses(damped, power, rate), _losses(damped, 1.0, lower)),
        )
        yield (
            "equal RMS: p at a higher rate",
            _difference(_losses(damped, power, higher), _losses(damped, 1.0, rate)),
        )
    for part, name in NAMES.items():
        results = _of_batch(parts.get(part, ()), batch)
        yield name, _difference(_losses(results, power), _losses(results, 1.0))


def _tuned(tuned: Sequence[ArmResult], power: float) -> Losses:
    """Return the differences at each power's rate that is best in the mean of the other seeds.

    A rate chosen by the very losses that are compared would flatter the power whose losses scatter most. Only rates
    that both powers have all seeds of are chosen from.
    """
    seeds = {result.seed for result in tuned}
    tables = {p: {r: _losses(tuned, p, r) for r in {t.values[RATE] for t in tuned}} for p in (power, 1.0)}
    shared = [r for r in tables[1.0] if all(set(tables[p][r]) == seeds for p in tables)]
    if len(seeds) < 2 or len(shared) < 2:
        return {}

    def held_out(p: float) -> Losses:
        def others(rate: float, seed: int) -> float:
            return sum(loss for other, loss in tables[p][rate].items() if other != seed)

        rates = {seed: min(shared, key=partial(others, seed=seed)) for seed in sorted(seeds)}
        return {seed: tables[p][rate][seed] for seed, rate in rates.items()}

    return _difference(held_out(power), held_out(1.0))


def _of_batch(results: Sequence[ArmResult], batch: int) -> list[ArmResult]:
    return [result for result in results if result.values[BATCH] == batch]


def _losses(results: Sequence[ArmResult], power: float, rate: float | None = None) -> Losses:
    """Return the final losses by seed, +inf where a run diverged."""
    return {
        result.seed: math.inf if result.loss is None else result.loss
        for result in results
        if result.values[POWER] == power
        and (rate is None or result.values[RATE] == rate)
        and result.status != "missing"
    }


def _difference(ours: Losses, theirs: Losses) -> Losses:
    """Return the differences over the seeds of both, +inf where either run diverged."""
    both = sorted(set(ours) & set(theirs))
    return {s: math.inf if math.isinf(theirs[s]) else ours[s] - theirs[s] for s in both}


def interactions(parts: Results, *, alpha: float = 0.05, rng: Generator) -> list[dict[str, Any]]:
    """Return by control how the difference of a power from p = 1 changes from the smallest to the largest batch.

    No best power and no shape of a curve is needed for that. A control that explained the trend would leave nothing of
    the change.

    Parameters
    ----------
    parts, alpha, rng
        As of `contrasts`.

    Returns
    -------
    list of dict
        `control`, `power`; `batch_sizes`, the smallest and the largest; `seeds`, `diverged`, how many of them have a
        run that diverged; `differences`, the mean at either end; `change`, the statistics of the paired changes;
        `as_run`, the mean change as run in the same seeds; `removed`, the statistics of that less the control's. With a
        run that diverged `differences`, `change` and `removed` are None.
        Left out are rows of fewer than two seeds. "As run" is over all seeds of the main part.
    """
    batches = sorted({result.values[BATCH] for result in parts.get("main", ())})
    rows: list[dict[str, Any]] = []
    if len(batches) < 2:
        return rows
    for power in SHOWN:
        small, large = (dict(_differences(parts, batch, power)) for batch in (batches[0], batches[-1]))
        plain = _changes(small[AS_RUN], large[AS_RUN])
        for control in [name for name in small if name in large]:
            changes = _changes(small[control], large[control])
            if len(changes) < 2:
                continue
            both = [seed for seed in changes if seed in plain] if control != AS_RUN else []
            change = _statistics(list(changes.values()), [0.0] * len(changes), alpha, rng)
            ends = [[found[control][seed] for seed in changes] for found in (small, large)]
            rows.append(
                {
                    "control": control,
                    "power": power,
                    "batch_sizes": [batches[0], batches[-1]],
                    "seeds": len(changes),
                    "diverged": sum(not math.isfinite(each) for each in changes.values()),
                    "differences": None if change is None else [float(np.mean(end)) for end in ends],
                    "change": change,
                    "as_run": _mean(plain, both),
                    "removed": _statistics([plain[s] for s in both], [changes[s] for s in both], alpha, rng),
                }
            )
    return rows


def _changes(small: Losses, large: Losses) -> Losses:
    """Return the changes of the differences over the seeds of both, +inf where a run diverged."""
    both = [seed for seed in small if seed in large]
    infinite = [s for s in both if not (math.isfinite(small[s]) and math.isfinite(large[s]))]
    return {s: math.inf if s in infinite else large[s] - small[s] for s in both}


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

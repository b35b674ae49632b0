"""What each control of the study of batch sizes changes: the differences of a power from p = 1 with it and without it.

Every contrast is a paired difference over seeds at one batch size, at the smallest or the largest. "As run" is that of
the main part, over the seeds that the controls have, where there are controls; `change` is the difference of the
differences over the seeds that both have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
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
AS_RUN, TUNED = "as run", "learning rate tuned"
NAMES = {
    "half-life": "β2 by half-life",
    "epsilon": "ε^p",
    "clip": "clip after the power",
    "offset": "(|g| + 1e-8)^p",
}


def contrasts(
    parts: Results, tuned: Mapping[str, Any] | None = None, *, alpha: float = 0.05, rng: Generator
) -> list[dict[str, Any]]:
    """Return a row for every control, batch size and power for which two seeds or more have what is compared.

    Parameters
    ----------
    parts : mapping
        Results of the study's parts by name: "main" and any of the controls.
    tuned : mapping, optional
        The analysis of the part "tuned", whose differences are taken from there.
    alpha : float
        Intervals are at 1 − α each, without a correction: they describe.
    rng : Generator
        Of the bootstrap.

    Returns
    -------
    list of dict
        `control`, `batch_size`, `power`, `differences` by seed, `diverged`, how many of the seeds have a run that
        diverged, their `statistics`, and `change`, the statistics of the change by the control; both None with a run
        that diverged, `change` where there is nothing to compare with.
    """
    batches = sorted({result.values[BATCH] for result in parts.get("main", ())})
    ends = dict.fromkeys((batches[0], batches[-1])) if batches else {}
    controlled = {r.seed for part, results in parts.items() if part not in ("main", "rates") for r in results}
    rows = []
    for batch in ends:
        for power in SHOWN:
            plain: Losses = {}
            for control, found in _differences(parts, tuned, batch, power):
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
        "change": _statistics([found[s] for s in both], [plain[s] for s in both], alpha, rng),
    }


def _statistics(
    ours: Sequence[float], theirs: Sequence[float], alpha: float, rng: Generator
) -> dict[str, Any] | None:
    if len(ours) < 2 or not all(map(math.isfinite, (*ours, *theirs))):
        return None
    return asdict(paired_difference(ours, theirs, alpha=alpha, rng=rng))


def _differences(
    parts: Results, tuned: Mapping[str, Any] | None, batch: int, power: float
) -> Iterator[tuple[str, Losses]]:
    """Yield each control's name and the differences of the losses at `power` from those at 1, by seed."""
    main = _of_batch(parts.get("main", ()), batch)
    yield AS_RUN, _difference(_losses(main, power), _losses(main, 1.0))
    yield TUNED, _tuned_differences(tuned, batch, power)
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


def _tuned_differences(tuned: Mapping[str, Any] | None, batch: int, power: float) -> Losses:
    """Return the differences at each power's own best rate, as far as all were tried for both powers."""
    view = next((v for v in (tuned or {}).get("views", ()) if v["kind"] == "tuned learning rate"), None)
    if view is None:
        return {}
    found = [
        c for g in view["groups"] if g["within"] == batch for c in g["comparisons"] if c["value"] == power
    ]
    return {
        seed: difference
        for c in found
        for seed, difference in zip(c["seeds"], c["differences"] or [], strict=False)
    }


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


def interactions(
    parts: Results, tuned: Mapping[str, Any] | None = None, *, alpha: float = 0.05, rng: Generator
) -> list[dict[str, Any]]:
    """Return by control how the difference of a power from p = 1 changes from the smallest to the largest batch.

    No best power and no shape of a curve is needed for that. A control that explained the trend would leave nothing of
    the change.

    Parameters
    ----------
    parts, tuned, alpha, rng
        As of `contrasts`.

    Returns
    -------
    list of dict
        `control`, `power`; `batch_sizes`, the smallest and the largest; `differences`, the mean at either; `change`,
        the statistics of the paired changes; `share`, the mean change over that as run in the same seeds, None where
        there is none. "As run" is over all seeds of the main part. Left out are rows of fewer than two seeds and those
        with a run that diverged.
    """
    batches = sorted({result.values[BATCH] for result in parts.get("main", ())})
    rows: list[dict[str, Any]] = []
    if len(batches) < 2:
        return rows
    for power in SHOWN:
        small, large = (dict(_differences(parts, tuned, batch, power)) for batch in (batches[0], batches[-1]))
        for control in small:
            if control not in large:
                continue
            both = [seed for seed in small[control] if seed in large[control]]
            ends = [[found[control][seed] for seed in both] for found in (small, large)]
            change = _statistics(ends[1], ends[0], alpha, rng)
            if change is None:
                continue
            plain = [
                large[AS_RUN][s] - small[AS_RUN][s] for s in both if s in small[AS_RUN] and s in large[AS_RUN]
            ]
            known = (
                control != AS_RUN
                and len(plain) == len(both)
                and all(map(math.isfinite, plain))
                and any(plain)
            )
            rows.append(
                {
                    "control": control,
                    "power": power,
                    "batch_sizes": [batches[0], batches[-1]],
                    "differences": [float(np.mean(end)) for end in ends],
                    "change": change,
                    "share": change["mean"] / float(np.mean(plain)) if known else None,
                }
            )
    return rows


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

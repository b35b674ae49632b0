"""Which prediction of theory has the measured best powers? One row for each law and objective, side by side with them.

The laws are ingredients that are added one by one: the ratio of noise to signal alone (uniform noise, as in the paper),
the fitted shape of the noise, the residuals themselves, and the measured gradients without any law. At equal RMS of the
update the damping by p is taken out. Each prediction is the mean over the snapshots of the runs of its batch size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from theory.inputs import Array

Row = Mapping[str, Any]


def ablation(noise: Sequence[Row], measured: Sequence[Row]) -> list[dict[str, Any]]:
    """Compare every prediction with the measured best powers.

    Parameters
    ----------
    noise : sequence of mapping
        Rows of `experiments.noise.along_study.summary_row`.
    measured : sequence of mapping
        By batch size: `batch_size`, `power`, `low` and `high` of its interval, None where there is none.

    Returns
    -------
    list of dict
        `law`, `objective`; `predicted`: for each batch size the mean, the least and the greatest over snapshots, and
        at how many of them the best power lay at an end of the range searched; `slope`, of the mean against ln B;
        `root_mean_square_error` against the measured powers, in p; `inside`, at how many batch sizes the mean lies
        within the measured interval, of those that have one (`intervals`).
    """
    known = [row for row in measured if row["power"] is not None]
    kinds = dict.fromkeys((p["law"], p["objective"]) for row in noise for p in row["predictions"])
    rows = []
    for law, objective in kinds:
        found = [_predicted(noise, row["batch_size"], law, objective) for row in known]
        if not found or any(each is None for each in found):
            continue
        predicted = [each for each in found if each is not None]
        errors = [p["mean"] - row["power"] for p, row in zip(predicted, known, strict=True)]
        bounded = [
            (p["mean"], row) for p, row in zip(predicted, known, strict=True) if row["low"] is not None
        ]
        rows.append(
            {
                "law": law,
                "objective": objective,
                "predicted": predicted,
                "slope": slope([p["batch_size"] for p in predicted], [p["mean"] for p in predicted]),
                "root_mean_square_error": math.sqrt(float(np.mean(np.square(errors)))),
                "inside": sum(row["low"] <= mean <= row["high"] for mean, row in bounded),
                "intervals": len(bounded),
            }
        )
    return rows


def _predicted(noise: Sequence[Row], batch: int, law: str, objective: str) -> dict[str, Any] | None:
    """Return the predictions for a batch size at the snapshots of its own runs."""
    found = [
        p
        for row in noise
        if row["trained_at"] == batch
        for p in row["predictions"]
        if (p["batch_size"], p["law"], p["objective"]) == (batch, law, objective) and p["resolved"]
    ]
    if not found:
        return None
    powers = [p["power"] for p in found]
    return {
        "batch_size": batch,
        "mean": float(np.mean(powers)),
        "low": min(powers),
        "high": max(powers),
        "snapshots": len(powers),
        "at_edge": sum(p["at_edge"] is not None for p in found),
    }


def slope(batches: Sequence[float], powers: Sequence[float]) -> float | None:
    """Return the slope of the best power against ln B by least squares; None for fewer than two batch sizes.

    Examples
    --------
    >>> round(slope([1, 10, 100], [1.5, 1.25, 1.0]) * 2.302585, 3)
    -0.25
    """
    if len(set(batches)) < 2:
        return None
    x: Array = np.log(np.asarray(batches, dtype=np.float64))
    return float(np.polyfit(x, np.asarray(powers, dtype=np.float64), 1)[0])

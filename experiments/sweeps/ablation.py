"""Which prediction of theory has the measured best powers? One row for each law and objective, side by side with them.

The laws are ingredients that are added one by one: the ratio of noise to signal alone (uniform noise, as in the paper),
the fitted shape of the noise, the residuals themselves, and the measured gradients without any law. At equal RMS of the
update the damping by p is taken out. Each prediction is the mean over the snapshots of the runs of its batch size. The
row that says 1 at every batch size is the rival that a prediction has to beat.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from theory.numerics.inputs import Array

Row = Mapping[str, Any]
RIVAL = "always p = 1"
FLAT = 1e-6


def ablation(noise: Sequence[Row], measured: Sequence[Row]) -> list[dict[str, Any]]:
    """Compare every prediction with the measured best powers.

    Parameters
    ----------
    noise : sequence of mapping
        Rows of `experiments.noise.along_study.summary_row`.
    measured : sequence of mapping
        By batch size: `batch_size`, `status` ("interior" where the best power is known), `power`, and `low` and `high`
        of its interval, None where there is none.

    Returns
    -------
    list of dict
        `law`, `objective`; `predicted`: for each batch size with measurements the mean, the least and the greatest over
        snapshots, and at how many of them the best power lay at an end of the range searched; `slope`, of the mean
        against ln B; `root_mean_square_error`, in p, over the `compared` batch sizes whose best power is known;
        `inside`, at how many of them the mean lies within the measured interval, of those that have one (`intervals`).
    """
    batches = [row["batch_size"] for row in measured]
    kinds = dict.fromkeys((p["law"], p["objective"]) for row in noise for p in row["predictions"])
    rows = []
    for law, objective in kinds:
        predicted = [p for batch in batches if (p := _predicted(noise, batch, law, objective)) is not None]
        if predicted:
            rows.append(_compared(law, objective, predicted, measured))
    if rows:
        always = [
            {"batch_size": batch, "mean": 1.0, "low": 1.0, "high": 1.0, "at_edge": 0} for batch in batches
        ]
        rows.append(_compared(RIVAL, "", always, measured))
    return rows


def _compared(
    law: str, objective: str, predicted: Sequence[dict[str, Any]], measured: Sequence[Row]
) -> dict[str, Any]:
    mean = {p["batch_size"]: p["mean"] for p in predicted}
    known = [row for row in measured if row["status"] == "interior" and row["batch_size"] in mean]
    errors = [mean[row["batch_size"]] - row["power"] for row in known]
    bounded = [row for row in known if row["low"] is not None]
    return {
        "law": law,
        "objective": objective,
        "predicted": list(predicted),
        "slope": slope(list(mean), list(mean.values())),
        "root_mean_square_error": math.sqrt(float(np.mean(np.square(errors)))) if errors else None,
        "compared": len(known),
        "inside": sum(row["low"] <= mean[row["batch_size"]] <= row["high"] for row in bounded),
        "intervals": len(bounded),
    }


def _predicted(noise: Sequence[Row], batch: int, law: str, objective: str) -> dict[str, Any] | None:
    """Return the predictions for a batch size at the snapshots of its own runs; None if nothing is resolved."""
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

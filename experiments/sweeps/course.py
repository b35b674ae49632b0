"""When in the training the differences between powers arise: at the start, where no noise model is about, or later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.sweeps.batch_size import BATCH, POWER
from experiments.sweeps.contrasts import SHOWN
from experiments.sweeps.results import ArmResult
from theory.numerics.inputs import Array


def course(main: Sequence[ArmResult]) -> list[dict[str, Any]]:
    """Return by batch size how the losses move on the way, over the completed runs evaluated at the same tokens.

    Parameters
    ----------
    main : sequence of ArmResult
        Of the main part.

    Returns
    -------
    list of dict
        `batch_size`; `shares` of the training; `runs`, how many have losses at all of them; `correlations` of the loss
        at each share with the final one, over powers and seeds, None where losses do not vary; `differences`, by power
        of `SHOWN`, the mean over paired seeds of the loss less that of p = 1 at each share. Batch sizes with fewer than
        three runs are left out.
    """
    rows = []
    for batch in sorted({result.values[BATCH] for result in main}):
        own = [r for r in main if r.values[BATCH] == batch and r.status == "completed" and r.evaluations]
        shares = _shares(own[0]) if own else []
        alike = [r for r in own if _shares(r) == shares and np.isfinite(_losses(r)).all()]
        curves = {(r.values[POWER], r.seed): _losses(r) for r in alike}
        if len(curves) < 3:
            continue
        table = np.array(list(curves.values()))
        rows.append(
            {
                "batch_size": batch,
                "shares": shares,
                "runs": len(curves),
                "correlations": [_correlation(column, table[:, -1]) for column in table.T],
                "differences": {f"{power:g}": _differences(curves, power) for power in sorted(SHOWN)},
            }
        )
    return rows


def _shares(result: ArmResult) -> list[float]:
    last = result.evaluations[-1]["tokens"] if result.evaluations else 1
    return [row["tokens"] / last for row in result.evaluations]


def _losses(result: ArmResult) -> Array:
    return np.array([row.get("validation_loss") for row in result.evaluations], dtype=np.float64)


def _correlation(some: Array, final: Array) -> float | None:
    if some.std() == 0 or final.std() == 0:
        return None
    return float(np.corrcoef(some, final)[0, 1])


def _differences(curves: Mapping[tuple[float, int], Array], power: float) -> list[float] | None:
    pairs = [(curve, curves.get((1.0, seed))) for (p, seed), curve in curves.items() if p == power]
    found = [curve - plain for curve, plain in pairs if plain is not None]
    return [float(x) for x in np.mean(found, axis=0)] if found else None

"""The best power by batch size, noise law and module, from the sampled gradients of a measurement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from theory.measured.micro_batch_gradients import MicroBatchGradients
from theory.measured.shape_fit import HIGHEST_SHAPE, LOWEST_SHAPE, ShapeFit, averaged_shape
from theory.prediction.coordinate_sums import Coordinates
from theory.prediction.direct_update import FEWEST_STEPS, direct_steps, direct_sums
from theory.prediction.noise_tables import Tables
from theory.prediction.predicted_power import (
    AdamSettings,
    PredictedPower,
    Sums,
    predict,
    search_powers,
    total,
)

LAWS = ("uniform", "generalized-normal", "empirical", "direct")


OBJECTIVES = {"equal learning rate": False, "equal RMS": True}
ALL = "all"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Measured:
    """What predictions rest on.

    Attributes
    ----------
    modules : tuple of MicroBatchGradients
        Those whose gradients vary.
    shapes : mapping of str to ShapeFit
        Their fitted shapes.
    size : int
        b, sequences in a micro-batch.
    adam : AdamSettings
        Of the recipe.
    clip_factors : mapping of int to float
        By batch size.
    seed : int
        Of draws of the empirical law, and of orders.
    """

    modules: tuple[MicroBatchGradients, ...]
    shapes: Mapping[str, ShapeFit]
    size: int
    adam: AdamSettings
    clip_factors: Mapping[int, float]
    seed: int


def predictions(measured: Measured, progress: Progress = lambda done, total: None) -> list[dict[str, Any]]:
    """Return a row for every batch size, law, module and objective, those of all modules together first.

    A row holds `power`, `standard_error`, `low` and `high` of the 95 % interval, `at_edge`, `resolved` and, for all
    modules together, the `curve` over its value at p = 1; or else the `reason` why there is no prediction.

    "generalized-normal" moves each module's shape towards the Gaussian as its kurtosis falls with B; its error contains
    that of the shapes. "empirical" draws from the pooled standardized residuals of a module, symmetrised, as fixed.
    "direct" runs Adam over the measured gradients themselves, for as many steps as half of them make.

    Parameters
    ----------
    measured : Measured
        The measurement.
    progress : callable
        Called as progress(done, total).
    """
    tables = Tables(search_powers(), measured.adam)
    rows: list[dict[str, Any]] = []
    cases = [(batch_size, law) for batch_size in measured.clip_factors for law in LAWS]
    for done, (batch_size, law) in enumerate(cases, start=1):
        reason = why_not(measured, batch_size, law)
        if reason is None:
            rows += _rows(measured, tables, batch_size, law)
        else:
            rows += [
                {"batch_size": batch_size, "law": law, "module": ALL, "objective": o, "reason": reason}
                for o in OBJECTIVES
            ]
        progress(done, len(cases))
    return rows


def why_not(measured: Measured, batch_size: int, law: str) -> str | None:
    """Return why there is no prediction for this batch size by this law; None if there is one."""
    data = measured.modules[0]
    ratio = batch_size / measured.size
    if ratio > data.half:
        return f"needs {int(np.ceil(2 * ratio))} micro-batches or more"
    if law in ("empirical", "direct") and batch_size % measured.size:
        return f"needs a multiple of the micro-batch size {measured.size}"
    if law == "direct" and direct_steps(data, int(ratio)) < FEWEST_STEPS:
        return f"needs {int(2 * ratio) * FEWEST_STEPS} micro-batches or more"
    return None


def _rows(measured: Measured, tables: Tables, batch_size: int, law: str) -> list[dict[str, Any]]:
    # Each module's sums three times under the fitted law: at its shape, and one standard error below and above.
    found = {data.name: _sums(measured, tables, data, batch_size, law) for data in measured.modules}
    groups = {ALL: [total(parts) for parts in zip(*found.values(), strict=True)], **found}
    rows = []
    for module, sums in groups.items():
        for objective, equal_size in OBJECTIVES.items():
            best, *shifted = (predict(s, tables.powers, equal_size=equal_size) for s in sums)
            row = {"batch_size": batch_size, "law": law, "module": module, "objective": objective}
            row |= _described(_widened(best, shifted))
            if module == ALL:
                row |= {"powers": best.powers, "curve": best.curve, "curve_error": best.curve_error}
            rows.append(row)
    return rows


def _described(best: PredictedPower) -> dict[str, Any]:
    return {
        "power": best.power,
        "standard_error": best.standard_error,
        "low": best.interval[0],
        "high": best.interval[1],
        "at_edge": best.at_edge,
        "resolved": best.resolved,
        "reason": None,
    }


def _widened(best: PredictedPower, shifted: Sequence[PredictedPower]) -> PredictedPower:
    """Add the error of the shapes, half the distance between the predictions at either end, to the jackknife's."""
    if not shifted:
        return best
    more = abs(shifted[1].power - shifted[0].power) / 2
    error = float(np.hypot(best.standard_error, more))
    low, high = float(best.powers[0]), float(best.powers[-1])
    wider = (
        best.power - float(np.hypot(best.power - best.interval[0], 2 * more)),
        best.power + float(np.hypot(best.interval[1] - best.power, 2 * more)),
    )
    return replace(best, standard_error=error, interval=(max(low, wider[0]), min(high, wider[1])))


def _sums(
    measured: Measured, tables: Tables, data: MicroBatchGradients, batch_size: int, law: str
) -> list[Sums]:
    ratio, clip = batch_size / measured.size, measured.clip_factors[batch_size]
    if law == "direct":
        return [
            direct_sums(data, int(ratio), tables.powers, measured.adam, clip_factor=clip, seed=measured.seed)
        ]
    coordinates = Coordinates(data, ratio, clip)
    if law == "uniform":
        looked_up = [tables.uniform()]
    elif law == "empirical":
        looked_up = [tables.empirical(data.residuals, int(ratio), measured.seed)]
    else:
        fit = measured.shapes[data.name]
        error = fit.error if np.isfinite(fit.error) else 0.0
        shapes = np.clip(fit.shape + error * np.array([0, -1, 1]), LOWEST_SHAPE, HIGHEST_SHAPE)
        looked_up = [tables.generalized_normal(averaged_shape(float(shape), ratio)) for shape in shapes]
    return [coordinates.sums(table, measured.adam) for table in looked_up]

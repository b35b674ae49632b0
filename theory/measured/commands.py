"""The command `gradpower theory measured-assumptions`."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from gradpower.tools.terminal import Output, OutputFlags, result_table
from theory.measured.estimates import (
    AssumptionEstimates,
    PowerEstimate,
    estimate_assumptions,
    require_settings,
)
from theory.measured.gradient_samples import GradientSamples
from theory.numerics.inputs import Array

_TABLE = Output()
_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
Verdict = Literal["holds", "contradicted", "undecided"]
_SHOWN = 20  # contradicting coordinates named in the result


def measured_assumptions(
    samples: Path,
    output: OutputFlags = _TABLE,
    power: tuple[float, ...] = (0.5, 1.2),
    gradient: Path | None = None,
    gradient_bound: float | None = None,
    array: str | None = None,
    confidence: float = 0.95,
) -> None:
    """Estimate the constants of Assumptions 4.6 and 4.9 from measured stochastic gradients, with confidence bounds.

    Parameters
    ----------
    samples
        Independent stochastic gradients at one point, a row each: .npy, .npz, or .txt or .csv.
    output
        Where the result goes.
    power
        Powers p in (0, 10]: Assumption 4.6 is about p < 1, Assumption 4.9 about p > 1.
    gradient
        File with the full-batch gradient at that point, if it is known.
    gradient_bound
        R with |g| <= R surely, for ρ; the largest |g| of the samples if not given.
    array
        Which array of an .npz file.
    confidence
        Level of the bounds, for all coordinates at once.
    """
    require_settings(power, confidence, gradient_bound)
    with Console(stderr=True).status(f"reading {samples}") as status:
        data = GradientSamples.read(samples, gradient, array)
        estimates = estimate_assumptions(
            data,
            power,
            confidence=confidence,
            gradient_bound=gradient_bound,
            progress=lambda done, total: status.update(f"estimating: {done} of {total} blocks"),
        )
        result = measured_result(estimates)
    result |= {"file": str(samples), "gradient": None if gradient is None else str(gradient), "array": array}
    output.show(result, measured_table(result))


def measured_result(estimates: AssumptionEstimates) -> dict[str, Any]:
    """The estimates as plain data, for JSON and for the table; per-coordinate arrays become quantiles."""
    resolved, needed = estimates.resolved, np.sort(estimates.samples_needed)
    return {
        "samples": estimates.samples,
        "coordinates": resolved.size,
        "resolved": int(np.count_nonzero(resolved)),
        "unresolved": int(np.count_nonzero(estimates.unresolved)),
        "samples_to_resolve": {"0.9": _quantile(needed, 0.9), "1.0": _quantile(needed, 1.0)},
        "confidence": estimates.confidence,
        "gradient_known": estimates.gradient_known,
        "misplaced": estimates.misplaced,
        "gradient_bound": estimates.bound,
        "gradient_bound_given": estimates.bound_given,
        "noise_to_signal": _quantiles(estimates.noise_to_signal),
        "powers": [_power_result(estimates, one) for one in estimates.powers],
    }


def _power_result(estimates: AssumptionEstimates, one: PowerEstimate) -> dict[str, Any]:
    lower, plug_in, upper = one.minimum
    rho = one.rho(estimates.bound)._asdict() if one.power > 1 else None
    return {
        "power": one.power,
        "constant": "c" if one.power < 1 else "s",  # the paper's letter
        "plug_in_minimum": plug_in,
        "lower_bound": lower,
        "upper_bound": upper,
        "quantiles": _quantiles(one.estimate),
        "contradicting": len(one.contradicting),
        "contradicting_coordinates": one.contradicting[:_SHOWN],
        "rho": rho,
        "verdict": verdict(estimates, one),
        "second_verdict": second_verdict(estimates, one) if one.power > 1 else None,
    }


def _quantile(ordered: Array, level: float) -> float:
    """An order statistic: no interpolation towards infinity."""
    return float(ordered[max(0, int(np.ceil(level * ordered.size)) - 1)]) if ordered.size else np.nan


def _quantiles(values: Array) -> dict[str, float]:
    ordered = np.sort(values[~np.isnan(values)])
    return {str(level): _quantile(ordered, level) for level in _LEVELS}


def verdict(estimates: AssumptionEstimates, one: PowerEstimate) -> Verdict:
    """What the samples say, at their point θ, about Assumption 4.6 (p < 1) or (C1) of Assumption 4.9 (p > 1).

    A single coordinate that points the wrong way contradicts it; "holds" needs every coordinate resolved and a
    positive lower bound. At p = 1 it holds whatever the samples, as φ_1 is the identity. The assumptions themselves ask
    for the same constant at every θ.
    """
    if one.power == 1:
        return "holds"
    if one.contradicting:
        return "contradicted"
    return "undecided" if estimates.unresolved.any() or one.minimum.lower <= 0 else "holds"


def second_verdict(estimates: AssumptionEstimates, one: PowerEstimate) -> Verdict:
    """What they say about (C2), ρ <= 1. An R from the samples is too small if anything, and so is its ρ."""
    rho = one.rho(estimates.bound)
    if rho.lower > 1:
        return "contradicted"
    return "holds" if rho.upper <= 1 and not estimates.unresolved.any() else "undecided"


def measured_table(result: dict[str, Any]) -> Table:
    """A column for each power; verdicts and the noise below."""
    title = f"Assumptions 4.6 and 4.9 from {result['samples']} samples of {result['coordinates']} coordinates"
    confidence, columns = f"{100 * result['confidence']:g} %", dict[str, list[Any]]()
    for one in result["powers"]:
        rho = one["rho"] or {"estimate": "–", "lower": "–", "upper": "–"}
        column = {
            "constant": one["constant"],
            "plug-in minimum (noise lowers it)": one["plug_in_minimum"],
            f"{confidence} lower bound": one["lower_bound"],
            f"{confidence} upper bound": one["upper_bound"],
            **{f"{100 * float(level):g} % quantile": value for level, value in one["quantiles"].items()},
            "contradicting coordinates": one["contradicting"],
            "ρ": rho["estimate"],
            "ρ between": rho["lower"],
            "and": rho["upper"],
            "Assumption 4.6, or 4.9 (C1)": one["verdict"],
            "4.9 (C2)": one["second_verdict"] or "–",
        }
        columns |= {
            "of the resolved coordinates": list(column),
            f"p = {one['power']:g}": list(column.values()),
        }
    table = result_table(title, columns, digits=4)
    table.caption = "\n".join(_notes(result))
    return table


def _notes(result: dict[str, Any]) -> list[str]:
    needed, noise, misplaced = (result[k] for k in ("samples_to_resolve", "noise_to_signal", "misplaced"))
    return [
        f"{result['resolved']} coordinates resolved, {result['unresolved']} not: that takes about {needed['0.9']:.3g} "
        f"samples for 9 of 10, {needed['1.0']:.3g} for all",
        *([f"the gradient given does not fit the samples on {misplaced} coordinates"] if misplaced else []),
        f"σ/|∇F|: median {noise['0.5']:.3g}, 5 % to 95 % {noise['0.05']:.3g} to {noise['0.95']:.3g}",
        f"R = {result['gradient_bound']:.4g}, {'given' if result['gradient_bound_given'] else 'the largest seen'}; "
        "bounds for all coordinates at once, from Student's intervals: wide for light tails, too narrow where a "
        "gradient is rare or strongly skewed, as those of rare tokens",
    ]

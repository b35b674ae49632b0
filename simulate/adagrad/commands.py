"""The command `gradpower simulate adagrad`."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.table import Table
from scipy.stats import t as student_t

from gradpower.tools.errors import InputError, require
from gradpower.tools.terminal import Output, OutputFlags, progress_bar, result_table
from simulate.adagrad.bounds import ArmBound, arm_bound, least_mean
from simulate.adagrad.descent import Arm, Descent, NoiseKind, build_descent
from simulate.adagrad.exponent import fitted_exponent
from simulate.adagrad.monte_carlo import AdagradRuns, simulate_adagrad
from theory.numerics.inputs import positive

_TABLE = Output()


def adagrad(
    output: OutputFlags = _TABLE,
    problem: str = "geman-mcclure",
    power: tuple[float, ...] = (0.5, 1.0, 1.5),
    learning_rate: tuple[float, ...] = (0.1,),
    noise_to_signal: tuple[float, ...] = (0.5,),
    law: str = "uniform",
    noise: NoiseKind = "additive",
    epsilon: float = 1e-8,
    steps: int = 10_000,
    seeds: int = 16,
    seed: int = 0,
    confidence: float = 0.95,
    gradient_bound: float | None = None,
    threads: int | None = None,
) -> int:
    """Adagrad on powered gradients of a test problem: averages of the gradient against the theorems' bounds.

    The exit code is 1 if an average exceeds its bound by more than chance.

    Parameters
    ----------
    output
        Where the result goes.
    problem
        geman-mcclure, river-valley, plateau, pseudo-huber, separable:D, logistic:D or quadratic:D.
    power
        One power p in (0, 10], or several.
    learning_rate
        One learning rate η > 0, or several.
    noise_to_signal
        One ratio r >= 0, or several: of σ_i to the largest |∂_iF| (additive), or to |∂_iF| (multiplicative).
    law
        Law of ξ, as in simulate adam.
    noise
        Whether g = ∂F + σξ with fixed σ, or g = ∂F·(1 + rξ).
    epsilon
        ε >= 0, under the root.
    steps
        Number T of steps.
    seeds
        Number of independent runs, at least 2.
    seed
        Seed of the noise. It alone, not the number of threads, decides the result.
    confidence
        Level of the intervals, and of all comparisons with the bounds together.
    gradient_bound
        Bound on |g| to take instead of the one that problem and law give.
    threads
        Threads; all cores if not given.
    """
    require(0 < confidence < 1, "confidence", confidence, "a number between 0 and 1")
    if gradient_bound is not None:
        positive("gradient_bound", gradient_bound)
    descent = build_descent(
        problem,
        power,
        learning_rate,
        noise_to_signal,
        law,
        noise=noise,
        epsilon=epsilon,
        steps=steps,
        seeds=seeds,
        seed=seed,
    )
    descent.law.require_moment(1.0)
    bounds = [arm_bound(descent, arm, gradient_bound=gradient_bound) for arm in descent.arms.values()]
    with progress_bar("simulating Adagrad") as progress:
        runs = simulate_adagrad(descent, threads=threads, progress=progress)
    if gradient_bound is not None and gradient_bound < (seen := float(runs.largest_gradient.max())):
        raise InputError("gradient_bound", gradient_bound, f"at least {seen!r}, the largest |g| seen")
    result = _result(descent, runs, bounds, confidence)
    result |= {"asked_gradient_bound": gradient_bound, "violations": _violations(result)}
    output.show(result, _table(result))
    return 1 if result["violations"] else 0


def _result(descent: Descent, runs: AdagradRuns, bounds: list[ArmBound], confidence: float) -> dict[str, Any]:
    problem, known = (
        descent.problem,
        ("dimension", "start_value", "minimum", "minimum_is_exact", "smoothness"),
    )
    arms = [
        {**arm._asdict(), **_arm(runs, place, bound, confidence)}
        for (place, arm), bound in zip(descent.arms.items(), bounds, strict=True)
    ]
    return {
        "steps": runs.steps,
        "arms": arms,
        "problem": problem.name,
        **{name: getattr(problem, name) for name in known},
        "power": descent.powers,
        "learning_rate": descent.learning_rates,
        "noise_to_signal": descent.noise_to_signal,
        "law": descent.law.name,
        "noise": descent.noise,
        "epsilon": descent.epsilon,
        "total_steps": descent.steps,
        "seeds": descent.seeds,
        "seed": descent.seed,
        "confidence": confidence,
    }


def _arm(runs: AdagradRuns, place: tuple[int, ...], bound: ArmBound, confidence: float) -> dict[str, Any]:
    """The results of an arm, with all its curves."""
    curves: dict[str, Any] = {}
    for name in ("mean_square", "mean_power", "mean_absolute", "smallest_square", "value"):
        curves[name], curves[f"{name}_standard_error"] = runs.over_seeds(getattr(runs, name)[place])
    average = getattr(runs, bound.average)[place]
    exponent = fitted_exponent(runs.steps, average, confidence=confidence)
    quantile = student_t.ppf((1 + confidence) / 2, len(average) - 1)
    return {
        "theorem": bound.theorem,
        "note": bound.note,
        "average": bound.average,
        "measured": float(curves[bound.average][-1]),
        "half_width": float(quantile * curves[f"{bound.average}_standard_error"][-1]),
        "exponent": float(exponent.mean),
        "exponent_half_width": float(exponent.half_width),
        "largest_gradient_seen": float(runs.largest_gradient[place].max()),
        "curves": curves,
        "alignment": bound.alignment,
        "gradient_bound": bound.gradient_bound,
        "bound": bound.bound and {**vars(bound.bound), "total": bound.bound.total},
    }


def _violations(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Checkpoints where a mean, less its error, exceeds the bound; `confidence` holds for all comparisons together."""
    bounded = [arm for arm in result["arms"] if arm["bound"]]
    tests = max(1, len(bounded) * result["steps"].size)
    found = []
    for arm in bounded:
        mean, error = (arm["curves"][arm["average"] + suffix] for suffix in ("", "_standard_error"))
        lowest = least_mean(mean, error, result["seeds"], tests=tests, confidence=result["confidence"])
        for k in np.flatnonzero(lowest > arm["bound"]["total"]):
            row = {name: arm[name] for name in (*Arm._fields, "theorem")}
            row |= {"step": result["steps"][k], "lowest": lowest[k], "bound": arm["bound"]["total"][k]}
            found.append(row)
    return found


def _table(result: dict[str, Any]) -> Table:
    arms = result["arms"]
    bounds = [arm["bound"] and arm["bound"]["total"][-1] for arm in arms]
    columns = {
        "r": [arm["noise_to_signal"] for arm in arms],
        "power": [arm["power"] for arm in arms],
        "η": [arm["learning_rate"] for arm in arms],
        "measured": [f"{arm['measured']:.3g} ± {arm['half_width']:.1g}" for arm in arms],
        "theorem": [arm["theorem"] for arm in arms],
        "bound": bounds,
        "slack": [bound and bound / arm["measured"] for bound, arm in zip(bounds, arms, strict=True)],
        "exponent": [_exponent(arm) for arm in arms],
    }
    title = f"Adagrad on powered gradients: {result['problem']}, {result['noise']} {result['law']} noise"
    table = result_table(title, columns, digits=3)
    table.caption = "\n".join(_remarks(result))
    return table


def _exponent(arm: dict[str, Any]) -> str:
    """The exponent with its half-width; – where there are too few checkpoints for one."""
    shown = f"{arm['exponent']:z.2f} ± {arm['exponent_half_width']:.2f}"
    return shown if np.isfinite(arm["exponent"]) else "–"


def _remarks(result: dict[str, Any]) -> list[str]:
    """What the table's columns mean, and what there is to say about its rows."""
    arms = result["arms"]
    remarks = [
        f"measured: (1/T)·Σ‖∇F‖², {result['seeds']} runs of T = {result['total_steps']} steps",
        f"r = σ_i/{'|∂_iF|' if result['noise'] == 'multiplicative' else 'max|∂_iF|'}; slack: bound/measured; "
        "exponent a: measured falls like T^(−a) over the last two decades",
    ]
    if any(arm["average"] == "mean_power" for arm in arms):
        remarks.append("where Theorem 4.8 speaks: (1/T)·Σ‖∇F‖_{p+1}^{p+1}")
    remarks += dict.fromkeys(
        f"r = {arm['noise_to_signal']:g}, p = {arm['power']:g}: {arm['note']}" for arm in arms if arm["note"]
    )
    if not result["minimum_is_exact"]:
        remarks.append("bounds with a lower bound of F* in its place")
    if result["violations"]:
        remarks.append(f"{len(result['violations'])} averages lie ABOVE their bound (--json lists them)")
    return remarks

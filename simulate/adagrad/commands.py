"""The command `gradpower simulate adagrad`."""

import math
from dataclasses import asdict
from typing import Any

from rich.table import Table

from gradpower.tools.terminal import Output, OutputFlags, progress_bar, result_table
from simulate.adagrad.bounds import ArmBound, arm_bound, compared
from simulate.adagrad.descent import Descent, NoiseKind, build_descent
from simulate.adagrad.exponent import fitted_exponent
from simulate.adagrad.monte_carlo import AdagradRuns, simulate_adagrad

_TABLE = Output()
_LEGEND = """r: σ_i/|∂_iF|, of additive noise σ_i/max|∂_iF|
measured: (1/T)·Σ‖∇F‖² ± 2 standard errors; where Theorem 4.8 speaks, (1/T)·Σ‖∇F‖_{p+1}^{p+1}
slack: bound/measured; exponent a: measured falls like T^(−a) over the last two decades"""


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
    threads: int | None = None,
) -> int:
    """Adagrad on powered gradients of a test problem: averages of the gradient against the theorems' bounds.

    The exit code is 1 if an average exceeds its bound by more than chance, at 95 % confidence in all comparisons.

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
    threads
        Threads; all cores if not given.
    """
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
    bounds = [arm_bound(descent, arm) for arm in descent.arms.values()]
    with progress_bar("simulating Adagrad") as progress:
        runs = simulate_adagrad(descent, threads=threads, progress=progress)
    result = _result(descent, runs, bounds)
    output.show(result, _table(result))
    return 1 if any(arm["violated"] for arm in result["arms"]) else 0


def _result(descent: Descent, runs: AdagradRuns, bounds: list[ArmBound]) -> dict[str, Any]:
    problem, known = descent.problem, ("dimension", "start_value", "minimum", "smoothness")
    return {
        **vars(descent),
        "problem": problem.name,
        **{name: getattr(problem, name) for name in known},
        "law": descent.law.name,
        "arms": [_arm(descent, runs, *pair) for pair in zip(descent.arms, bounds, strict=True)],
    }


def _arm(descent: Descent, runs: AdagradRuns, place: tuple[int, ...], bound: ArmBound) -> dict[str, Any]:
    """The results of an arm, with all its curves."""
    curves: dict[str, Any] = {}
    for name in ("mean_square", "mean_power", "mean_absolute", "value"):
        curves[name], curves[f"{name}_standard_error"] = runs.over_seeds(getattr(runs, name)[place])
    if bound.bound:
        curves["bound"] = bound.bound.total
    exponent, half_width = fitted_exponent(runs.steps, getattr(runs, bound.average)[place])
    return {
        **asdict(compared(descent, runs, place, bound, tests=len(descent.arms) * runs.steps.size)),
        "average": bound.average,
        "exponent": float(exponent),
        "exponent_half_width": float(half_width),
        "largest_gradient_seen": float(runs.largest_gradient[place].max()),
        "alignment": bound.alignment,
        "gradient_bound": bound.gradient_bound,
        "curves": curves,
    }


def _table(result: dict[str, Any]) -> Table:
    arms = result["arms"]
    columns = {
        "r": [arm["noise_to_signal"] for arm in arms],
        "power": [arm["power"] for arm in arms],
        "η": [arm["learning_rate"] for arm in arms],
        "measured": [f"{arm['measured']:.3g} ± {2 * arm['standard_error']:.1g}" for arm in arms],
        "theorem": [arm["theorem"] for arm in arms],
        "bound": [arm["bound"] for arm in arms],
        "slack": [arm["slack"] for arm in arms],
        "violated": ["yes" if arm["violated"] else "no" for arm in arms],
        "exponent": [
            f"{arm['exponent']:z.2f} ± {arm['exponent_half_width']:.2f}"
            if math.isfinite(arm["exponent"])
            else "–"
            for arm in arms
        ],
    }
    title = f"Adagrad on powered gradients: {result['problem']}, {result['noise']} {result['law']} noise"
    size = f"{result['seeds']} runs of T = {result['steps']} steps"
    notes = [
        f"r = {arm['noise_to_signal']:g}, p = {arm['power']:g}: {arm['note']}" for arm in arms if arm["note"]
    ]
    table = result_table(title, columns, digits=3)
    table.caption = "\n".join([size, _LEGEND, *dict.fromkeys(notes)])
    return table

"""The commands `gradpower simulate adam` and `gradpower theory optimal-power`."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from rich.table import Table

import theory.adam.optimum
from gradpower.tools.terminal import Output, OutputFlags, progress_bar, result_table
from simulate.adam.monte_carlo import simulate_adam
from theory.adam.example import Example, ExampleFlags
from theory.laws import Empirical, NoiseLaw

_FIGURE_7 = Example()
_TABLE = Output()
_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
_RESAMPLES = 40


def adam(
    example: ExampleFlags = _FIGURE_7,
    output: OutputFlags = _TABLE,
    power: tuple[float, ...] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0),
    trials: int = 2048,
    steps: int | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> None:
    """Monte Carlo of Adam on powered gradients: mean, standard error, RMS and quantiles of the update.

    Parameters
    ----------
    example
        The noise example.
    output
        Where the result goes.
    power
        One power p > 0, or several, increasing and equally spaced.
    trials
        Independent runs; an even number for symmetric laws, which run in pairs of opposite noise.
    steps
        Steps to simulate literally from zero, with bias correction; stationarity if not given.
    seed
        Seed of the noise. It alone, not the number of threads, decides the result.
    threads
        Threads; all cores if not given.
    """
    with progress_bar("simulating Adam") as progress:
        simulated = simulate_adam(
            power,
            example.mean,
            example.sigma,
            example.noise_law,
            **example.settings,
            trials=trials,
            steps=steps,
            seed=seed,
            threads=threads,
            progress=progress,
        )
    result = {
        "power": power,
        "drift": simulated.drift,
        "standard_error": simulated.standard_error,
        "rms": simulated.rms,
        "quantiles": dict(zip(_LEVELS, np.quantile(simulated.updates, _LEVELS, axis=-1), strict=True)),
        "trials": trials,
        "steps": simulated.steps,
        "seed": seed,
        "antithetic": simulated.antithetic,
        "stationary": steps is None,
        **example.inputs(),
    }
    output.show(result, _adam_table(result))


def _adam_table(result: dict[str, Any]) -> Table:
    title = f"Adam on powered gradients, {result['law']} noise, σ/μ = {result['noise_to_signal']:g}"
    columns = {name.replace("_", " "): result[name] for name in ("power", "drift", "standard_error", "rms")}
    columns |= {f"{level:.0%}": values for level, values in result["quantiles"].items()}
    table = result_table(title, columns, digits=4)
    steps = f"{result['trials']} trials of {result['steps']} steps"
    table.caption = f"{steps}; percentages are quantiles of the update"
    return table


def optimal_power(
    example: ExampleFlags = _FIGURE_7,
    output: OutputFlags = _TABLE,
    method: Literal["proposition", "limit", "exact", "monte-carlo"] = "exact",
    interval: tuple[float, float] = (0.0, 5.0),
    trials: int = 16384,
    seed: int = 0,
    confidence: float = 0.95,
) -> None:
    """Compute the power with the largest expected update.

    Parameters
    ----------
    example
        The noise example.
    output
        Where the result goes.
    method
        proposition: the closed forms of Propositions 4.2 and 4.3, uniform noise; limit: β1, β2 → 1; exact: at
        finite β; monte-carlo: simulated at finite β, with a confidence interval.
    interval
        Powers LOW HIGH among which to seek.
    trials
        Simulated runs (monte-carlo only).
    seed
        Seed of the noise (monte-carlo), or of the bootstrap of an empirical law.
    confidence
        Level of the interval of a monte-carlo power, or of one from samples.
    """
    notes: list[str] = []
    if method == "monte-carlo":
        # SciPy's statistics take half a second to import: --help does without.
        from simulate.adam.optimum import monte_carlo_optimal_power

        with progress_bar("simulating Adam") as progress:
            best = monte_carlo_optimal_power(
                example.mean,
                example.sigma,
                example.noise_law,
                **example.settings,
                interval=interval,
                trials=trials,
                seed=seed,
                confidence=confidence,
                progress=progress,
            )
    else:
        computed = partial(
            theory.adam.optimum.optimal_power,
            example.mean,
            example.sigma,
            method=method,
            interval=interval,
            **example.settings,
        )
        law = example.noise_law
        best = computed(law)
        if isinstance(law, Empirical) and method != "proposition":
            ratio = example.sigma / example.mean
            ends, notes = _uncertainty(lambda again: computed(again).power, law, ratio, confidence, seed)
            best = replace(best, power_interval=ends)
    chance = {"trials": trials, "seed": seed, "confidence": confidence}
    result = {**asdict(best), **example.inputs(), **chance, "notes": notes}
    output.show(result, _optimum_table(result))


def _uncertainty(
    power: Callable[[NoiseLaw], float], law: Empirical, ratio: float, confidence: float, seed: int
) -> tuple[tuple[float, float], list[str]]:
    """Return the bootstrap interval of a power that comes from samples, and what makes it doubtful."""
    generator = np.random.default_rng(seed)
    powers = []
    with progress_bar("drawing the samples again") as progress:
        for done in range(_RESAMPLES):
            powers.append(power(law.resampled(generator)))
            if progress is not None:
                progress(done + 1, _RESAMPLES)
    low, high = np.quantile(powers, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    root = float(np.sqrt(law.samples.size))
    notes = []
    if not law.symmetric and ratio > root / 3:
        notes = [
            f"σ/μ = {ratio:g} is not small against the root of the number of samples, {root:.3g}: their accidental "
            "skewness decides; use empirical-symmetric:FILE if the noise is symmetric, or more samples"
        ]
    return (low, high), notes


def _optimum_table(result: dict[str, Any]) -> Table:
    title = (
        f"Optimal power, {result['law']} noise, σ/μ = {result['noise_to_signal']:g}, by {result['method']}"
    )
    rows = {key: result[key] for key in ("power", "update", "at_edge", "local_maxima")}
    rows |= {key: result[key] for key in ("bounds", "power_interval") if result[key]}
    table = result_table(title, {"": [key.replace("_", " ") for key in rows], "value": list(rows.values())})
    table.caption = "\n".join(result["notes"])
    return table

"""Monte Carlo of Adagrad on powered gradients over test problems: `simulate_adagrad` and what it returns."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from gradpower.tools.errors import require, whole
from gradpower.tools.terminal import Progress
from simulate.adagrad.descent import Descent
from simulate.adagrad.state import AdagradState, load_state, new_state, save_state
from theory.numerics.inputs import Array

_LEG = 5e7  # coordinates × lanes × steps between two looks at the clock: a fraction of a second
_SAVE_EVERY = 10.0  # seconds


@dataclass(frozen=True)
class AdagradRuns:
    """Averages along AdagradPower's path, run by run, at checkpoints T.

    Arrays have the shape (noise levels, powers, learning rates, seeds, checkpoints). Gradients are the exact ones, at
    the points θ_0 … θ_{T−1} from which the T steps start, as in Theorems 4.5, 4.8 and 4.11.
    """

    steps: np.ndarray[tuple[int], np.dtype[np.int64]]
    """The checkpoints T, shape (checkpoints,)."""
    mean_square: Array
    """`(1/T)·Σ_t ‖∇F(θ_t)‖²`."""
    mean_power: Array
    """`(1/T)·Σ_t ‖∇F(θ_t)‖_{p+1}^{p+1}`."""
    mean_absolute: Array
    """`(1/T)·Σ_t ‖∇F(θ_t)‖_1`."""
    smallest_square: Array
    """`min_t ‖∇F(θ_t)‖²`."""
    value: Array
    """F(θ_T)."""
    largest_gradient: Array
    """Largest |g_i| of a noisy gradient seen."""

    @staticmethod
    def over_seeds(curve: Array) -> tuple[Array, Array]:
        """Mean of one of the curves over the seeds, and its standard error: (..., checkpoints) each."""
        error = curve.std(axis=-2, ddof=1) / np.sqrt(curve.shape[-2])
        return np.asarray(curve.mean(axis=-2)), np.asarray(error)


def simulate_adagrad(
    descent: Descent,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    state: Path | None = None,
) -> AdagradRuns:
    """Simulate Adagrad on x_t = sign(g_t)|g_t|^p for all noise levels × powers × learning rates (Section 4.2).

    `v ← v + x²`, `θ ← θ − η·x/√(v+ε)` coordinate by coordinate, from v = 0; where v + ε = 0, no step. Numbers
    below 2^−1022 count as 0. Results depend on the seed, not on the number of threads nor on interruptions.

    Memory does not grow with T. For noise so wild that |g|^{2p} overflows, InputError.

    Parameters
    ----------
    descent : Descent
        What to simulate, from `simulate.adagrad.descent.build_descent`.
    threads, progress : optional
        All cores by default; progress(done, total) is called now and then.
    state : Path, optional
        File that keeps the state of an unfinished simulation. It is read if it exists (InputError if it is that of
        another one), and written every ten seconds and at an interruption. The caller removes it.

    >>> from simulate.adagrad.descent import build_descent
    >>> runs = simulate_adagrad(build_descent("geman-mcclure", [0.5, 1.0], 0.5, 1.0, "uniform", steps=100))
    >>> runs.steps.size, runs.mean_square.shape
    (15, (1, 2, 1, 16, 15))
    """
    workers = os.cpu_count() or 1 if threads is None else whole("threads", threads)
    current = new_state(descent) if state is None else load_state(descent, state)
    _run(descent, current, workers, progress or (lambda done, total: None), state)
    curves = current.by_name(descent)
    _require_finite(descent, curves)
    return AdagradRuns(np.array(descent.checkpoints), **curves)


def _run(descent: Descent, state: AdagradState, workers: int, progress: Progress, path: Path | None) -> None:
    """Advance all tiles leg by leg; between legs all are equally far, and the state can be saved."""
    blocks, tiles = state.steps_done.shape
    groups = np.array_split(np.arange(tiles), min(tiles, -(-workers // blocks)))
    parts = [(block, slice(group[0], group[-1] + 1)) for block, group in product(range(blocks), groups)]
    leg = descent.chunk * max(1, round(_LEG / (state.theta.size * descent.chunk)))
    saved = time.monotonic()
    while (done := int(state.steps_done[0, 0])) < descent.steps:
        until = min(done + leg, descent.steps)

        def advance(part: tuple[int, slice], until: int = until) -> None:
            state.advance(descent, *part, until)

        with ThreadPoolExecutor(workers) as pool:
            try:
                list(pool.map(advance, parts))
                progress(until, descent.steps)
            except KeyboardInterrupt:
                pool.shutdown()
                for part in parts:  # what was under way is done by now; the rest must not stay behind
                    advance(part)
                if path is not None:
                    save_state(state, descent, path)
                raise
        if path is not None and time.monotonic() - saved > _SAVE_EVERY:
            save_state(state, descent, path)
            saved = time.monotonic()


def _require_finite(descent: Descent, curves: dict[str, Array]) -> None:
    """Raise InputError where a power may have left the range of float64."""
    power = descent.powers[:, None, None, None]
    with np.errstate(over="ignore", invalid="ignore"):
        x_squares = descent.steps * curves["largest_gradient"] ** (2 * power)
        gradient = np.sqrt(descent.steps * curves["mean_square"])
        finite = np.isfinite(x_squares) & np.isfinite(gradient ** (power + 1))
    require(np.all(finite), "law", descent.law.name, "noise whose |g|^2p stays below 1e308 (smaller powers)")

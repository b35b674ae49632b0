"""Monte Carlo of Adagrad on powered gradients over test problems: `simulate_adagrad` and what it returns."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from gradpower.tools.errors import require
from gradpower.tools.terminal import Progress
from simulate.adagrad import kernel
from simulate.adagrad.descent import Descent
from simulate.adagrad.kernel import ARMS, LANES, ROWS, RUNS
from simulate.threads import run_blocks, thread_count
from theory.numerics.inputs import Array

QUANTITIES = ("mean_square", "mean_power", "mean_absolute", "value", "largest_gradient")


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
    descent: Descent, *, threads: int | None = None, progress: Progress | None = None
) -> AdagradRuns:
    """Simulate Adagrad on x_t = sign(g_t)|g_t|^p for all noise levels × powers × learning rates (Section 4.2).

    `v ← v + x²`, `θ ← θ − η·x/√(v+ε)` coordinate by coordinate, from v = 0; where v + ε = 0, no step. Numbers
    below 2^−1022 count as 0. Results depend on the seed, not on the number of threads, all cores by default.
    progress(done, total) is called now and then.

    Memory does not grow with T. For noise so wild that |g|^{2p} overflows, InputError.

    >>> from simulate.adagrad.descent import build_descent
    >>> runs = simulate_adagrad(build_descent("geman-mcclure", [0.5, 1.0], 0.5, 1.0, "uniform", steps=100))
    >>> runs.steps.size, runs.mean_square.shape
    (15, (1, 2, 1, 16, 15))
    """
    workers, arms = thread_count(threads), np.array(list(descent.arms.values()))
    tiles = -(-len(arms) // ARMS)
    filled = np.pad(arms, ((0, tiles * ARMS - len(arms)), (0, 0)), mode="edge").reshape(tiles, ARMS, -1)
    # The tiles of a part share the noise that they draw: no more parts than keep the threads busy.
    together = np.array_split(filled, min(tiles, -(-workers // descent.blocks)))
    parts = list(product(range(descent.blocks), together))
    chunks = -(-descent.steps // descent.chunk)
    curves = run_blocks(partial(_run_part, descent), parts, chunks, workers, progress)
    # (quantities, tiles, ARMS, RUNS, checkpoints) of each part, to (quantities, arms, blocks · RUNS, checkpoints)
    size = len(together)
    blocks = [np.concatenate(curves[i : i + size], axis=1) for i in range(0, len(curves), size)]
    joined = np.concatenate(
        [block.reshape(len(QUANTITIES), -1, *block.shape[-2:]) for block in blocks], axis=2
    )
    shaped = joined[:, : len(arms)].reshape(len(QUANTITIES), *descent.shape, *joined.shape[-2:])
    named = dict(zip(QUANTITIES, shaped[..., : descent.seeds, :], strict=True))
    _require_finite(descent, named)
    return AdagradRuns(np.array(descent.checkpoints), **named)


def _run_part(descent: Descent, part: tuple[int, Array], done: Callable[[], None]) -> Array:
    """Run some tiles of arms, (tiles, ARMS, 3), and one block of runs; call `done` after every chunk of steps.

    Returns QUANTITIES at the checkpoints, (quantities, tiles, ARMS, RUNS, checkpoints).
    """
    (block, arms), problem = part, descent.problem
    theta = np.empty((len(arms), problem.dimension, LANES))
    theta[:] = problem.start[:, None]
    v, work = np.zeros_like(theta), np.zeros((len(arms), ROWS * LANES))
    for k, row in enumerate((kernel.NOISE_TO_SIGNAL, kernel.POWER, kernel.LEARNING_RATE)):
        work[:, row : row + LANES] = arms[..., k].repeat(RUNS, axis=1)
    looks, curves = np.array(descent.checkpoints), []
    for first in range(0, descent.steps, descent.chunk):
        noise = descent.noise_chunk(block, first // descent.chunk)
        step, end = first, min(first + descent.chunk, descent.steps)
        for stop in sorted({*looks[(looks > first) & (looks < end)].tolist(), end}):
            kernel.compiled_advance()(
                problem.compiled_gradient,
                problem.parameters,
                problem.gradient_scale,
                descent.noise == "multiplicative",
                descent.epsilon,
                noise[step - first : stop - first],
                theta,
                v,
                work,
            )
            step = stop
            if step in looks:
                curves.append(_look(work, problem.value(np.moveaxis(theta, 1, 0)), step))
        done()
    return np.moveaxis(np.array(curves), 0, -1).reshape(len(QUANTITIES), -1, ARMS, RUNS, len(looks))


def _look(work: Array, value: Array, step: int) -> Array:
    """QUANTITIES after so many steps, from the rows of the kernel and F: (quantities, tiles, LANES)."""

    def row(start: int) -> Array:
        return work[:, start : start + LANES]

    sums = [(row(total) + row(lost)) / step for total, lost in zip(kernel.SUMS, kernel.LOST, strict=True)]
    return np.array([*sums, value, row(kernel.LARGEST_GRADIENT)])


def _require_finite(descent: Descent, curves: dict[str, Array]) -> None:
    """Raise InputError where a power may have left the range of float64."""
    power = descent.powers[:, None, None, None]
    with np.errstate(over="ignore", invalid="ignore"):
        x_squares = descent.steps * curves["largest_gradient"] ** (2 * power)
        gradient = np.sqrt(descent.steps * curves["mean_square"])
        finite = np.isfinite(x_squares) & np.isfinite(gradient ** (power + 1))
    require(np.all(finite), "law", descent.law.name, "noise whose |g|^2p stays below 1e308 (smaller powers)")

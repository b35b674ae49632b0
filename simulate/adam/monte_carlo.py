"""Monte Carlo of Adam on powered noisy gradients: `simulate_adam` and what it returns."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from gradpower.tools.errors import require
from gradpower.tools.terminal import Progress
from simulate.adam.kernel import LANES, POWER_TILE, add_power_sums
from simulate.adam.setting import CHUNK, Setting
from simulate.threads import run_blocks, thread_count
from theory.laws import NoiseLaw
from theory.numerics.inputs import Array, nonnegative, positive

_AGE = np.arange(CHUNK)[::-1, None]


@dataclass(frozen=True)
class AdamTrials:
    """Adam's update u on φ_p(g_t), trial by trial; "..." is the shape of noise_scale followed by that of powers."""

    updates: Array
    """u, shape (..., trials). Antithetic trials are neighbours."""
    steps: int
    """As given; the window N at stationarity."""
    antithetic: bool
    """Whether trials ran in pairs of opposite noise."""

    @property
    def drift(self) -> Array:
        """Mean update, an estimate of `E u`."""
        return np.asarray(self.updates.mean(axis=-1))

    @property
    def rms(self) -> Array:
        """Root mean square of the update."""
        return np.asarray(np.sqrt((self.updates**2).mean(axis=-1)))

    @property
    def independent(self) -> Array:
        """Independent replicates of u, (..., replicates): the means of antithetic pairs, or the trials."""
        if not self.antithetic:
            return self.updates
        return (self.updates[..., 0::2] + self.updates[..., 1::2]) / 2

    @property
    def standard_error(self) -> Array:
        """Standard error of `drift`, from the spread of `independent`."""
        replicates = self.independent
        return np.asarray(replicates.std(axis=-1, ddof=1) / np.sqrt(replicates.shape[-1]))

    def batch_drifts(self, batches: int = 64) -> Array:
        """Drifts of `batches` independent parts of the trials, at most one per replicate: (batches, ...)."""
        replicates = self.independent
        parts = np.array_split(replicates, min(batches, replicates.shape[-1]), axis=-1)
        return np.stack([part.mean(axis=-1) for part in parts])


def simulate_adam(
    powers: ArrayLike,
    mean: float,
    noise_scale: ArrayLike,
    law: NoiseLaw,
    *,
    beta1: float = 0.9,
    beta2: float = 0.95,
    epsilon: float = 1e-8,
    trials: int = 2048,
    steps: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> AdamTrials:
    """Simulate Adam on x_t = sign(g_t)|g_t|^p, g_t = μ + σξ_t, for many powers and noise scales (Figure 7).

    `m ← β1·m + (1−β1)·x_t`, `v ← β2·v + (1−β2)·x_t²`, and the update is `u_t = m̂_t/(√v̂_t + ε)`, with the bias
    corrections of torch.optim.Adam for literal steps, without at stationarity. Where all gradients were 0 and
    ε = 0, u = 0.

    All powers and noise scales see the same noise. Under symmetric laws trials run in pairs ξ, −ξ, which removes
    most of the variance at high noise. Results depend on the seed, not on the number of threads.
    InputError for arguments out of range, before any work; or for noise so wild that |g|^{2p} overflows.

    Parameters
    ----------
    powers : array_like
        p > 0: one, or a 1-D array of equally spaced, increasing powers.
    mean, noise_scale, law
        μ > 0, σ >= 0 (one, or a 1-D array), and the law of ξ.
    trials : int
        At least 2; even and at least 4 if the law is symmetric. The result takes 8 bytes a trial, power and scale.
    steps : int, optional
        t >= 1, simulated literally from m = v = 0. If not given, stationarity: the last N steps, before which
        all weighs less than 2^−53 in both averages.
    threads, progress : optional
        All cores by default; progress(done, total) is called now and then, by one working thread at a time.

    Examples
    --------
    >>> from theory.laws import parse_law
    >>> trials = simulate_adam(1.2, 1e-6, [1e-6, 1e-5], parse_law("uniform"), trials=256)
    >>> trials.drift.round(2).tolist()
    [0.74, 0.17]
    """
    setting = Setting(
        powers=np.atleast_1d(positive("powers", powers)),
        mean=mean,
        noise_scales=np.atleast_1d(nonnegative("noise_scale", noise_scale)),
        law=law,
        beta1=beta1,
        beta2=beta2,
        epsilon=epsilon,
        trials=trials,
        steps=steps,
        seed=seed,
    )
    run_block, chunks = partial(_run_block, setting), -(-setting.window // CHUNK)
    updates = run_blocks(run_block, setting.sources, chunks, thread_count(threads), progress)
    joined = np.concatenate(updates, axis=-1)[..., :trials]
    allowed = "noise whose |g|^2p stays below 1e308 (smaller powers)"
    require(np.all(np.isfinite(joined)), "law", law.name, allowed)
    shape = np.shape(noise_scale) + np.shape(powers)
    return AdamTrials(joined.reshape(*shape, trials), setting.window, law.symmetric)


def _run_block(setting: Setting, source: np.random.SeedSequence, done: Callable[[], None]) -> Array:
    """Simulate a block of trials, and call `done` after every chunk; the updates (noise scales, powers, LANES)."""
    m, v = _block_averages(setting, source, done)
    m_hat, v_hat = m / setting.correction(setting.beta1), v / setting.correction(setting.beta2)
    denominator = np.sqrt(v_hat) + setting.scaled_epsilon()[..., None]
    with np.errstate(invalid="ignore"):  # ∞/∞ where |g|^2p overflows, which the caller reports
        return np.divide(m_hat, denominator, out=np.zeros_like(m), where=denominator != 0)


def _block_averages(
    setting: Setting, source: np.random.SeedSequence, done: Callable[[], None]
) -> tuple[Array, Array]:
    """Averages m and v of φ_p(g_t) over one block of trials, (noise scales, powers, LANES), where max(μ, σ) = 1.

    Unrolled over a chunk of C steps the moving averages are `m ← β1^C·m + Σ_k (1−β1)β1^k x_k` and likewise v:
    no step waits for the one before it.
    """
    spacing, powers = setting.spacing, setting.powers.size
    rows = -(-powers // POWER_TILE) * POWER_TILE
    m, v = np.zeros((2, setting.noise_scales.size, rows, LANES))
    for live, noise in setting.noise_chunks(source):
        weights1, weights2 = _weights(setting.beta1, live), _weights(setting.beta2, live)
        for i, unit in enumerate(setting.units):
            g = setting.mean / unit + setting.noise_scales[i] / unit * noise
            with np.errstate(divide="ignore", over="ignore"):
                log = np.log(np.abs(g))
                x, ratio = np.copysign(np.exp(setting.powers[0] * log), g), np.exp(spacing * log)
                square, square_ratio = x * x, ratio * ratio
            m[i] *= setting.beta1**CHUNK
            add_power_sums(x * weights1, ratio, m[i])
            v[i] *= setting.beta2**CHUNK
            add_power_sums(square * weights2, square_ratio, v[i])
        done()
    return m[:, :powers], v[:, :powers]


def _weights(beta: float, live: int) -> Array:
    """`(1−β)β^k` for the steps of a chunk, k counted back from its end; 0 before the first live step."""
    return np.where(live > _AGE, (1 - beta) * beta**_AGE, 0.0)

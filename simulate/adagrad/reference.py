"""The readable twin of the fast path: Adagrad on powered gradients as one would write it down, step by step."""

import numpy as np

from simulate.adagrad.descent import Descent
from simulate.adagrad.kernel import RUNS
from simulate.adagrad.monte_carlo import QUANTITIES
from theory.numerics.inputs import Array


def reference_curves(descent: Descent) -> dict[str, Array]:
    """Compute the curves of `AdagradRuns` from the same noise: `v ← v + x²`, `θ ← θ − η·x/√(v+ε)`, 0/0 = 0."""
    blocks = [_block_curves(descent, block) for block in range(descent.blocks)]
    joined = {name: np.concatenate([curves[name] for curves in blocks], axis=-2) for name in QUANTITIES}
    return {name: curve[..., : descent.seeds, :] for name, curve in joined.items()}


def _block_curves(descent: Descent, block: int) -> dict[str, Array]:
    """Run RUNS runs of all arms; arrays of (d, noise levels, powers, learning rates, RUNS)."""
    problem, checkpoints = descent.problem, []
    r = descent.noise_to_signal[:, None, None, None]
    p, eta = descent.powers[:, None, None], descent.learning_rates[:, None]
    sigma = r * problem.gradient_scale[:, None, None, None, None]
    theta = np.zeros((problem.dimension, *descent.shape, RUNS)) + problem.start[:, None, None, None, None]
    v = np.zeros_like(theta)
    squares = powers = absolutes = largest = 0.0
    for step in range(descent.steps):
        if step % descent.chunk == 0:
            noise = descent.noise_chunk(block, step // descent.chunk)
        xi = noise[step % descent.chunk, :, None, None, None, :]
        gradient = problem.gradient(theta)
        g = gradient + sigma * xi if descent.noise == "additive" else gradient * (1 + r * xi)
        size = np.abs(gradient)
        squares += (size**2).sum(axis=0)
        powers += (size ** (p + 1)).sum(axis=0)
        absolutes += size.sum(axis=0)
        largest = np.maximum(largest, np.abs(g).max(axis=0))
        x = np.sign(g) * np.abs(g) ** p
        v += x**2
        root = np.sqrt(v + descent.epsilon)
        theta -= eta * np.divide(x, root, out=np.zeros_like(x), where=root > 0)
        if step + 1 in descent.checkpoints:
            means = squares / (step + 1), powers / (step + 1), absolutes / (step + 1)
            checkpoints.append((*means, problem.value(theta), largest))
    return dict(zip(QUANTITIES, np.moveaxis(np.array(checkpoints), 0, -1), strict=True))

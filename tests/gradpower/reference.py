"""Optimizers on φ_p(g_t) in NumPy float64, written from their formulas and from nothing of torch.

Each takes the parameters θ_0 and the gradients g_1, …, g_T (stacked along the first axis) and returns θ_T.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def sign_power(g: Array, power: float, offset: float = 0.0) -> Array:
    """φ_p(g) = sign(g)·(|g| + δ)^p."""
    return np.asarray(np.sign(g) * (np.abs(g) + offset) ** power)


# What the tests of the kernels change of a step.
STEP = {
    "power": 1.2,
    "offset": 0.0,
    "lr": 1e-3,
    "beta1": 0.9,
    "beta2": 0.95,
    "weight_decay": 0.1,
    "epsilon": 1e-8,
    "maximize": False,
    "decoupled": True,
    "gradient_scale": 1.0,
    "powered_scale": 1.0,
}


def adam_step(p: Any, g: Any, m: Any, v: Any, step: float, **numbers: Any) -> tuple[Any, Any, Any]:
    """The step of `gradpower.kernels` out of place, for float64 numbers of one or many entries; `step` counts it."""
    o = SimpleNamespace(**{**STEP, **numbers})
    x = o.powered_scale * sign_power(o.gradient_scale * (-g if o.maximize else g), o.power, o.offset)
    if o.decoupled:
        p = p * (1 - o.lr * o.weight_decay)
    else:
        x = x + o.weight_decay * p
    m = o.beta1 * m + (1 - o.beta1) * x
    v = o.beta2 * v + (1 - o.beta2) * x**2
    unbiased = np.sqrt(v / (1 - o.beta2**step))
    return p - o.lr / (1 - o.beta1**step) * m / (unbiased + o.epsilon), m, v


def adam(
    theta: Array,
    gradients: Array,
    power: float,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    decoupled: bool = False,
    offset: float = 0.0,
) -> Array:
    """m = β1·m + (1−β1)·x, v = β2·v + (1−β2)·x², θ ← θ − η·m̂/(√v̂ + ε); AMSGrad has the largest v so far."""
    m, v, largest = np.zeros_like(theta), np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(gradients, start=1):
        x = sign_power(g, power, offset)
        if decoupled:
            theta = theta * (1 - lr * weight_decay)
        else:
            x = x + weight_decay * theta
        m = betas[0] * m + (1 - betas[0]) * x
        v = betas[1] * v + (1 - betas[1]) * x**2
        largest = np.maximum(largest, v)
        denominator = np.sqrt((largest if amsgrad else v) / (1 - betas[1] ** t)) + eps
        theta = theta - lr * m / (1 - betas[0] ** t) / denominator
    return theta


def adamw(
    theta: Array, gradients: Array, power: float, *, weight_decay: float = 0.01, **settings: Any
) -> Array:
    """Adam with θ ← (1 − ηλ)·θ before each step."""
    return adam(theta, gradients, power, weight_decay=weight_decay, decoupled=True, **settings)


def adagrad(
    theta: Array,
    gradients: Array,
    power: float,
    *,
    lr: float,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
) -> Array:
    """v = Σ x², θ ← θ − η_t·x/(√v + ε), η_t = η/(1 + (t−1)·decay)."""
    v = np.full_like(theta, initial_accumulator_value)
    for t, g in enumerate(gradients):
        x = sign_power(g, power) + weight_decay * theta
        v = v + x**2
        theta = theta - lr / (1 + t * lr_decay) * x / (np.sqrt(v) + eps)
    return theta


def sgd(
    theta: Array,
    gradients: Array,
    power: float,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> Array:
    """b = μ·b + (1−τ)·x with b_1 = x_1, θ ← θ − η·b, or θ − η·(x + μ·b) after Nesterov."""
    b = None
    for g in gradients:
        x = sign_power(g, power) + weight_decay * theta
        b = x if b is None else momentum * b + (1 - dampening) * x
        theta = theta - lr * (x + momentum * b if nesterov else b if momentum else x)
    return theta


def rmsprop(
    theta: Array,
    gradients: Array,
    power: float,
    *,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
) -> Array:
    """v = α·v + (1−α)·x², less the square of the mean of x if centred; b = μ·b + x/(√v + ε), θ ← θ − η·b."""
    v, mean, b = np.zeros_like(theta), np.zeros_like(theta), np.zeros_like(theta)
    for g in gradients:
        x = sign_power(g, power) + weight_decay * theta
        v = alpha * v + (1 - alpha) * x**2
        mean = alpha * mean + (1 - alpha) * x
        b = momentum * b + x / (np.sqrt(v - mean**2 if centered else v) + eps)
        theta = theta - lr * b
    return theta


def muon(
    theta: Array,
    gradients: Array,
    power: float,
    *,
    lr: float,
    momentum: float = 0.95,
    weight_decay: float = 0.1,
) -> Array:
    """b = μ·b + (1−μ)·x, θ ← (1 − ηλ)·θ − η·√max(1, A/B)·O, O from Nesterov's (1−μ)·x + μ·b (A×B matrices)."""
    b = np.zeros_like(theta)
    rows, columns = theta.shape
    for g in gradients:
        x = sign_power(g, power)
        b = momentum * b + (1 - momentum) * x
        direction = newton_schulz((1 - momentum) * x + momentum * b)
        theta = theta * (1 - lr * weight_decay) - lr * max(1, rows / columns) ** 0.5 * direction
    return theta


def newton_schulz(matrix: Array, steps: int = 5) -> Array:
    """Five times X ← a·X + (b·XXᵀ + c·(XXᵀ)²)·X, from X = matrix/‖matrix‖: singular values near 1."""
    a, b, c = 3.4445, -4.775, 2.0315
    wide = matrix.shape[0] <= matrix.shape[1]
    x = (matrix if wide else matrix.T) / np.linalg.norm(matrix)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.T


REFERENCES: dict[str, Callable[..., Array]] = {
    "Adam": adam,
    "AdamW": adamw,
    "Adagrad": adagrad,
    "SGD": sgd,
    "RMSprop": rmsprop,
    "Muon": muon,
}

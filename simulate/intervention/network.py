"""A small network with an exact gradient: many copies of it, trained side by side.

Inputs x in R^16, a hidden layer of 16 tanh units, softmax over 10 classes. The 256 points have soft labels, those of a
network of the same kind with larger weights, and F is the mean Kullback–Leibler divergence from them: its least value
is 0, and no step is sampled. Copies differ in their weights only; the loss and the gradient of all are a few products.
"""

from functools import cache

import numpy as np

from theory.numerics.inputs import Array

_INPUTS, _HIDDEN, _CLASSES, _POINTS = 16, 16, 10, 256
_SIZES = (_INPUTS * _HIDDEN, _HIDDEN, _HIDDEN * _CLASSES, _CLASSES)
TENSORS = np.repeat(np.arange(4), _SIZES)  # of each coordinate: weights and biases of both layers
COORDINATES = sum(_SIZES)
_TEACHER = 3.0  # how much larger the weights are that made the labels


def initial_weights(generator: np.random.Generator, copies: int) -> Array:
    """Initial weights, shape (copies, 442): of variance 1/fan-in, biases 0."""
    first = generator.standard_normal((copies, _SIZES[0])) / np.sqrt(_INPUTS)
    second = generator.standard_normal((copies, _SIZES[2])) / np.sqrt(_HIDDEN)
    return np.concatenate([first, np.zeros((copies, _HIDDEN)), second, np.zeros((copies, _CLASSES))], axis=1)


@cache
def _points() -> tuple[Array, Array, float]:
    """Inputs, labels, and the labels' mean Σ q ln q."""
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((_POINTS, _INPUTS))
    teacher = _TEACHER * initial_weights(generator, 1)
    labels = _forward(inputs, teacher)[1][:, 0]
    return inputs, labels, float((labels * np.log(labels)).sum() / _POINTS)


def loss_and_gradient(weights: Array) -> tuple[Array, Array]:
    """F and ∇F at `weights`, shapes (copies,) and (copies, 442).

    >>> loss, gradient = loss_and_gradient(initial_weights(np.random.default_rng(1), 3))
    >>> loss.shape, gradient.shape
    ((3,), (3, 442))
    """
    inputs, labels, entropy = _points()
    hidden, predicted = _forward(inputs, weights)
    copies = len(weights)
    loss = entropy - np.einsum("nc,nbc->b", labels, np.log(predicted)) / _POINTS
    out = (predicted - labels[:, None]) / _POINTS
    second = np.matmul(hidden.transpose(1, 2, 0), out.transpose(1, 0, 2))
    back = np.matmul(out.transpose(1, 0, 2), _second(weights).transpose(0, 2, 1)).transpose(1, 0, 2)
    back = back * (1 - hidden**2)
    first = (inputs.T @ back.reshape(_POINTS, -1)).reshape(_INPUTS, copies, _HIDDEN).transpose(1, 0, 2)
    parts = (first.reshape(copies, -1), back.sum(axis=0), second.reshape(copies, -1), out.sum(axis=0))
    return loss, np.concatenate(parts, axis=1)


def _second(weights: Array) -> Array:
    start = _SIZES[0] + _SIZES[1]
    return weights[:, start : start + _SIZES[2]].reshape(-1, _HIDDEN, _CLASSES)


def _forward(inputs: Array, weights: Array) -> tuple[Array, Array]:
    """Hidden values, shape (points, copies, 16), and probabilities, shape (points, copies, 10)."""
    copies = len(weights)
    first = weights[:, : _SIZES[0]].reshape(copies, _INPUTS, _HIDDEN)
    layer = inputs @ first.transpose(1, 0, 2).reshape(_INPUTS, -1)
    hidden = np.tanh(layer.reshape(-1, copies, _HIDDEN) + weights[:, _SIZES[0] : _SIZES[0] + _HIDDEN])
    scores = (
        np.matmul(hidden.transpose(1, 0, 2), _second(weights)).transpose(1, 0, 2) + weights[:, -_CLASSES:]
    )
    scores -= scores.max(axis=2, keepdims=True)
    exponentials = np.exp(scores)
    return hidden, exponentials / exponentials.sum(axis=2, keepdims=True)

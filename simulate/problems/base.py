"""What a test problem is: an objective F with every constant that the convergence theorems ask for."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache, cached_property

import numpy as np
from numba import float64, njit, types, void

from theory.numerics.inputs import Array

Gradient = Callable[[Array, Array, Array], None]
GRADIENT_TYPE = types.FunctionType(void(float64[:, ::1], float64[:, ::1], float64[:, ::1]))
"""Of a compiled gradient: (θ, parameters, result), θ and result of shape (dimension, lanes)."""


class Problem(ABC):
    """A smooth objective F with its start and its constants (Assumption 4.4)."""

    name: str
    """The name that `parse_problem` understands."""
    start: Array
    """θ_0, shape (d,)."""
    minimum: float = 0.0
    """F*, or a lower bound on F."""
    smoothness: float
    """L with `‖∇F(x) − ∇F(y)‖_2 <= L·‖x − y‖_2` everywhere; derived in each problem's docstring."""
    largest_gradient: Array
    """sup over all θ of |∂_iF(θ)|, or an upper bound on it, shape (d,); infinite where there is none."""
    parameters: Array = np.empty((0, 0))
    """What the compiled gradient needs, 2-D."""

    @abstractmethod
    def value(self, theta: Array) -> Array:
        """F(θ) for θ of shape (d, ...), shape (...)."""

    @staticmethod
    @abstractmethod
    def fill_gradient(theta: Array, parameters: Array, gradient: Array) -> None:
        """Write ∇F(θ) into `gradient`, both of shape (d, lanes): the one place that states it, to be compiled."""

    @property
    def dimension(self) -> int:
        """Number d of coordinates."""
        return self.start.size

    @property
    def start_value(self) -> float:
        """F(θ_0)."""
        return float(self.value(self.start))

    @cached_property
    def gradient_scale(self) -> Array:
        """What a noise-to-signal ratio refers to: sup|∂_iF| where it is finite, else |∂_iF(θ_0)|."""
        first = np.abs(self.gradient(self.start))
        return np.where(np.isfinite(self.largest_gradient), self.largest_gradient, first)

    @property
    def compiled_gradient(self) -> Gradient:
        """`fill_gradient`, compiled."""
        return _compiled(self.fill_gradient)

    def gradient(self, theta: Array) -> Array:
        """∇F(θ) for θ of shape (d, ...), same shape."""
        lanes = np.ascontiguousarray(theta, dtype=np.float64).reshape(self.dimension, -1)
        result = np.empty_like(lanes)
        self.compiled_gradient(lanes, self.parameters, result)
        return result.reshape(np.shape(theta))


@cache
def _compiled(gradient: Gradient) -> Gradient:
    # One signature and no other, so that the simulation takes all gradients through one type of pointer.
    compiled: Gradient = njit(GRADIENT_TYPE.signature, nogil=True, cache=True, error_model="numpy")(gradient)
    return compiled

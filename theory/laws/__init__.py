"""Noise laws: the standardised ξ in g = μ + σξ, by name.

========================  =====================================================================
`uniform`                 on [−1, 1]; σ is the half-width, as in Example 4.1
`binary`                  ±1 with probability ½; σ is the amplitude, as in Example 4.10
`gaussian`, `laplace`     unit variance; σ is the standard deviation
`generalized-normal:B`    density ∝ exp(−|x|^B), unit variance; B = 2 Gaussian, 1 Laplace; 0.2 <= B <= 100
`student-t:DF`            unit variance where DF > 2; for DF <= 2 none exists and σ is Student's own scale;
                          0.1 <= DF <= 1e6
`two-point:Q`             √((1−Q)/Q) with probability Q, −√(Q/(1−Q)) otherwise: skewed noise of unit variance;
                          0.001 <= Q <= 0.999
`sparse:Q`                ±1/√Q with probability Q/2 each, else 0: unit variance; 0.001 <= Q <= 1
`empirical:FILE`          samples from a .npy or text file, centred and scaled to unit variance
========================  =====================================================================
"""

from __future__ import annotations

from collections.abc import Callable

from gradpower.tools.errors import InputError
from theory.laws.base import NoiseLaw
from theory.laws.bounded import Binary, Uniform
from theory.laws.empirical import Empirical
from theory.laws.generalized_normal import Gaussian, GeneralizedNormal, Laplace
from theory.laws.sparse import Sparse
from theory.laws.student import StudentT
from theory.laws.two_point import TwoPoint

__all__ = [
    "Binary",
    "Empirical",
    "Gaussian",
    "GeneralizedNormal",
    "Laplace",
    "NoiseLaw",
    "Sparse",
    "StudentT",
    "TwoPoint",
    "Uniform",
    "parse_law",
]

_PLAIN: dict[str, Callable[[], NoiseLaw]] = {
    "uniform": Uniform,
    "binary": Binary,
    "gaussian": Gaussian,
    "laplace": Laplace,
}
_SHAPED: dict[str, Callable[[float], NoiseLaw]] = {
    "generalized-normal": GeneralizedNormal,
    "sparse": Sparse,
    "student-t": StudentT,
    "two-point": TwoPoint,
}
ALLOWED = (
    "uniform, binary, gaussian, laplace, generalized-normal:SHAPE, student-t:DF, two-point:Q, sparse:Q or "
    "empirical:FILE"
)


def parse_law(name: str | NoiseLaw) -> NoiseLaw:
    """Return the noise law that `name` spells; a law is returned as it is.

    Raises
    ------
    InputError
        For an unknown name, a shape that is not a number > 0, or samples that cannot be read.

    Examples
    --------
    >>> parse_law("student-t:5").name
    'student-t:5'
    """
    if isinstance(name, NoiseLaw):
        return name
    kind, colon, parameter = name.partition(":")
    if kind in _PLAIN and not colon:
        return _PLAIN[kind]()
    if kind in _SHAPED and parameter:
        try:
            shape = float(parameter)
        except ValueError:
            raise InputError("law", name, f"{kind}:NUMBER with a finite number > 0") from None
        return _SHAPED[kind](shape)
    if kind == "empirical" and parameter:
        return Empirical.from_file(parameter)
    raise InputError("law", name, ALLOWED)

"""Noise laws: the standardised ξ in g = μ + σξ, by name, and the file of each.

| law | file | what it is |
| --- | --- | --- |
| `uniform` | `bounded.py` | on [−1, 1]; σ is the half-width, as in Example 4.1 |
| `binary` | `bounded.py` | ±1 with probability ½; σ is the amplitude, as in Example 4.10 |
| `gaussian` | `generalized_normal.py` | unit variance; σ is the standard deviation |
| `laplace` | `generalized_normal.py` | unit variance; σ is the standard deviation |
| `generalized-normal:B` | `generalized_normal.py` | density ∝ exp(−|x|^B), unit variance; 0.2 <= B <= 100 |
| `student-t:DF` | `student.py` | unit variance; for DF <= 2 σ is Student's own scale; 0.1 <= DF <= 1e6 |
| `two-point:Q` | `two_point.py` | skewed, unit variance: an atom of probability Q, 0.001 <= Q <= 0.999 |
| `sparse:Q` | `sparse.py` | ±1/√Q with probability Q/2 each, else 0: unit variance; 0.001 <= Q <= 1 |
| `triangular` | `from_quantiles.py` | density 1 − |ξ| on [−1, 1]; σ is the half-width |
| `arcsine` | `from_quantiles.py` | a sine at a random time; σ is the half-width |
| `empirical:FILE` | `empirical.py` | samples from a .npy or text file, centred and scaled to unit variance |
| `empirical-symmetric:FILE` | `empirical.py` | the same samples and their negatives |

What all have in common is in `base.py`; a law of one's own is two functions, `QuantileLaw` of `from_quantiles.py`.
"""

from collections.abc import Callable

from gradpower.tools.errors import InputError, nearest
from theory.laws.base import NoiseLaw
from theory.laws.bounded import Binary, Uniform
from theory.laws.empirical import Empirical
from theory.laws.from_quantiles import QuantileLaw, arcsine, triangular
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
    "QuantileLaw",
    "Sparse",
    "StudentT",
    "TwoPoint",
    "Uniform",
    "parse_law",
]

_PLAIN: dict[str, Callable[[], NoiseLaw]] = {
    "uniform": Uniform,
    "binary": Binary,
    "triangular": triangular,
    "arcsine": arcsine,
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
    "uniform, binary, triangular, arcsine, gaussian, laplace, generalized-normal:SHAPE, student-t:DF, two-point:Q, "
    "sparse:Q, empirical:FILE or empirical-symmetric:FILE"
)


def parse_law(name: str | NoiseLaw) -> NoiseLaw:
    """Return the noise law that `name` spells; a law is returned as it is.

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
    if kind == "empirical-symmetric" and parameter:
        return Empirical.from_file(parameter).symmetrised()
    if kind in _SHAPED or kind.startswith("empirical"):
        allowed = f"{kind}:NUMBER" if kind in _SHAPED else f"{kind}:FILE"
        raise InputError("law", name, allowed)
    hint = nearest(kind, (*_PLAIN, *_SHAPED, "empirical", "empirical-symmetric", "normal"))
    raise InputError("law", name, ALLOWED + hint.replace("mean normal?", "mean gaussian?"))

"""The commands `gradpower theory bound` and `gradpower theory assumptions`."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gradpower.tools.errors import InputError, require
from gradpower.tools.terminal import Output, OutputFlags, result_table
from theory.adagrad.assumptions import (
    contraction,
    high_noise_alignment,
    largest_bound_to_noise,
    largest_noise_to_signal,
    low_noise_alignment,
)
from theory.adagrad.bounds import BoundConstants, high_noise_bound, low_noise_bound
from theory.laws import NoiseLaw, parse_law
from theory.numerics.inputs import nonnegative, power_in_range

_TABLE = Output()


def bound(
    output: OutputFlags = _TABLE,
    theorem: Literal["4.5", "4.8", "4.11"] = "4.11",
    steps: tuple[float, ...] = (1e2, 1e3, 1e4, 1e5, 1e6),
    power: float | None = None,
    alignment: float = 1.0,
    gap: float = 1.0,
    learning_rate: float = 0.1,
    smoothness: float = 1.0,
    gradient_bound: float = 1.0,
    epsilon: float = 1e-8,
    dimension: int = 1,
) -> None:
    """Compute a convergence bound of Section 4.2, term by term.

    Parameters
    ----------
    output
        Where the result goes.
    theorem
        4.5: Adagrad; 4.8: AdagradPower at low noise (p <= 1), which bounds the (p+1)-norms; 4.11: at high noise.
    steps
        Numbers of steps T >= 1.
    power
        The power p; 1 for 4.5, 0.5 for 4.8 and 1.2 for 4.11 if not given.
    alignment
        The constant c of Assumption 4.6 or s of 4.9 (`gradpower theory assumptions` finds it); 1 for 4.5.
    gap
        F(θ_0) − F* >= 0.
    learning_rate
        η > 0.
    smoothness
        L >= 0.
    gradient_bound
        R > 0, with |g_i|^{2p} + ε <= R^{2p} almost surely.
    epsilon
        ε > 0, under the root.
    dimension
        Number d of coordinates.
    """
    p = {"4.5": 1.0, "4.8": 0.5, "4.11": 1.2}[theorem] if power is None else power
    if theorem == "4.5" and (p != 1 or alignment != 1):
        name, wrong = ("power", p) if p != 1 else ("alignment", alignment)
        raise InputError(name, wrong, "1 in Theorem 4.5")
    constants = BoundConstants(
        gap=gap,
        learning_rate=learning_rate,
        smoothness=smoothness,
        gradient_bound=gradient_bound,
        epsilon=epsilon,
        dimension=dimension,
    )
    bound_of = high_noise_bound if theorem == "4.11" else low_noise_bound  # 4.5 is 4.8 at p = c = 1
    value = bound_of(steps, constants, p, alignment=alignment)
    terms = {**asdict(value), "bound": value.total}
    result = {"theorem": theorem, "power": p, "alignment": alignment, "steps": steps, **terms}
    result |= asdict(constants)
    norm = "(p+1)-norm to the power p+1" if theorem == "4.8" else "squared norm"
    title = f"Theorem {theorem}, p = {p:g}: bound on the mean {norm} of ∇F over T points"
    columns = {"T": steps, **{name: values.tolist() for name, values in terms.items()}}
    output.show(result, result_table(title, columns, digits=4))


def assumptions(
    output: OutputFlags = _TABLE,
    law: str = "uniform",
    power: tuple[float, ...] = (0.25, 0.5, 0.75, 1.2, 1.5, 2.0, 3.0),
    noise_to_signal: float = 0.3,
    bound_to_noise: float | None = None,
    constant: float = 0.99,
) -> None:
    """Find the best constants of Assumptions 4.6 and 4.9 for a noise law, and say whether the assumptions hold.

    For p < 1, Assumption 4.6 with c = 0.99: the best c where σ_i <= r·|∇_iF|, and the largest r that allows 0.99
    (Example 4.7). For p > 1, Assumption 4.9, noise of fixed scale σ and |g_i| <= R: s in units of σ^(p−1),
    ρ = R^(p−1)/s, and the largest R/σ with ρ <= 1 (Example 4.10). Without a bound R, (C2) cannot hold.

    Parameters
    ----------
    output
        Where the result goes.
    law
        Law of the noise: uniform, binary, gaussian, laplace, generalized-normal:B, student-t:DF, two-point:Q,
        sparse:Q or empirical:FILE.
    power
        Powers p > 0.
    noise_to_signal
        The largest r = σ_i/|∇_iF| over coordinates and points, for p < 1.
    bound_to_noise
        R/σ, for p > 1; by default 1 % above its least value sup|ξ|.
    constant
        The c asked for, in (0, 1).
    """
    noise, powers = parse_law(law), power_in_range("power", power)
    nonnegative("noise_to_signal", noise_to_signal)
    require(0 < constant < 1, "constant", constant, "a number between 0 and 1")
    ratio = 1.01 * noise.reach if bound_to_noise is None else bound_to_noise
    if not ratio >= noise.reach and math.isfinite(noise.reach):
        raise InputError("bound_to_noise", ratio, f"at least sup|ξ| = {noise.reach:g}")
    rows = [_constants(float(p), noise, noise_to_signal, ratio, constant) for p in powers]
    settings = {"noise_to_signal": noise_to_signal, "bound_to_noise": ratio, "constant": constant}
    result = {"law": law, **settings, "rows": [asdict(row) for row in rows]}
    columns: dict[str, list[Any]] = {
        "p": [row.power for row in rows],
        "c (4.6)": [row.c for row in rows],
        f"r for c >= {constant:g}": [row.largest_noise_to_signal for row in rows],
        "s/σ^(p−1) (C1)": [row.s for row in rows],
        "ρ (C2)": [row.rho for row in rows],
        "R/σ for ρ <= 1": [row.largest_bound_to_noise for row in rows],
        "assumption": [row.assumption for row in rows],
        "holds": ["yes" if row.holds else "no" for row in rows],
    }
    title = f"Assumptions 4.6 with c = {constant:g} at r = {noise_to_signal:g}, and 4.9 at R/σ = {ratio:g}; {law} noise"
    output.show(result, result_table(title, columns, digits=4))


_ROUNDING = 1e-9


@dataclass(frozen=True)
class Constants:
    """What the assumptions ask of one power; None where an assumption does not speak of it."""

    power: float
    assumption: Literal["Adagrad", "4.6", "4.9"]
    holds: bool
    c: float | None = None
    largest_noise_to_signal: float | None = None
    s: float | None = None
    rho: float | None = None
    largest_bound_to_noise: float | None = None


def _constants(power: float, law: NoiseLaw, ratio: float, bound: float, constant: float) -> Constants:
    if power == 1:
        return Constants(power, "Adagrad", holds=math.isfinite(law.reach))  # Assumption 4.4 alone
    if power < 1:
        c = float(low_noise_alignment(power, ratio, law))
        largest = largest_noise_to_signal(power, constant, law)
        return Constants(power, "4.6", c >= constant - _ROUNDING, c=c, largest_noise_to_signal=largest)
    bounded = math.isfinite(law.reach)
    gradient = max(bound - law.reach, 1e-9) if bounded else math.inf
    rho = float(contraction(power, bound, law)) if bounded else math.inf
    edge = largest_bound_to_noise(power, 1.0, law)
    return Constants(
        power,
        "4.9",
        rho <= 1 + _ROUNDING,
        s=float(high_noise_alignment(power, 1.0, gradient, law)),
        rho=rho,
        largest_bound_to_noise=None if math.isnan(edge) else edge,
    )

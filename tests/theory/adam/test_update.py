"""The exact update against independent computations: enumeration, mpmath, closed forms, scale relations."""

import functools
import itertools

import mpmath as mp
import numpy as np
import pytest
from flint import arb, ctx
from hypothesis import given, settings
from hypothesis import strategies as st

import theory.adam.update_integral
from gradpower.tools.errors import InputError
from theory.adam.moments import power_moments
from theory.adam.update import exact_update, limit_update
from theory.adam.update_integral import _kernel2, kernel1
from theory.laws import Binary, Uniform, parse_law

pytestmark = pytest.mark.slow

POWERS = st.floats(0.05, 5)
LAWS = st.sampled_from(["uniform", "binary", "gaussian", "laplace", "generalized-normal:3", "student-t:4"])


def enumerated(power, ratio, beta1, beta2, epsilon, step):
    """Mean and RMS over all 2^step outcomes of binary noise: no integral, no Laplace transform."""
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=step)))
    gradient = 1.0 + ratio * signs
    x = np.sign(gradient) * np.abs(gradient) ** power
    age = np.arange(step)
    w = (1 - beta1) * beta1**age / (1 - beta1**step)
    omega = (1 - beta2) * beta2**age / (1 - beta2**step)
    m, denominator = x @ w, np.sqrt(x**2 @ omega) + epsilon
    u = np.divide(
        m, denominator, out=np.zeros_like(m), where=denominator > 0
    )  # 0/0 when every g is 0: no step
    return u.mean(), np.sqrt((u**2).mean())


@pytest.mark.parametrize("beta1", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("beta2", [0.5, 0.95, 0.999, 0.9999])
def test_binary_noise_by_enumeration(beta1, beta2):
    for power, ratio, epsilon, step in itertools.product(
        (0.05, 0.7, 1.2, 5.0), (0.0, 0.1, 1.0, 3.0, 100.0), (0.0, 1e-12, 1e-4, 0.3), (1, 2, 7, 13)
    ):
        update = exact_update(
            power, 1.0, ratio, Binary(), beta1=beta1, beta2=beta2, epsilon=epsilon, step=step
        )
        drift, rms = enumerated(power, ratio, beta1, beta2, epsilon, step)
        # the enumeration itself cancels to about 1e-16·rms, so the drift is compared on that scale too
        assert update.drift == pytest.approx(drift, rel=1e-10, abs=1e-13 * rms)
        assert update.rms == pytest.approx(rms, rel=1e-10)


def integrated(power, ratio, beta1, beta2, epsilon):
    """The stationary drift under uniform noise in 30 digits: incomplete gammas, explicit sums, mpmath's quad.

    The integrand is in flint's balls, whose incomplete gamma takes a tenth of the time of mpmath's.
    """
    p, r, b1, b2, epsilon = (arb(value) for value in (power, ratio, beta1, beta2, epsilon))
    edges = ((1 + r, 1), (1 - r, -1))

    def transform(s, extra):
        """`E x^extra e^{−s x²}`, x = sign(g)|g|^p, from the antiderivative in g on both sides of zero."""
        a = (extra * p + 1) / (2 * p)
        total = arb(0)
        for g, sign in edges:
            value = (s * abs(g) ** (2 * p)).gamma_lower(a) * s**-a / (2 * p)
            total += sign * value * (g.sgn() if extra == 0 else 1)
        return total / (2 * r)

    def integrand(t):
        s = arb(t).exp()
        product, numerator = arb(1), arb(0)
        for k in range(terms):
            omega = (1 - b2) * b2**k
            a = transform(s * omega, 0)
            product *= a
            if product < 1e-30:
                return mp.mpf(0)
            numerator += (1 - b1) * b1**k * transform(s * omega, 1) / a
        h = 1 / (arb.pi() * s).sqrt() - epsilon * (epsilon**2 * s).exp() * (epsilon * s.sqrt()).erfc()
        return mp.mpf((s * h * numerator * product).mid()._mpf_)

    terms = int(-24 / np.log(max(beta1, beta2)))
    centre = -2 * power * np.log1p(ratio)  # where s·x² is of order one
    ends = [-58, -40, -26, -16, -10, -6, -3, -1, 1, 3, 5, 7, 10, 14]
    with mp.workdps(20), ctx.workdps(30):
        return float(mp.quad(integrand, [centre + end for end in ends], method="gauss-legendre", maxdegree=3))


@pytest.mark.parametrize(
    ("power", "ratio", "beta1", "beta2", "epsilon"),
    [
        (1.2, 10, 0.6, 0.5, 0.1),
        (0.5, 2, 0.5, 0.6, 0.01),
        (1.0, 0.5, 0.55, 0.5, 0.5),
        (2.0, 30, 0.3, 0.5, 0.001),
        (3.5, 1.5, 0.6, 0.6, 0.05),
        (0.2, 5, 0.0, 0.55, 0.2),
    ],
)
def test_uniform_noise_against_mpmath(power, ratio, beta1, beta2, epsilon):
    reference = integrated(power, ratio, beta1, beta2, epsilon)
    update = exact_update(power, 1.0, ratio, Uniform(), beta1=beta1, beta2=beta2, epsilon=epsilon)
    assert update.drift == pytest.approx(reference, rel=1e-9)


def test_deterministic_gradient_is_the_closed_form():
    """σ = 0: u = μ^p/(μ^p+ε) at every step and for every β (Proposition 4.2's f)."""
    power = np.array([0.05, 0.5, 1.0, 2.0, 5.0])
    closed = 1e-3**power / (1e-3**power + 1e-8)
    for beta1, beta2, step in ((0.0, 0.5, None), (0.9, 0.95, None), (0.99, 0.9999, None), (0.9, 0.95, 3)):
        update = exact_update(power, 1e-3, 0.0, Uniform(), beta1=beta1, beta2=beta2, step=step)
        np.testing.assert_allclose(update.drift, closed, rtol=1e-11)
        np.testing.assert_allclose(update.rms, closed, rtol=1e-11)


def test_first_step_is_the_sign():
    """At t = 1 and ε = 0, u = sign(g): its mean is P(g>0) − P(g<0), its RMS 1, for every power and law."""
    for name, drift in (("gaussian", mp.erf(0.5 / mp.sqrt(2))), ("laplace", 1 - mp.exp(-mp.sqrt(2) / 2))):
        update = exact_update([0.3, 1.0, 4.0], 1.0, 2.0, parse_law(name), epsilon=0.0, step=1)
        np.testing.assert_allclose(update.drift, float(drift), rtol=1e-11)
        np.testing.assert_allclose(update.rms, 1.0, rtol=1e-11)


@pytest.mark.parametrize("name", ["uniform", "gaussian", "laplace", "generalized-normal:0.7", "student-t:12"])
def test_tends_to_the_limit(name):
    """β → 1 at fixed ratio: the distance to u∞ falls in proportion to 1 − β2."""
    law = parse_law(name)
    limit = limit_update(1.3, 1.0, 4.0, law, epsilon=0.01)
    gaps = [
        float(exact_update(1.3, 1.0, 4.0, law, beta1=0.9, beta2=b, epsilon=0.01).drift / limit - 1)
        for b in (0.99, 0.999, 0.9999)
    ]
    assert abs(gaps[2]) < 2e-3
    assert gaps[1] / gaps[2] == pytest.approx(10, rel=0.1)


def test_many_steps_are_stationarity():
    """Bias correction has died out after 10⁶ steps."""
    for beta2 in (0.5, 0.95, 0.99):
        still = exact_update(1.2, 1e-6, 1e-5, Uniform(), beta2=beta2)
        late = exact_update(1.2, 1e-6, 1e-5, Uniform(), beta2=beta2, step=1_000_000)
        assert late.drift == pytest.approx(still.drift, rel=1e-12)


def remembered(curves):
    """`curves`, evaluated once for all β1 and ε, on which they do not depend: this is what takes the time."""
    known = {}

    def evaluate(rule, power, t):
        key = (id(rule), power, t.tobytes())
        if key not in known:
            known[key] = (rule, curves(rule, power, t))  # the rule is kept, lest another take its id
        return known[key][1]

    return evaluate


def updates_of_many_kinds(name, beta2, step):
    law = parse_law(name)
    return [
        exact_update(p, 1.0, r, law, beta2=beta2, epsilon=e, step=step)
        for p, r in ((0.05, 0.3), (1.2, 1e4), (5.0, 2.0))
        for e in (0.0, 1e-2)
    ]


# Once for all constants: nothing is patched yet when they ask for it.
by_usual_choices = functools.lru_cache(updates_of_many_kinds)


@pytest.mark.parametrize("name", ["uniform", "binary", "laplace", "generalized-normal:8", "student-t:3"])
@pytest.mark.parametrize(
    ("constant", "other", "beta2", "step"),
    [
        ("_INTERPOLATE_BELOW", 0.0, 0.985, None),
        ("_STEP", 0.09, 0.6, None),
        ("_STEP", 0.09, 0.95, 25),
        ("_FEW", 20, 0.95, 25),
        ("_FEW", 100, 0.95, 60),
    ],
)
def test_numerical_choices_do_not_show(monkeypatch, name, constant, other, beta2, step):
    """Interpolated or direct curves, finer trapezoid, few-term sums or moving averages: the same to 1e-10."""
    monkeypatch.setattr(
        theory.adam.update_integral, "_curves", remembered(theory.adam.update_integral._curves)
    )
    usual = by_usual_choices(name, beta2, step)
    monkeypatch.setattr(theory.adam.update_integral, constant, other)
    unusual = updates_of_many_kinds(name, beta2, step)
    for one, two in zip(usual, unusual, strict=True):
        assert one.drift == pytest.approx(two.drift, rel=1e-10)
        assert one.rms == pytest.approx(two.rms, rel=1e-10)
    # Elsewhere than at this β2 and t the constant may play no part, and nothing would be compared.
    assert any(one.drift != two.drift for one, two in zip(usual, unusual, strict=True))


@pytest.mark.parametrize("far", [False, True])
def test_kernels_against_mpmath(far):
    """h₁ and h₂ on both sides of the switch to the asymptotic series."""
    for z in (10.001, 30.0, 1e3) if far else (1e-8, 0.3, 1.0, 5.0, 9.999):
        with mp.workdps(60):
            w = mp.mpf(z)
            erfcx = mp.exp(w**2) * mp.erfc(w)
            first = 1 / mp.sqrt(mp.pi) - w * erfcx
            second = (1 + 2 * w**2) * erfcx - 2 * w / mp.sqrt(mp.pi)
        assert kernel1(np.array(z)) == pytest.approx(float(first), rel=1e-12)
        assert _kernel2(np.array(z)) == pytest.approx(float(second), rel=2e-11)


@settings(max_examples=40, deadline=None)
@given(POWERS, LAWS, st.floats(0, 200), st.floats(1e-9, 1e3), st.sampled_from([0.0, 1e-8, 1e-3]))
def test_scale_relation(power, name, ratio, unit, epsilon):
    """`u(cμ, cσ, c^p ε) = u(μ, σ, ε)`."""
    law = parse_law(name)
    one = exact_update(power, 1.0, ratio, law, epsilon=epsilon)
    scaled = exact_update(power, unit, unit * ratio, law, epsilon=epsilon * unit**power)
    assert scaled.drift == pytest.approx(one.drift, rel=1e-10)
    assert scaled.rms == pytest.approx(one.rms, rel=1e-10)


@settings(max_examples=40, deadline=None)
@given(POWERS, LAWS, st.floats(0, 200), st.floats(0, 0.99), st.floats(0.5, 0.999), st.integers(1, 50))
def test_bounds_that_hold_for_any_update(power, name, ratio, beta1, beta2, step):
    """0 < drift <= RMS, and by Cauchy–Schwarz u² <= Σ w_k²/ω_k.

    At step 1 the update is the sign of g, but for ε; two-point noise with σ > μ makes it fair, and the drift 0.
    """
    update = exact_update(power, 1.0, ratio, parse_law(name), beta1=beta1, beta2=beta2, step=step)
    age = np.arange(step)
    w, omega = (b**age * (1 - b) / (1 - b**step) for b in (beta1, beta2))
    fair = name == "binary" and ratio > 1 and step == 1
    assert (-1e-13 if fair else 0) < update.drift <= update.rms * (1 + 1e-11)
    assert update.rms <= np.sqrt((w**2 / omega).sum()) * (1 + 1e-11)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("power", 0.0),
        ("power", np.nan),
        ("mean", 0.0),
        ("noise_scale", -1.0),
        ("epsilon", -1e-08),
        ("beta1", 1.0),
        ("beta2", -0.1),
        ("step", 0),
    ],
)
def test_bad_input_names_the_argument(argument, value):
    arguments = {"power": 1.0, "mean": 1.0, "noise_scale": 1.0} | {argument: value}
    with pytest.raises(InputError, match=rf"^{argument}: "):
        exact_update(law=Uniform(), **arguments)


def quadrature_first_step(law, power, location, scale, epsilon):
    """E u and E u² at t = 1, u = x/(|x| + ε), by plain quadrature in ξ over the density: no folding, no log grid."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    zero, reach = -location / scale, 60.0
    inner = np.linspace(0.0, 1.0, 14)[1:] ** 6  # graded towards the kinks at ξ = 0 and g = 0
    cuts = {c + s * reach * k for c in (0.0, zero) for s in (-1, 1) for k in inner} | {0.0, zero}
    edges = np.array(sorted(cuts))
    half, centre = np.diff(edges)[:, None] / 2, (edges[:-1] + edges[1:])[:, None] / 2
    xi = centre + half * nodes
    mass = law.density(xi) * half * weights
    x = np.sign(location + scale * xi) * np.abs(location + scale * xi) ** power
    u = x / (np.abs(x) + epsilon)
    return (mass * u).sum(), np.sqrt((mass * u**2).sum())


@pytest.mark.parametrize("shape", [1.5, 4, 8, 20])
@pytest.mark.parametrize(
    ("power", "ratio"), [(1.2, 0.5), (1.2, 1.0), (5.0, 1.0), (1.2, 2.0), (1.2, 10.0), (0.3, 100.0)]
)
def test_generalized_normal_first_step_by_plain_quadrature(shape, power, ratio):
    law = parse_law(f"generalized-normal:{shape}")
    update = exact_update(power, 1.0, ratio, law, epsilon=0.7, step=1)
    drift, rms = quadrature_first_step(law, power, 1.0, ratio, 0.7)
    assert update.drift == pytest.approx(drift, rel=1e-8, abs=1e-12)
    assert update.rms == pytest.approx(rms, rel=1e-9)


@pytest.mark.parametrize("name", ["student-t:1.5", "student-t:3", "generalized-normal:0.3", "binary"])
@pytest.mark.parametrize(("beta1s", "beta2"), [((0.99, 0.9), 0.5), ((0.99,), 0.95)])
def test_windows_of_many_terms_under_heavy_tails(monkeypatch, name, beta1s, beta2):
    """Where old terms outweigh new ones, t = 33 and 70: sums by doubling against the terms one by one."""
    law = parse_law(name)
    settings = [(2.0, 1.0, 0.0, 70), (5.0, 1e4, 1e-4, 33)]

    def updates():
        results = [
            exact_update(p, 1.0, r, law, beta1=beta1, beta2=beta2, epsilon=e, step=t)
            for beta1, (p, r, e, t) in itertools.product(beta1s, settings)
        ]
        return np.array([[u.drift, u.rms] for u in results])

    monkeypatch.setattr(
        theory.adam.update_integral, "_curves", remembered(theory.adam.update_integral._curves)
    )
    by_doubling = updates()
    monkeypatch.setattr(theory.adam.update_integral, "_FEW", 100)
    np.testing.assert_allclose(by_doubling, updates(), rtol=1e-9)


def test_epsilon_far_above_everything():
    """ε ≫ √v: u = m/ε, so the drift is E φ_p/ε, down to 1e-290."""
    for power, mean in ((1.0, 1e-3), (2.0, 1e-100), (9.0, 1e-30)):
        update = exact_update(power, mean, 3 * mean, Uniform(), epsilon=1e9)
        first = power_moments(power, 1.0, 3.0, Uniform()).first * mean**power / 1e9
        assert update.drift == pytest.approx(float(first), rel=1e-10)
    assert exact_update(2.0, 1e-300, 1e-299, Uniform()).drift == 0


def test_infinite_moments_of_the_update_say_so():
    """β1² > β2 and power-law tails: E u² is infinite, then E|u| too; never under light tails or at a finite step."""
    heavy = {"beta1": 0.99, "beta2": 0.5}
    mixed = exact_update([[0.5], [2.0]], 1.0, [0.0, 1.0], parse_law("student-t:3"), **heavy)
    assert np.isinf(mixed.rms).tolist() == [[False, False], [False, True]]
    with pytest.raises(InputError, match=r"mean of u finite"):
        exact_update(2.0, 1.0, 1.0, parse_law("student-t:1"), **heavy)
    assert np.isfinite(exact_update(2.0, 1.0, 1.0, parse_law("student-t:1"), step=40, **heavy).rms)
    assert np.isfinite(exact_update(2.0, 1.0, 1.0, parse_law("laplace"), **heavy).rms)
    assert np.isfinite(exact_update(2.0, 1.0, 1.0, parse_law("student-t:1")).rms)

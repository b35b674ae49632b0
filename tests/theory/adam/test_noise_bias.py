"""Adam's bias under skewed noise against Monte Carlo, and the power without it."""

from __future__ import annotations

import numpy as np
import pytest

from gradpower.__main__ import main
from gradpower.tools.errors import InputError
from theory.adam.noise_bias import noise_bias, unbiased_power
from theory.laws import parse_law
from theory.laws.from_quantiles import QuantileLaw


@pytest.mark.parametrize(("name", "beta2"), [("two-point:0.03", 0.95), ("two-point:0.2", 0.99)])
@pytest.mark.parametrize("power", [1.0, 1.3])
def test_the_bias_is_that_of_many_chains(name, beta2, power):
    law, generator = parse_law(name), np.random.default_rng(1)
    m, v, total = np.zeros((3, 2000))
    burn, steps = 1000, 400
    for step in range(burn + steps):
        g = law.sample(generator, 2000)
        x = np.sign(g) * np.abs(g) ** power
        m, v = 0.9 * m + 0.1 * x, beta2 * v + (1 - beta2) * x**2
        if step >= burn:
            total += m / np.sqrt(v) / steps
    error = total.std(ddof=1) / np.sqrt(total.size)
    assert abs(noise_bias(power, law, beta2=beta2) - total.mean()) < 4 * error


def test_the_mirrored_law_has_the_opposite_bias_and_the_same_unbiased_power():
    law, mirrored = parse_law("two-point:0.1"), parse_law("two-point:0.9")
    assert noise_bias(1.2, mirrored) == pytest.approx(-noise_bias(1.2, law), abs=1e-9)
    assert unbiased_power(mirrored) == pytest.approx(unbiased_power(law), abs=1e-6)
    assert abs(noise_bias(unbiased_power(law), law)) < 1e-8


def test_a_sum_of_many_gradients_is_less_biased():
    """A batch of 16 divides the skewness by 4; the unbiased power goes to its limit, not to 1."""
    from scipy.stats import gamma

    def batch(shape):
        root = np.sqrt(shape)
        return QuantileLaw(
            f"gamma {shape}",
            lambda chance: (gamma.ppf(chance, shape) - shape) / root,
            lambda value: gamma.cdf(shape + root * value, shape),
            symmetric=False,
        )

    small, large = batch(1.0), batch(16.0)
    assert noise_bias(1.0, large) / noise_bias(1.0, small) == pytest.approx(0.25, abs=0.03)
    assert unbiased_power(batch(400.0)) == pytest.approx(1.11, abs=0.01)


@pytest.mark.parametrize("name", ["gaussian", "binary", "student-t:4"])
def test_symmetric_noise_moves_nothing(name):
    assert noise_bias(1.2, parse_law(name)) == 0


def test_where_no_power_is_without_bias():
    assert unbiased_power(parse_law("gaussian")) is None
    assert unbiased_power(parse_law("two-point:0.03"), bounds=(1.0, 1.1)) is None


@pytest.mark.parametrize(
    ("law", "told"),
    [
        ("laplace", "a symmetric law: there is no bias at any power"),
        ("two-point:0.001", "the bias has the same sign at p = 1 and 4"),
    ],
)
def test_the_command_tells_why_there_is_no_power_without_bias(law, told, capsys):
    assert main(["theory", "noise-bias", "--law", law]) == 0
    assert told in capsys.readouterr().out


def test_what_is_out_of_range_is_rejected_for_every_law():
    with pytest.raises(InputError, match="power"):
        noise_bias(-3, parse_law("gaussian"))

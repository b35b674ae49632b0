"""What is best for measured gradients: against the exact theory where it holds, and where it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.noise.replay import POWERS, Optimizer, predict
from gradpower.tools.errors import InputError
from theory.adam.noise_bias import noise_bias
from theory.adam.noise_equivalent import noise_equivalent
from theory.adam.update import exact_update
from theory.laws import parse_law
from theory.measured.micro_batch_gradients import MicroBatchGradients

COORDINATES = 1500


def gradients(noise, *, signal=0.05, seed=0):
    """Return a module with gradients of the same size and any sign, plus noise: shape (N, d)."""
    signs = np.sign(np.random.default_rng(seed).normal(size=noise.shape[1]))
    return MicroBatchGradients("head", signal * signs + noise, noise.shape[1])


def equivalent(row, power):
    return row.equivalent[POWERS.tolist().index(power)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["uniform", "gaussian", "laplace"])
def test_noise_that_is_added_to_the_signal_gives_the_exact_equivalent(name):
    law = parse_law(name)
    chance = np.random.default_rng(1).random((256, COORDINATES))
    (whole, module) = predict([gradients(law.quantile(chance))], 8, 8)
    assert whole.equivalent == module.equivalent
    for power in (0.6, 0.8, 1.2, 1.4):
        exact = float(noise_equivalent(power, law=law, beta1=0.9, beta2=0.95))
        assert equivalent(whole, power) == pytest.approx(exact, abs=0.015)
    # The law is symmetric: random signs change nothing.
    assert whole.symmetrised == pytest.approx(equivalent(whole, 1.2), abs=0.015)


def bursts(seed=0):
    """Return gradients that are small and of the wrong sign but for large ones, a fifth, which carry the signal."""
    rng = np.random.default_rng(seed)
    there = rng.random((256, COORDINATES)) < 0.2
    return np.where(there, 1.0, -0.15) + 0.05 * rng.normal(size=there.shape)


@pytest.mark.slow
def test_where_large_gradients_carry_the_signal_a_larger_power_is_best():
    """Their noise has positive excess kurtosis: as noise that is added to the signal it would call for p < 1."""
    module = MicroBatchGradients("head", bursts(), COORDINATES)
    assert np.mean(module.residuals**4) > 3.1
    (alone, _), (averaged, _) = (predict([module], size, 8) for size in (8, 256))
    assert alone.resolved
    assert alone.low > 1.2
    # It is the side on which they lie that makes them the signal.
    assert abs(alone.symmetrised - 1) < 0.1 * (equivalent(alone, 1.2) - 1)
    # A batch of many is nearly Gaussian, and prefers nothing.
    assert abs(equivalent(averaged, 1.4) - 1) < 0.3 * (equivalent(alone, 1.4) - 1)


@pytest.mark.slow
def test_noise_alone_moves_adam_as_the_theory_says():
    """The rare, large values are on the side of the signal, and Adam moves away from them."""
    law, signal = parse_law("two-point:0.1"), 0.1
    chance = np.random.default_rng(4).random((512, COORDINATES))
    signs = np.sign(np.random.default_rng(5).normal(size=COORDINATES))
    module = MicroBatchGradients("head", signs * (signal + law.quantile(chance)), COORDINATES)
    (whole, _) = predict([module], 8, 8)
    drift = float(exact_update(1.0, signal, 1.0, law, epsilon=0.0).drift)
    for found, error, power in zip(whole.noise_alone, whole.noise_alone_errors, (1.0, 1.2), strict=True):
        assert found == pytest.approx(noise_bias(power, law) / drift, abs=0.05 + 4 * error)
    assert whole.noise_alone[0] < 0 < whole.noise_alone[1]


@pytest.mark.slow
@pytest.mark.parametrize("beta2", [0.9, 0.99])
def test_powers_at_another_memory(beta2):
    law = parse_law("laplace")
    module = gradients(law.quantile(np.random.default_rng(6).random((256, 600))), signal=0.2)
    (whole, _) = predict([module], 8, 8, Optimizer(beta2=beta2))
    for power in (0.8, 1.2):
        exact = noise_equivalent(power, law=law, beta2=beta2, noise_to_signal=5.0)
        assert equivalent(whole, power) == pytest.approx(float(exact), abs=0.02)


def test_pure_noise_is_not_resolved():
    noise = np.random.default_rng(3).laplace(size=(64, 300))
    assert not any(row.resolved for row in predict([gradients(noise, signal=0.0)], 8, 8))


def test_clipping_and_the_seed():
    noise = np.random.default_rng(4).laplace(size=(32, 200))
    module = gradients(noise)
    plain = predict([module], 8, 8)
    assert predict([module], 8, 8) == plain
    assert predict([module], 8, 8, seed=1) != plain
    loose = predict([module], 8, 8, Optimizer(clip_norm=1e6))
    assert loose[0].equivalent == pytest.approx(plain[0].equivalent)
    tight = predict([module], 8, 8, Optimizer(clip_norm=1e-3))
    assert tight[0].equivalent != pytest.approx(plain[0].equivalent)


def test_modules_add_up():
    noise = np.random.default_rng(5).laplace(size=(32, 100))
    one = gradients(noise)
    whole, first, second = predict([one, replace(one, name="embedding")], 8, 8)
    assert whole.equivalent == pytest.approx(first.equivalent)
    assert first.equivalent == pytest.approx(second.equivalent)
    with pytest.raises(InputError, match="at least one"):
        predict([], 8, 8)

"""Statistics of measured gradient noise against what is known of synthetic noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import gennorm, kstat, kstatvar

from gradpower.tools.errors import InputError
from theory.laws import GeneralizedNormal
from theory.measured.micro_batch_gradients import MicroBatchGradients
from theory.measured.noise_scale import noise_scale_of_norms
from theory.measured.noise_to_signal import QUANTILES, noise_to_signal
from theory.measured.shape_fit import (
    cross_fitted_kurtosis,
    fit_shape,
    pooled_excess_kurtosis,
)


def noise_of(shape, micro_batches=64, coordinates=6000, seed=0):
    rng = np.random.default_rng(seed)
    noise = GeneralizedNormal(shape).sample(rng, (micro_batches, coordinates))
    scaled = 1e-6 + np.geomspace(1e-8, 1e-3, coordinates) * noise
    return MicroBatchGradients("m", scaled.astype(np.float32), coordinates)


@pytest.mark.parametrize("shape", [1.0, 2.0, 4.0, 8.0])
def test_shapes_come_back(shape):
    data = noise_of(shape, seed=int(shape))
    fit = fit_shape(data)
    assert abs(fit.shape - shape) < 4 * fit.error
    assert fit.error < 0.06 * shape
    kurtosis, error = pooled_excess_kurtosis(data)
    assert abs(kurtosis - float(gennorm.stats(shape, moments="k"))) < 4 * error < 0.6
    assert not fit.at_edge


def test_few_micro_batches_do_not_bias_the_shape():
    fit = fit_shape(noise_of(1.0, micro_batches=12, coordinates=20_000))
    assert abs(fit.shape - 1) < 4 * fit.error < 0.2


def test_noise_outside_the_family_is_at_the_edge():
    rng = np.random.default_rng(0)
    fair = np.sign(rng.standard_normal((64, 500)))  # two atoms: tails lighter than any of the family
    rare = rng.standard_normal((64, 500)) * (rng.random((64, 500)) < 0.02)
    assert fit_shape(MicroBatchGradients("m", fair, 500)).shape == 20.0
    low = fit_shape(MicroBatchGradients("m", rare, 500))
    assert (low.shape, low.at_edge) == (0.25, True)


def test_the_kurtosis_is_made_of_k_statistics():
    rng = np.random.default_rng(0)
    halves = [rng.exponential(size=(9, 3)) for _ in range(2)]
    top = bottom = 0.0
    for own, other in (halves, halves[::-1]):
        for i in range(3):
            scale = other[:, i].var(ddof=1)
            k4 = kstat(own[:, i], 4) / scale**2
            top += k4
            # scipy's unbiased Var(k2) is E k2² − κ2², so κ2² is k2² less it
            bottom += (kstat(own[:, i], 2) ** 2 - kstatvar(own[:, i], 2)) / scale**2
    sums = [(9, ((h - h.mean(0)) ** 2).sum(0), ((h - h.mean(0)) ** 4).sum(0)) for h in halves]
    assert cross_fitted_kurtosis(sums) == pytest.approx(top / bottom, rel=1e-9)


def test_ratios_come_back_where_the_naive_ones_do_not():
    rng = np.random.default_rng(5)
    true = np.exp(rng.normal(np.log(12), 1, 16_000))
    sigma = np.geomspace(1e-7, 1e-2, true.size)
    signs = rng.choice([-1, 1], true.size)
    rows = sigma * (signs / true + rng.standard_normal((64, true.size)))
    found = noise_to_signal(MicroBatchGradients("m", rows, 2 * true.size))
    expected = np.quantile(true, QUANTILES)
    errors = np.array(found.quantile_errors)
    assert np.all(np.abs(found.quantiles - expected) < 4 * errors + 0.02 * expected)
    assert found.naive[2] < 0.7 * expected[2]


def test_silent_coordinates_do_not_count():
    rows = np.random.default_rng(0).standard_normal((16, 10))
    rows[:, 5:] = 0.0
    both = (noise_to_signal(MicroBatchGradients("m", values, 10)) for values in (rows, rows[:, :5]))
    assert next(both) == next(both)
    assert np.isnan(noise_to_signal(MicroBatchGradients("m", np.zeros((16, 4)), 4)).naive[0])


def test_noise_scale_of_norms_and_its_interval():
    rng = np.random.default_rng(0)
    covered, noises = 0, []
    for _ in range(200):
        norms = [((0.2 + rng.standard_normal((40, 50)) / np.sqrt(n)) ** 2).sum(1) for n in (1, 4)]
        found = noise_scale_of_norms(*norms, 1, 4)
        covered += found.interval[0] <= 50 / 2 <= found.interval[1]
        noises.append(found.noise)
    assert np.mean(noises) == pytest.approx(50, rel=0.01)
    assert 180 <= covered <= 200  # 95 % of 200, give or take 3.6 standard errors


def test_a_hidden_signal_leaves_the_noise_scale_open():
    rng = np.random.default_rng(0)
    norms = [(rng.standard_normal((40, 50)) ** 2).sum(1) / n for n in (1, 4)]
    found = noise_scale_of_norms(*norms, 1, 4)
    assert found.interval[1] == np.inf
    with pytest.raises(InputError, match="more than b = 4"):
        noise_scale_of_norms(*norms, 4, 4)
    with pytest.raises(InputError, match="two or more"):
        noise_scale_of_norms(norms[0][:1], norms[1], 1, 4)

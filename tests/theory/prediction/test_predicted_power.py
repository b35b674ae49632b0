"""The predicted power against brute force: the score of every coordinate's own exact update, and synthetic noise."""

from __future__ import annotations

import numpy as np
import pytest

from gradpower.tools.errors import InputError
from theory.adam.long_run import long_run_update, noise_equivalent
from theory.laws import GeneralizedNormal
from theory.measured.micro_batch_gradients import MicroBatchGradients
from theory.measured.shape_fit import ShapeFit, averaged_shape, fit_shape
from theory.prediction.predicted_power import POWERS, ModuleNoise, predict


def exactly(name, shape, mean, sigma):
    """Sixteen micro-batches whose halves have exactly these means, and this spread, as noise of a shape."""
    signs = np.repeat([1.0, 1.0, -1.0, -1.0], 4)[:, None]
    rows = mean + signs * np.sqrt(14 / 16) * sigma
    return ModuleNoise.of(MicroBatchGradients(name, rows, rows.shape[1]), ShapeFit(shape, 0.0, False))


def test_the_score_is_that_of_all_coordinates_together():
    rng = np.random.default_rng(0)
    parts = {}
    for name, shape in (("a", 0.8), ("b", 3.0)):
        sigma = np.exp(rng.uniform(-9, -5, 5))
        parts[name] = shape, sigma * np.exp(rng.uniform(-9, -7, 5)) * rng.choice([-1, 1], 5), sigma
    whole, *_ = predict([exactly(name, *part) for name, part in parts.items()], 8, 8, beta2=0.98)

    def score(power):
        drift = variance = 0.0
        for shape, mean, sigma in parts.values():
            for m, s in zip(np.abs(mean), sigma, strict=True):
                update = long_run_update(power, m, s, GeneralizedNormal(shape), beta2=0.98)
                drift, variance = drift + m * update.drift, variance + s**2 * update.variance
        return drift**2 / variance

    for index in (0, 10, 24, 34):
        q = np.sqrt(score(float(POWERS[index])) / score(1.0))
        assert whole.equivalent[index] == pytest.approx(q, rel=2e-3)


def test_a_module_by_itself_has_the_noise_equivalent_of_its_law():
    ones = np.ones(9)
    for shape in (0.5, 1.6, 4.0):
        _, module = predict([ModuleNoise("m", shape, 0.0, ones, ones)], 32, 8)
        law = GeneralizedNormal(averaged_shape(shape, 4.0))
        for index in (0, 18, 34):
            exact = noise_equivalent(float(POWERS[index]), law)
            assert module.equivalent[index] == pytest.approx(exact, rel=2e-3)


def test_the_best_power_follows_the_shape():
    ones = np.ones(9)
    best = [predict([ModuleNoise("m", b, 0.0, ones, ones)], 8, 8)[0] for b in (1.0, 1.6, 2.0, 3.5)]
    assert [row.at_edge for row in best] == [True, False, False, True]
    assert best[0].power < best[1].power < 0.9 < best[2].power < 1.1 < best[3].power
    assert best[2].power == pytest.approx(1.04, abs=0.01)


def test_intervals_cover_and_shapes_errors_widen_them():
    rng = np.random.default_rng(1)
    law, sigma = GeneralizedNormal(1.6), np.exp(rng.normal(-9, 1, 4000))
    mean = sigma * 0.2 * rng.choice([-1, 1], 4000)
    data = MicroBatchGradients("m", mean + sigma * law.sample(rng, (64, 4000)), 4000)
    fit = fit_shape(data)
    found, _ = predict([ModuleNoise.of(data, fit)], 8, 8)
    truth, _ = predict([exactly("m", 1.6, mean, sigma)], 8, 8)
    assert found.low < truth.power < found.high
    assert found.resolved
    sure, _ = predict([ModuleNoise.of(data, ShapeFit(fit.shape, 0.0, False))], 8, 8)
    assert sure.high - sure.low < 0.01 < found.high - found.low
    pure, _ = predict([ModuleNoise.of(MicroBatchGradients("m", law.sample(rng, (64, 400)), 400), fit)], 8, 8)
    assert not pure.resolved


def test_what_cannot_be_predicted_is_refused():
    with pytest.raises(InputError, match="modules: none"):
        predict([], 8, 8)

"""The predicted power against exact updates of single coordinates, brute-force sums, and synthetic measurements."""

from __future__ import annotations

import numpy as np
import pytest

from gradpower.tools.errors import InputError
from theory.adam.optimum import optimal_power
from theory.adam.update import exact_update
from theory.laws import Gaussian, GeneralizedNormal, Laplace, Uniform
from theory.measured.micro_batch_gradients import MicroBatchGradients
from theory.prediction.coordinate_sums import Coordinates
from theory.prediction.direct_update import direct_sums
from theory.prediction.noise_tables import Tables
from theory.prediction.predicted_power import AdamSettings, predict, search_powers, total
from theory.prediction.update_table import EPSILONS, FINE, SymmetricAtoms, update_table

ADAM = AdamSettings()
POWERS = search_powers()


@pytest.fixture(scope="module")
def tables() -> Tables:
    return Tables(POWERS, ADAM)


def known(mean, sigma) -> MicroBatchGradients:
    """Sixteen micro-batches whose halves have exactly these means, and this spread."""
    signs = np.repeat([1.0, 1.0, -1.0, -1.0], 4)[:, None]
    rows = mean + signs * np.sqrt(14 / 16) * sigma
    return MicroBatchGradients("known", rows, rows.shape[1])


def test_measured_means_and_spreads():
    data = known(np.array([1e-6, -2.0]), np.array([1e-5, 3.0]))
    assert np.allclose(data.mean_a[0], [1e-6, -2.0], rtol=1e-12)
    assert np.allclose(data.mean_b[0], [1e-6, -2.0], rtol=1e-12)
    assert np.allclose(data.sigma[0], [1e-5, 3.0], rtol=1e-12)


@pytest.mark.parametrize(
    ("law", "reference"),
    [(SymmetricAtoms.of_shape(b), GeneralizedNormal(b)) for b in (0.5, 8.0)] + [(Uniform(), Uniform())],
    ids=["0.5", "8", "uniform"],
)
def test_a_table_is_the_exact_update(law, reference):
    p = np.array([0.5, 1.2, 2.0])
    drift, square = update_table(law, p).fine
    where, what = np.array([5, 30, 55, 75]), np.array([0, 30, 55])
    for i in where:
        exact = exact_update(p[:, None], np.exp(FINE[i]), 1.0, reference, epsilon=np.exp(EPSILONS[what]))
        assert np.allclose(drift[:, i][:, what], exact.drift, rtol=4e-3)
        assert np.allclose(square[:, i][:, what], exact.rms**2, rtol=8e-3)


@pytest.mark.parametrize("ratio", [10.0, 50.0])
def test_equal_coordinates_have_the_power_of_one(tables, ratio):
    mean = 1e-6
    # Example 4.1 calls the half-width σ; a measurement gives the standard deviation.
    for table, law, sigma in (
        (tables.uniform(), Uniform(), ratio * mean / np.sqrt(3)),
        (tables.generalized_normal(2.0), Gaussian(), ratio * mean),
    ):
        data = known(np.full(5, mean), np.full(5, sigma))
        found = predict(Coordinates(data, 1.0).sums(table, ADAM, debias=False), POWERS)
        exact = optimal_power(mean, ratio * mean, law, method="exact", interval=(0.3, 2.0))
        assert found.power == pytest.approx(exact.power, abs=5e-3)
        assert found.at_edge is None
    if ratio == 10.0:
        assert exact.power == pytest.approx(0.9205, abs=1e-4)


def test_a_mixture_is_the_sum_of_its_coordinates(tables):
    rng = np.random.default_rng(0)
    mean = np.exp(rng.uniform(-14, -6, 6)) * rng.choice([-1, 1], 6)
    sigma = np.abs(mean) * np.exp(rng.uniform(-1, 4, 6))
    clip, ratio = 0.5, 4.0
    table = tables.generalized_normal(1.0)  # a shape of the grid
    sums = Coordinates(known(mean, sigma), ratio, clip).sums(table, ADAM, debias=False)
    for index in (0, 24, 48):
        exact = exact_update(
            POWERS[index], clip * np.abs(mean), clip * sigma / np.sqrt(ratio), Laplace(), epsilon=ADAM.epsilon
        )
        assert sums.decrease[0, index] == pytest.approx(float(np.abs(mean) @ exact.drift), rel=5e-3)
        assert sums.square[0, index] == pytest.approx(float((exact.rms**2).sum()), rel=1e-2)


def test_matched_epsilon_is_a_power_of_it():
    assert np.exp(
        AdamSettings(epsilon=1e-8, match_epsilon=True).log_epsilon(np.array([1.2]))
    ) == pytest.approx(1e-8**1.2)


def test_an_edge_is_reported_as_such(tables):
    data = known(np.full(3, 1e-2), np.full(3, 1e-1))
    found = predict(
        Coordinates(data, 1.0).sums(tables.uniform(), AdamSettings(epsilon=0.0), debias=False), POWERS
    )
    assert found.at_edge == "high"  # under uniform noise ε alone keeps the best power from growing
    assert found.power == 2.0


def synthetic(shape, micro_batches, coordinates, seed):
    """Coordinates of log-normal signal and noise, and what is known of them."""
    rng = np.random.default_rng(seed)
    sigma = np.exp(rng.normal(-9, 1, coordinates))
    mean = sigma * np.exp(rng.normal(-2.5, 1, coordinates)) * rng.choice([-1, 1], coordinates)
    noise = GeneralizedNormal(shape).sample(rng, (micro_batches, coordinates))
    return mean, sigma, MicroBatchGradients("m", mean + sigma * noise, coordinates)


def test_two_halves_take_out_the_bias_of_the_means(tables):
    table = tables.generalized_normal(2.0)
    for ratio, allowed in ((1, 0.02), (4, 0.04)):
        mean, sigma, data = synthetic(2.0, 64, 20_000, seed=1)
        truth = Coordinates(known(mean, sigma), ratio).sums(table, ADAM, debias=False)
        found = Coordinates(data, ratio).sums(table, ADAM)
        naive = Coordinates(
            known(data.gradients.mean(axis=0), data.gradients.std(axis=0, ddof=1)), ratio
        ).sums(table, ADAM, debias=False)
        assert np.allclose(found.decrease[0] / truth.decrease[0], 1, atol=0.04)
        assert np.allclose(found.square[0] / truth.square[0], 1, atol=0.04)
        assert np.all(naive.decrease[0] > 1.25 * truth.decrease[0])
        assert np.all(naive.square[0] > 1.1 * truth.square[0])
        best, true = predict(found, POWERS), predict(truth, POWERS).power
        assert abs(best.power - true) < allowed + 3 * best.standard_error
        assert best.resolved


def test_the_empirical_law_is_that_of_the_samples(tables):
    mean, sigma, data = synthetic(1.0, 64, 4000, seed=2)
    truth = predict(
        Coordinates(known(mean, sigma), 1).sums(tables.generalized_normal(1.0), ADAM, debias=False), POWERS
    )
    found = predict(Coordinates(data, 1).sums(tables.empirical(data.residuals, 1, seed=0), ADAM), POWERS)
    assert np.allclose(found.curve, truth.curve, atol=0.05 + 3 * found.curve_error.max())


@pytest.mark.parametrize("law", [Uniform(), Laplace()], ids=["uniform", "laplace"])
def test_the_direct_sum_is_unbiased_for_the_update_of_its_step(law):
    rng = np.random.default_rng(3)
    d = np.repeat(np.array([0.03, 0.1, 0.5, 2.0]), 2000)
    signs = rng.choice([-1.0, 1.0], d.size)
    data = MicroBatchGradients("m", 1e-3 * (signs * d + law.sample(rng, (32, d.size))), d.size)
    p = np.array([0.5, 1.0, 1.5])
    sums = direct_sums(data, 1, p, ADAM)
    groups = len(sums.decrease) - 1
    for index, power in enumerate(p):
        exact = exact_update(power, 1e-3 * d[::2000], 1e-3, law, epsilon=ADAM.epsilon, step=16)
        for got, true in (
            (sums.decrease[:, index], 2.0 * (d[::2000] @ exact.drift)),
            (sums.square[:, index], 2000 * (exact.rms**2).sum()),
        ):
            error = np.sqrt((groups - 1) * got[1:].var())
            assert abs(got[0] - true) < 4 * error < 0.2 * true


def test_what_cannot_be_predicted_is_refused(tables):
    data = known(np.ones(2), np.ones(2))
    with pytest.raises(InputError, match="at most 8, half of them"):
        Coordinates(data, 9.0)
    with pytest.raises(InputError, match="at most 1: 8 steps a half"):
        direct_sums(data, 2, POWERS, ADAM)
    with pytest.raises(InputError, match="modules: none"):
        total([])
    with pytest.raises(InputError, match="micro_batches: 7"):
        MicroBatchGradients("m", np.zeros((7, 3)), 3)
    with pytest.raises(InputError, match="not finite in module m"):
        MicroBatchGradients("m", np.full((8, 3), np.nan), 3)
    with pytest.raises(InputError, match="only zeros"):
        SymmetricAtoms.of_samples(np.zeros(4))

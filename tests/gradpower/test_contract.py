"""The contract of the powered optimizers: p = 1 is the base bit for bit, p ≠ 1 is the base on φ_p by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradpower import AdamWPower
from tests.gradpower.contract import (
    BY_NAME,
    CASES,
    assert_same_bits,
    by_hand,
    contract_runs,
    parameters,
    stream,
    twins,
)
from tests.gradpower.reference import REFERENCES
from theory import exact_update, parse_law


@pytest.fixture(autouse=True)
def _one_thread():
    """Matrices of a few entries are slower on two threads, when other work holds the second."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def described(case, objective, dtype, implementation, settings):
    name = f"{case.name}-{objective}-{str(dtype).removeprefix('torch.')}-{implementation}"
    return pytest.param(case, objective, dtype, settings, id=name)


RUN = ("case", "objective", "dtype", "settings")
RUNS = list(contract_runs())
EVERY = [described(*run) for run in RUNS]
UNFUSED = [described(*run) for run in RUNS if run[3] != "fused"]


def assert_equal_twins(*run, **options):
    actual, expected = twins(*run, **options)
    assert_same_bits(actual, expected, "(parameters, state)")
    assert all(p.isfinite().all() for p in actual[0])


@pytest.mark.parametrize(RUN, EVERY)
def test_power_1_is_the_base_bit_for_bit(case, objective, dtype, settings):
    assert_equal_twins(case, objective, dtype, settings, power=1.0, steps=50)


@pytest.mark.parametrize(RUN, UNFUSED)
def test_another_power_is_the_base_on_powered_gradients(case, objective, dtype, settings):
    assert_equal_twins(case, objective, dtype, settings, power=1.3, steps=20, feed=by_hand(1.3))


@pytest.mark.parametrize("power", [0.5, 0.9, 2.0, 3.0, torch.tensor(1.2)], ids=str)
@pytest.mark.parametrize("name", ["AdamW", "SGD-momentum", "Lion"])
def test_any_power_is_the_base_on_powered_gradients(name, power):
    assert_equal_twins(BY_NAME[name], "mlp", torch.float32, {}, power=power, steps=10, feed=by_hand(power))


def fed_by_streams(
    case, power, *, steps, shapes=((3, 4), (5, 3)), scale=1.0, feed=None, dtype=torch.float64, **more
):
    """Return the parameters after steps on gradients that do not depend on them."""
    params = parameters(shapes, dtype, seed=1)
    optimizer = case.make(params, power, **more)
    for step in range(steps):
        stream(params, step, scale=scale)
        if feed is not None:
            for p in params:
                p.grad = feed(p.grad)
        optimizer.step()
    return [p.detach() for p in params]


REFERENCED = [case for case in CASES if case.base.__name__ in REFERENCES and case.name != "Muon"]


@pytest.mark.parametrize("power", [0.6, 1.0, 1.2, 2.5])
@pytest.mark.parametrize("decay", [False, True])
@pytest.mark.parametrize("case", REFERENCED, ids=lambda case: case.name)
def test_the_trajectory_is_that_of_the_formulas(case, decay, power):
    more = {"weight_decay": 0.05} if decay else {}
    for actual, expected in zip(
        fed_by_streams(case, power, steps=50, **more), formulas(case, power, 50, **more), strict=True
    ):
        np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-12)


def formulas(case, power, steps, **more):
    start = parameters(((3, 4), (5, 3)), torch.float64, seed=1)
    seen = []
    for step in range(steps):
        stream(start, step)
        seen.append([p.grad.numpy() for p in start])
    reference = REFERENCES[case.base.__name__]
    for k, p in enumerate(start):
        gradients = np.array([row[k] for row in seen])
        yield reference(p.detach().numpy(), gradients, power, **{**case.settings, **more})


@pytest.mark.parametrize("power", [0.8, 1.2])
def test_muon_is_its_formula_as_far_as_bfloat16_goes(power):
    """torch orthogonalises in bfloat16; its error in the direction is a few per cent, whatever the power."""
    case = BY_NAME["Muon"]
    start = parameters(((3, 4), (5, 3)), torch.float64, seed=1)
    actual = fed_by_streams(case, power, steps=5)
    for a, e, s in zip(actual, formulas(case, power, 5), start, strict=True):
        error = np.linalg.norm(a.numpy() - e) / np.linalg.norm(e - s.detach().numpy())
        assert error < 0.03


@pytest.mark.parametrize("law", ["uniform", "gaussian"])
def test_adam_on_noise_moves_as_the_theory_says(law):
    """Mean and mean square of the update over 50,000 coordinates against the exact theory, μ = 1e-6, σ = 10 μ."""
    mean, noise_scale, steps, powers = 1e-6, 1e-5, 200, (0.7, 1.0, 1.2, 1.6)
    settings = {"betas": (0.9, 0.95), "eps": 1e-8, "lr": 1.0, "weight_decay": 0.0}
    thetas = [torch.nn.Parameter(torch.zeros(50_000, dtype=torch.float64)) for _ in powers]
    groups = [{"params": [theta], "power": p} for theta, p in zip(thetas, powers, strict=True)]
    optimizer = AdamWPower(groups, power=1.0, **settings)
    generator = torch.Generator().manual_seed(11)
    noise = torch.empty(50_000, dtype=torch.float64)
    for _ in range(steps):
        if law == "uniform":
            noise.uniform_(-1, 1, generator=generator)
        else:
            noise.normal_(generator=generator)
        for theta in thetas:
            theta.detach().zero_()
            theta.grad = mean + noise_scale * noise
        optimizer.step()
    options = {"beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "step": steps}
    expected = exact_update(np.array(powers), mean, noise_scale, parse_law(law), **options)
    for k, theta in enumerate(thetas):
        update = -theta.detach().numpy()
        for sample, truth in ((update, expected.drift[k]), (update**2, expected.rms[k] ** 2)):
            standard_error = sample.std(ddof=1) / np.sqrt(sample.size)
            assert abs(sample.mean() - truth) < 4 * standard_error
            assert standard_error < 0.05 * truth


SCALE_FREE = [
    "AdamW",
    "AdamW-amsgrad",
    "Adam",
    "Adamax",
    "Adagrad",
    "RMSprop",
    "RMSprop-centered",
    "Lion",
    "Signum",
]


@pytest.mark.parametrize("power", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("name", SCALE_FREE)
def test_a_factor_in_the_gradient_changes_nothing(name, power):
    """Appendix B.1: g → c·g, c > 0, leaves the scale-free optimizers as they are when ε → 0, at every p."""
    case = BY_NAME[name]
    more = {"eps": 1e-300} if case.takes("eps") else {}
    if name == "Adagrad":
        more["initial_accumulator_value"] = 0.0
    one, other = (fed_by_streams(case, power, steps=30, scale=c, **more) for c in (1.0, 1000.0))
    torch.testing.assert_close(other, one, rtol=1e-11, atol=0)

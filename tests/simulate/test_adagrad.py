"""Adagrad's fast path against its readable twin; and that it is paired, reproducible and checked."""

from __future__ import annotations

import numpy as np
import pytest

from gradpower.tools.errors import InputError
from simulate import simulate_adagrad
from simulate.adagrad.descent import build_descent, log_spaced
from simulate.adagrad.monte_carlo import QUANTITIES
from simulate.adagrad.reference import reference_curves
from simulate.problems import parse_problem
from tests.simulate.test_problems import PROBLEMS
from theory.laws import Empirical, parse_law

UNIFORM = parse_law("uniform")
GEMAN = parse_problem("geman-mcclure")
POWERS, RATES, RATIOS = [0.3, 0.9, 1.0, 1.7, 3.0], [0.03, 0.3], [0.2, 2.0]
SKEWED = Empirical(np.random.default_rng(5).exponential(size=300))


def simulate(*arms, threads=None, progress=None, **options):
    return simulate_adagrad(build_descent(*arms, **options), threads=threads, progress=progress)


def assert_equal(one, other):
    for name in QUANTITIES:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def assert_twins(descent, rtol=1e-8):
    fast, twin = simulate_adagrad(descent), reference_curves(descent)
    for name in QUANTITIES:
        expected = (*descent.shape, descent.seeds, len(descent.checkpoints))
        assert getattr(fast, name).shape == twin[name].shape == expected
        np.testing.assert_allclose(getattr(fast, name), twin[name], rtol=rtol, atol=1e-13, err_msg=name)
    return fast


@pytest.mark.parametrize("noise", ["additive", "multiplicative"])
@pytest.mark.parametrize("name", [*PROBLEMS, "separable:1", "separable:300", "logistic:3"])
def test_fast_path_is_its_readable_twin(name, noise):
    problem = parse_problem(name)
    steps = 400 if problem.dimension < 30 else 60
    fast = assert_twins(
        build_descent(problem, POWERS, RATES, RATIOS, UNIFORM, noise=noise, steps=steps, seeds=5, seed=3)
    )
    square, power = fast.mean_square[:, 2], fast.mean_power[:, 2]
    np.testing.assert_allclose(power, square, rtol=1e-13)  # p = 1


@pytest.mark.parametrize(
    "law",
    [SKEWED, *map(parse_law, ("binary", "gaussian", "laplace", "student-t:3", "generalized-normal:0.7"))],
    ids=lambda law: law.name,
)
@pytest.mark.parametrize("noise", ["additive", "multiplicative"])
def test_every_law(law, noise):
    # Binary noise with r = 1 makes half of the multiplicative gradients exactly 0.
    assert_twins(
        build_descent("separable:3", POWERS, RATES, [1.0, 2.5], law, noise=noise, steps=150, seeds=20)
    )


@pytest.mark.parametrize("epsilon", [0.0, 1e-12, 10.0])
def test_epsilon_and_gradients_that_vanish(epsilon):
    descent = build_descent(
        "quadratic:2",
        [0.5, 1.0, 2.0],
        [0.3, 0.7],
        [0.0, 1.0],
        "binary",
        noise="multiplicative",
        epsilon=epsilon,
        steps=40,
        seeds=4,
    )
    assert_twins(descent)


def test_no_gradient_no_step():
    """Binary noise with r = 1: g is 0 or 2∂F. With ε = 0 the first step is 0 or η."""
    runs = simulate(
        GEMAN, [0.5, 1.0, 2.0], 1.0, 1.0, parse_law("binary"), noise="multiplicative", epsilon=0.0, steps=1
    )
    allowed = GEMAN.value(np.array([[2.0, 1.0]]))
    distance = np.abs(runs.value[..., None] - allowed).min(axis=-1)
    assert distance.max() < 1e-14
    assert len(np.unique(runs.value.round(9))) == 2


def test_the_first_two_steps_by_hand():
    power, eta, epsilon, r = 1.5, 0.3, 0.01, 0.5
    descent = build_descent(GEMAN, power, eta, r, UNIFORM, epsilon=epsilon, steps=2, seeds=2)
    xi = descent.noise_chunk(0, 0)[:2, 0, :2]
    theta, v, squares, powers = np.full(2, 2.0), 0.0, [], []
    for t in range(2):
        gradient = 2 * theta / (1 + theta**2) ** 2
        g = gradient + r * 3 * np.sqrt(3) / 8 * xi[t]
        x = np.sign(g) * np.abs(g) ** power
        v = v + x**2
        theta = theta - eta * x / np.sqrt(v + epsilon)
        squares.append(gradient**2)
        powers.append(np.abs(gradient) ** (power + 1))
    runs = simulate_adagrad(descent)
    np.testing.assert_array_equal(runs.steps, [1, 2])
    np.testing.assert_allclose(runs.value[0, 0, 0, :, -1], theta**2 / (1 + theta**2), rtol=1e-14)
    np.testing.assert_allclose(runs.mean_square[0, 0, 0, :, -1], np.mean(squares, axis=0), rtol=1e-14)
    np.testing.assert_allclose(runs.mean_power[0, 0, 0, :, -1], np.mean(powers, axis=0), rtol=1e-14)
    np.testing.assert_allclose(runs.mean_square[0, 0, 0, :, 0], squares[0], rtol=1e-14)


def test_power_one_is_torch_adagrad():
    torch = pytest.importorskip("torch", reason="PyTorch, with which Adagrad is compared, is not installed")
    problem, eta, epsilon, steps = parse_problem("separable:5"), 0.2, 1e-3, 60
    descent = build_descent(problem, 1.0, eta, 0.7, UNIFORM, epsilon=epsilon, steps=steps, seeds=2)
    noise = np.concatenate([descent.noise_chunk(0, index) for index in range(-(-steps // descent.chunk))])
    theta = torch.tensor(problem.start, requires_grad=True)
    optimizer = torch.optim.Adagrad([theta], lr=eta, initial_accumulator_value=epsilon, eps=0)
    for t in range(steps):
        gradient = problem.gradient(theta.detach().numpy())
        theta.grad = torch.tensor(gradient + 0.7 * problem.gradient_scale * noise[t, :, 0])
        optimizer.step()
    value = float(problem.value(theta.detach().numpy()))
    np.testing.assert_allclose(simulate_adagrad(descent).value[0, 0, 0, 0, -1], value, rtol=1e-10)


def test_arms_share_their_noise_and_more_seeds_leave_the_first_alone():
    options = {"steps": 300, "seed": 4}
    together = simulate(GEMAN, POWERS, RATES, RATIOS, UNIFORM, seeds=40, **options)
    alone = simulate(GEMAN, POWERS[3], RATES[1], RATIOS[0], UNIFORM, seeds=3, **options)
    for name in QUANTITIES:
        np.testing.assert_array_equal(getattr(alone, name)[0, 0, 0], getattr(together, name)[0, 3, 1, :3])
    assert len(np.unique(together.value[1, 2, 0, :, -1])) == 40
    assert not np.any(
        together.value == simulate(GEMAN, POWERS, RATES, RATIOS, UNIFORM, seeds=40, steps=300).value
    )


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_the_number_of_threads_does_not_matter(threads):
    problem = parse_problem("separable:70")
    options = {"steps": 100, "seeds": 20, "noise": "multiplicative"}
    once = simulate(problem, POWERS, RATES, RATIOS, UNIFORM, threads=1, **options)
    again = simulate(problem, POWERS, RATES, RATIOS, UNIFORM, threads=threads, **options)
    assert_equal(once, again)


def test_checkpoints_only_look():
    often = simulate(GEMAN, POWERS, RATES, RATIOS, UNIFORM, steps=700, checkpoints=range(1, 701))
    default = simulate(GEMAN, POWERS, RATES, RATIOS, UNIFORM, steps=700)
    shorter = simulate(GEMAN, POWERS, RATES, RATIOS, UNIFORM, steps=56, checkpoints=[56])
    assert default.steps.tolist() == list(log_spaced(700))
    for name in QUANTITIES:
        curve = getattr(often, name)
        np.testing.assert_allclose(getattr(default, name), curve[..., default.steps - 1], rtol=1e-14)
        np.testing.assert_allclose(getattr(shorter, name), curve[..., [55]], rtol=1e-14)


def test_long_sums_lose_nothing():
    """Without a step worth the name the mean is the first summand, after 10⁶ additions as after 256."""
    runs = simulate(GEMAN, 0.5, 1e-300, 1.0, UNIFORM, steps=1_000_000, seeds=2)
    np.testing.assert_allclose(runs.mean_square, 0.16**2, rtol=5e-15)
    np.testing.assert_allclose(runs.mean_absolute, 0.16, rtol=5e-15)
    np.testing.assert_allclose(runs.mean_power, 0.16**1.5, rtol=5e-15)


def test_over_seeds_is_mean_and_standard_error():
    runs = simulate(GEMAN, POWERS, RATES, RATIOS, UNIFORM, steps=50, seeds=7)
    mean, error = runs.over_seeds(runs.mean_square)
    np.testing.assert_allclose(mean, runs.mean_square.sum(axis=3) / 7)
    np.testing.assert_allclose(error, np.sqrt(runs.mean_square.var(axis=3, ddof=1) / 7))


def test_progress_ends_at_its_total_and_can_stop_the_work():
    seen: list[tuple[int, int]] = []
    simulate(GEMAN, 1.0, 0.1, 1.0, UNIFORM, steps=600, progress=lambda *pair: seen.append(pair))
    assert seen == [(1, 3), (2, 3), (3, 3)]

    def interrupt(done: int, total: int) -> None:
        seen.append((done, total))
        raise KeyboardInterrupt

    seen.clear()
    with pytest.raises(KeyboardInterrupt):
        simulate(GEMAN, 1.0, 0.1, 1.0, UNIFORM, steps=600, seeds=99, progress=interrupt, threads=2)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("argument", "changes"),
    [
        ("powers", {"powers": 0.0}),
        ("powers", {"powers": 10.5}),
        ("powers", {"powers": []}),
        ("powers", {"powers": [[1.0]]}),
        ("learning_rates", {"learning_rates": [0.1, 0.0]}),
        ("learning_rates", {"learning_rates": np.inf}),
        ("noise_to_signal", {"noise_to_signal": -1.0}),
        ("noise", {"noise": "impulsive"}),
        ("epsilon", {"epsilon": -1e-8}),
        ("epsilon", {"epsilon": np.nan}),
        ("steps", {"steps": 0}),
        ("steps", {"steps": 2.5}),
        ("seeds", {"seeds": 1}),
        ("seeds", {"seeds": 10**9}),
        ("seed", {"seed": -1}),
        ("checkpoints", {"checkpoints": [0, 5]}),
        ("checkpoints", {"checkpoints": [5, 3]}),
        ("checkpoints", {"checkpoints": [11]}),
        ("checkpoints", {"checkpoints": []}),
        ("threads", {"threads": 0}),
    ],
)
def test_bad_input_is_named_before_any_work(argument, changes):
    def progress(done: int, total: int) -> None:
        raise AssertionError("work has begun")

    good = {"powers": 1.0, "learning_rates": 0.1, "noise_to_signal": 1.0, "steps": 10}
    with pytest.raises(InputError, match=f"^{argument}: "):
        simulate(GEMAN, law=UNIFORM, **good | changes, progress=progress)


def test_noise_that_overflows_is_refused():
    with pytest.raises(InputError, match="1e308"):
        simulate(GEMAN, 10.0, 0.1, 1.0, parse_law("student-t:0.1"), steps=300, seed=1)

"""The fast path against its readable twin; and that it is reproducible, paired, scale-free and checked."""

from __future__ import annotations

import numpy as np
import pytest

from gradpower.tools.errors import InputError
from simulate import simulate_adam
from simulate.adam.reference import reference_updates
from simulate.adam.setting import CHUNK, Setting
from theory.laws import Empirical, parse_law

UNIFORM = parse_law("uniform")
GRID = np.linspace(0.3, 3.0, 10)
SKEWED = Empirical(np.random.default_rng(5).exponential(size=300))
LAWS = [
    UNIFORM,
    SKEWED,
    *map(parse_law, ("binary", "gaussian", "laplace", "generalized-normal:0.7", "student-t:3")),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize(
    ("beta1", "beta2", "steps"),
    [
        (0.9, 0.95, None),
        (0.95, 0.5, None),
        (0.0, 0.9, None),
        (0.9, 0.95, 1),
        (0.5, 0.999, 3),
        (0.9, 0.99, 300),
    ],
)
def test_fast_path_is_its_readable_twin(law, beta1, beta2, steps):
    scales = np.array([0.0, 3e-7, 1e-5])
    options = {"beta1": beta1, "beta2": beta2, "epsilon": 1e-8, "trials": 70, "steps": steps, "seed": 3}
    fast = simulate_adam(GRID, 1e-6, scales, law, **options)
    twin = reference_updates(Setting(GRID, 1e-6, scales, law, **options))
    np.testing.assert_allclose(fast.updates, twin, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("betas", "window"), [((0.9, 0.95), 768), ((0.9, 0.999), 36736), ((0.0, 0.0), 128)])
def test_the_stationary_window_is_whole_chunks(betas, window):
    setting = Setting(GRID, 1.0, GRID, UNIFORM, *betas, 0.0, trials=4, steps=None, seed=0)
    assert setting.window == window
    assert window == CHUNK or max(betas) ** window < 2**-53 <= max(betas) ** (window - CHUNK)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_seed_alone_decides(threads):
    once = simulate_adam(GRID, 1.0, [2.0, 9.0], UNIFORM, trials=500, seed=11, threads=threads)
    again = simulate_adam(GRID, 1.0, [2.0, 9.0], UNIFORM, trials=500, seed=11)
    other = simulate_adam(GRID, 1.0, [2.0, 9.0], UNIFORM, trials=500, seed=12)
    np.testing.assert_array_equal(once.updates, again.updates)
    assert not np.any(once.updates == other.updates)


def test_powers_and_scales_see_the_same_noise():
    together = simulate_adam(GRID, 1.0, [0.5, 9.0], UNIFORM, trials=128)
    alone = simulate_adam(GRID[4], 1.0, 9.0, UNIFORM, trials=64)
    assert alone.updates.shape == (64,)
    np.testing.assert_allclose(alone.updates, together.updates[1, 4, :64], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("law", [law for law in LAWS if law.symmetric], ids=lambda law: law.name)
def test_antithetic_noise_comes_in_exact_opposites(law):
    setting = Setting(GRID, 1.0, GRID, law, 0.9, 0.95, 0.0, trials=4, steps=CHUNK + 5, seed=0)
    chunks = list(setting.noise_chunks(setting.sources[0]))
    assert [live for live, _ in chunks] == [5, CHUNK]
    for _, noise in chunks:
        np.testing.assert_array_equal(noise[:, 0::2], -noise[:, 1::2])


def test_antithetic_pairs_remove_the_noise_that_is_odd():
    paired = simulate_adam(1.2, 1e-9, 1e-5, UNIFORM, epsilon=0.0, trials=4096)
    plain = paired.updates[0::2]
    error = plain.std(ddof=1) / np.sqrt(plain.size)
    assert paired.standard_error < 1e-3 * error
    assert abs(paired.drift - plain.mean()) < 4 * error


def test_statistics_are_those_of_the_updates():
    paired = simulate_adam(GRID, 1.0, [1.0, 9.0], UNIFORM, trials=1000)
    pairs = paired.updates.reshape(2, GRID.size, 500, 2).mean(axis=-1)
    np.testing.assert_allclose(paired.drift, pairs.mean(axis=-1), rtol=1e-12)
    np.testing.assert_allclose(paired.standard_error, pairs.std(axis=-1, ddof=1) / 500**0.5, rtol=1e-12)
    np.testing.assert_allclose(paired.rms**2, (paired.updates**2).mean(axis=-1), rtol=1e-12)
    assert paired.batch_drifts(50).shape == (50, 2, GRID.size)
    np.testing.assert_allclose(paired.batch_drifts(50).mean(axis=0), paired.drift, rtol=1e-12)


@pytest.mark.parametrize("power", [0.01, 1.0, 10.0])
@pytest.mark.parametrize("unit", [1e-30, 1.0, 1e3])
def test_units_do_not_matter(power, unit):
    """u(cμ, cσ, c^p·ε) = u(μ, σ, ε), also where c^p leaves float64."""
    base = simulate_adam(power, 1.0, 7.0, UNIFORM, epsilon=0.0, trials=64)
    scaled = simulate_adam(power, unit, 7.0 * unit, UNIFORM, epsilon=0.0, trials=64)
    np.testing.assert_allclose(scaled.updates, base.updates, rtol=1e-10)


def test_epsilon_acts_on_the_powered_scale():
    base = simulate_adam(GRID[3], 1.0, 7.0, UNIFORM, epsilon=0.1, trials=64)
    scaled = simulate_adam(GRID[3], 1e-6, 7e-6, UNIFORM, epsilon=0.1 * 1e-6 ** GRID[3], trials=64)
    np.testing.assert_allclose(scaled.updates, base.updates, rtol=1e-10)


def test_no_gradient_no_update():
    """Binary noise with σ = μ gives g = 0 half of the time: 0/0 at the first step with ε = 0."""
    first = simulate_adam(1.0, 1.0, 1.0, parse_law("binary"), epsilon=0.0, trials=64, steps=1)
    assert sorted(set(first.updates.round(12).tolist())) == [0.0, 1.0]
    assert first.drift == 0.5


def test_progress_counts_to_its_total_and_can_stop_the_work():
    seen: list[tuple[int, int]] = []
    simulate_adam(1.0, 1.0, 1.0, UNIFORM, trials=200, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 24) for done in range(1, 25)]

    def interrupt(done: int, total: int) -> None:
        seen.append((done, total))
        raise KeyboardInterrupt

    seen.clear()
    with pytest.raises(KeyboardInterrupt):
        simulate_adam(1.0, 1.0, 1.0, UNIFORM, trials=64 * 50, progress=interrupt, threads=2)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("argument", "changes"),
    [
        ("powers", {"powers": 0.0}),
        ("powers", {"powers": [1.0, np.nan]}),
        ("powers", {"powers": [1.0, 1.1, 1.3]}),
        ("powers", {"powers": [1.2, 1.1]}),
        ("powers", {"powers": [1.0, 1.0]}),
        ("powers", {"powers": []}),
        ("powers", {"powers": [[1.0]]}),
        ("powers", {"powers": "many"}),
        ("mean", {"mean": 0.0}),
        ("noise_scale", {"noise_scale": -1.0}),
        ("noise_scale", {"noise_scale": [[1.0]]}),
        ("beta1", {"beta1": 1.0}),
        ("beta2", {"beta2": -0.1}),
        ("epsilon", {"epsilon": -1e-8}),
        ("trials", {"trials": 1}),
        ("trials", {"trials": 2}),
        ("trials", {"trials": 5}),
        ("trials", {"trials": 1, "law": SKEWED}),
        ("steps", {"steps": 0}),
        ("seed", {"seed": -1}),
        ("threads", {"threads": 0}),
    ],
)
def test_bad_input_is_named_before_any_work(argument, changes):
    def progress(done: int, total: int) -> None:
        raise AssertionError("work has begun")

    good = {"powers": 1.0, "mean": 1.0, "noise_scale": 1.0, "law": UNIFORM}
    with pytest.raises(InputError, match=f"^{argument}: "):
        simulate_adam(**good | changes, progress=progress)


def test_noise_that_overflows_is_refused():
    with pytest.raises(InputError, match="1e308"):
        simulate_adam(10.0, 1.0, 1.0, parse_law("student-t:0.1"), trials=640, seed=1)

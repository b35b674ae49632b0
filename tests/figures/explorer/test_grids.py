"""The grids hold what the theory says, between their points too, to the error that the page states."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from figures.explorer.grids import LEVELS, MEAN, Axes, compute_grids
from theory import exact_update, parse_law
from theory.adam.noise_equivalent import long_run_update

LEVEL = {level.name: level for level in LEVELS}


def sample(grids, count):
    """Some curves, the same each time, a power that is on no grid for each, and its Adam."""
    generator = np.random.default_rng(7)
    chosen = [grids.curves[index] for index in generator.permutation(len(grids.curves))[:count]]
    for curve, power in zip(chosen, generator.uniform(0.2, 3.0, count), strict=True):
        yield curve, float(power), {"beta1": curve.beta1, "beta2": curve.beta2}


def test_every_setting_has_one_curve(grids):
    axes = grids.provenance.config
    assert axes == Axes()
    found = {(c.law, c.beta1, c.beta2, c.noise_to_signal, c.level) for c in grids.curves}
    count = len(axes.laws) * len(axes.betas) * len(axes.ratios) * len(LEVELS)
    assert len(found) == len(grids.curves) == count


def test_stated_errors_are_small(grids):
    errors = grids.errors
    assert 0 < max(errors.drift, errors.rms, errors.progress) < 5e-3


def test_drift_and_rms_equal_the_theory_at_powers_between(grids):
    for curve, power, betas in sample(grids, 40):
        sigma = MEAN * curve.noise_to_signal
        epsilon = LEVEL[curve.level].epsilon(np.array(power), max(MEAN, sigma))
        exact = exact_update(power, MEAN, sigma, parse_law(curve.law), epsilon=epsilon, **betas)
        for name in ("drift", "rms"):
            gap = abs(curve.at(name, np.array([power]), Axes())[0] - getattr(exact, name))
            assert gap <= 1.5 * getattr(grids.errors, name) * max(getattr(curve, name)), (curve, power)


def test_progress_equals_the_theory_at_powers_between(grids):
    with_progress = replace(grids, curves=[curve for curve in grids.curves if curve.progress])
    for curve, power, betas in sample(with_progress, 12):
        run = long_run_update(power, 1.0, curve.noise_to_signal, parse_law(curve.law), **betas)
        gap = abs(curve.at("progress", np.array([power]), Axes())[0] - run.progress)
        assert gap <= 1.5 * grids.errors.progress * max(curve.progress), (curve, power)


def test_grids_can_be_made_again(grids):
    axes = Axes(laws=("uniform",), betas=((0.9, 0.95),), ratios=(10,))
    progress = []
    errors, curves = compute_grids(axes, lambda done, total: progress.append((done, total)))
    assert progress == [(1, 3), (2, 3), (3, 3)]
    assert errors.drift < 5e-3
    for curve in curves:
        (kept,) = (
            each
            for each in grids.curves
            if (each.law, each.beta1, each.beta2, each.noise_to_signal, each.level)
            == (curve.law, curve.beta1, curve.beta2, curve.noise_to_signal, curve.level)
        )
        np.testing.assert_allclose(kept.drift, curve.drift, rtol=1e-5)
        np.testing.assert_allclose(kept.rms, curve.rms, rtol=1e-5)
        assert (kept.progress is None) == (curve.progress is None)


def test_figure_7s_epsilon_gives_the_papers_best_power(grids):
    (curve,) = (
        each
        for each in grids.curves
        if (each.law, each.beta2, each.beta1, each.noise_to_signal, each.level)
        == ("uniform", 0.95, 0.9, 10, "figure-7")
    )
    powers = np.arange(0.2, 3.0, 0.01)
    best = powers[curve.at("drift", powers, Axes()).argmax()]
    assert best == pytest.approx(1.2158, abs=0.006)

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from figures.report.choosing_p import CLIPPED, POWERS, choosing_p, relative_to_adam
from figures.results import THEORY

ROOT = Path(__file__).parents[3]
BEST = THEORY.read(ROOT / "results").optimal_powers


def test_the_committed_page_is_fresh():
    text = (ROOT / "docs" / "guide" / "choosing_p.md").read_text(encoding="utf-8")
    assert text == choosing_p(BEST), "run `gradpower report --update`"


@pytest.mark.parametrize("ratio", [1.0, 100.0])
def test_update_sizes_by_simulation(ratio):
    """The columns of Adam's RMS, from 4000 runs of the recursion itself."""
    generator, beta1, beta2 = np.random.default_rng(1), 0.9, 0.95
    powers = np.array([0.5, 1.2, 1.0])[:, None]
    m, v = np.zeros((3, 4000)), np.zeros((3, 4000))
    for _ in range(300):
        g = 1 + ratio * generator.normal(size=4000)
        x = np.sign(g) * np.abs(g) ** powers
        m, v = beta1 * m + (1 - beta1) * x, beta2 * v + (1 - beta2) * x**2
    rms = np.sqrt(np.mean((m / np.sqrt(v)) ** 2, axis=1))
    found = relative_to_adam("gaussian", ratio)[0]
    np.testing.assert_allclose(rms[:2] / rms[2], [found[POWERS.index(p)] for p in (0.5, 1.2)], atol=0.02)


def test_norms_of_the_clipping_example():
    g = np.random.default_rng(0).normal(size=1_000_000)
    g /= np.linalg.norm(g) * math.sqrt(CLIPPED / g.size)
    for power in (0.8, 1.2):
        norm = np.linalg.norm(np.abs(g) ** power) * math.sqrt(CLIPPED / g.size)
        assert f"{norm:.2g} at p = {power:g}" in choosing_p(BEST).replace("\n", " ")

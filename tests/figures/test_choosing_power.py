from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

from figures.choosing_power import CLIPPED, END, START, block, damping, refreshed
from figures.results import load
from theory.inputs import InputError

ROOT = Path(__file__).parents[2]
THEORY = load(ROOT / "results" / "theory.json", "theory")


def test_readme_is_fresh():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert refreshed(text, THEORY) == text, "run `gradpower reproduce --update`"


def test_marks_are_needed():
    with pytest.raises(InputError, match=r"README\.md"):
        refreshed("# no marks", THEORY)
    assert refreshed(f"a\n{START}\nold\n{END}\nb", THEORY) == f"a\n{START}\n\n{block(THEORY)}\n\n{END}\nb"


@pytest.mark.parametrize("power", [0.5, 0.8, 1.2, 1.5])
def test_damping_by_quadrature(power):
    for law, density in (
        ("gaussian", stats.norm.pdf),
        ("uniform", stats.uniform(-1, 2).pdf),
        ("laplace", stats.laplace.pdf),
    ):
        reach = 1.0 if law == "uniform" else 60.0

        def moment(order, density=density, reach=reach):
            return (
                2
                * integrate.quad(
                    lambda x: x**order * density(x), 0, reach, points=[1.0, 5.0][: int(reach > 1) * 2]
                )[0]
            )

        def size(p, moment=moment):
            return moment(p) / math.sqrt(moment(2 * p))

        assert damping(power, law) == pytest.approx(size(power) / size(1.0), rel=1e-6)


def test_norms_of_the_clipping_example():
    g = np.random.default_rng(0).normal(size=1_000_000)
    g /= np.linalg.norm(g) * math.sqrt(CLIPPED / g.size)
    for power in (0.8, 1.2):
        norm = np.linalg.norm(np.abs(g) ** power) * math.sqrt(CLIPPED / g.size)
        assert f"{norm:.2g} at p = {power:g}" in block(THEORY).replace("\n", " ")

"""The figure of what φ_p does to a problem: its rows are what theory computes, and all that is drawn is in them."""

from __future__ import annotations

import numpy as np
import pytest

from figures.adam.example import Setting
from figures.convergence import distortion
from tests.figures.rows import column, select
from theory.adagrad.distortion import effective_smoothness, mean_map, stalling_gradient
from theory.adagrad.powered_noise import powered_correlation
from theory.laws import parse_law


@pytest.fixture(scope="module")
def curves():
    return distortion.compute(
        Setting(law=("laplace", "student-t:1.5", "binary")),
        powers=np.array([0.2, 0.9, 1.0, 2.0, 3.0]),
        gradients=np.array([-1.0, 0.0, 0.3]),
        correlations=np.array([0.0, 0.4, 1.0]),
    )


def test_rows_are_the_computed_values(curves):
    rows = distortion.rows(curves)
    for power in (0.5, 1.0, 1.2, 2.0):
        for name, scale in (("uniform", 1.0), ("no noise", 0.0)):
            own = select(rows, panel="mean map", law=name, power=power)
            expected = mean_map(power, [-1.0, 0.0, 0.3], scale, parse_law("uniform"))
            assert column(own, "value") == pytest.approx(expected.tolist(), rel=1e-12)
    for row in select(rows, panel="smoothness"):
        scale, name = (0.0, "uniform") if row["law"] == "no noise" else (1.0, row["law"])
        assert row["value"] == effective_smoothness(row["power"], scale, 0.1, parse_law(name))
    for row in select(rows, panel="stalling"):
        assert row["value"] == -stalling_gradient(row["power"], 1.0, parse_law(row["law"]))
    for row in select(rows, panel="correlation"):
        assert row["value"] == powered_correlation(row["power"], row["correlation"])


def test_moments_that_do_not_exist_are_left_out(curves):
    rows = distortion.rows(curves)
    assert column(select(rows, panel="smoothness", law="student-t:1.5"), "power") == [0.2, 0.9, 1.0, 2.0]
    assert column(select(rows, panel="smoothness", law="no noise"), "power") == [1.0, 2.0, 3.0]


def test_everything_drawn_is_in_the_rows(curves):
    rows = distortion.rows(curves)
    panels = ("mean map", "smoothness", "stalling", "correlation")
    figure = distortion.draw(curves)
    assert len(figure.axes) == len(panels)
    for axis, panel, along in zip(
        figure.axes, panels, ("gradient", "power", "power", "correlation"), strict=True
    ):
        known = {(row[along], row["value"]) for row in select(rows, panel=panel)}
        lines = [line for line in axis.lines if line.get_linewidth() != 0.6 or len(line.get_xdata()) > 2]
        drawn = {
            point for line in lines for point in zip(*map(np.ndarray.tolist, line.get_data()), strict=True)
        }
        assert drawn == known
        assert axis.get_xlabel()
        assert axis.get_ylabel()
        assert all(np.isfinite(value) for _, value in known)
    figure.draw_without_rendering()


def test_the_default_laws():
    laws = set(column(select(distortion.compute(Setting()), panel="smoothness"), "law"))
    assert laws == {*distortion.LAWS, "no noise"}

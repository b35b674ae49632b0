"""The figures' numbers, on small grids: the rows of the CSV are what theory and simulate compute."""

from __future__ import annotations

import numpy as np
import pytest

from figures.adam import drift_to_rms, figure7, phase_diagram
from figures.adam.example import Point, Setting
from figures.adam.optima import row
from figures.results import BestPower
from gradpower.tools.errors import InputError
from simulate import simulate_adam
from tests.figures.rows import column, select
from theory import exact_update, limit_update, optimal_power, parse_law

pytestmark = pytest.mark.slow

SMALL = Setting(noise_to_signal=(0.1, 10.0), trials=256)
POWERS = np.linspace(0.2, 2.0, 4)


@pytest.fixture(scope="module")
def seven():
    return figure7.compute(SMALL, powers=POWERS)


def test_figure_7_rows_are_the_computed_values(seven):
    noisy = select(figure7.rows(seven), noise_to_signal=10.0)
    law = parse_law("uniform")
    exact = exact_update(POWERS, 1e-6, 1e-5, law).drift
    assert column(select(noisy, series="exact"), "update") == pytest.approx(exact.tolist(), rel=1e-12)
    limit = limit_update(POWERS, 1e-6, 1e-5, law)
    assert column(select(noisy, series="limit"), "update") == pytest.approx(limit.tolist(), rel=1e-12)
    trials = simulate_adam(figure7.SIMULATED, 1e-6, 1e-5, law, trials=256)
    simulated = select(noisy, series="monte-carlo")
    assert column(simulated, "update") == pytest.approx(trials.drift.tolist(), rel=1e-12)
    margins = 1.959964 * trials.standard_error
    assert column(simulated, "margin_95") == pytest.approx(margins.tolist(), rel=1e-6)


def test_figure_7_marks_its_best_powers(seven):
    rows = figure7.rows(seven)
    (star,) = select(rows, noise_to_signal=10.0, series="optimum")
    assert star["power"] == pytest.approx(optimal_power(1e-6, 1e-5, parse_law("uniform")).power, abs=1e-7)
    assert star["over_maximum"] == 1.0
    grid = np.linspace(0.1, 3.0, 30).round(1)
    by_update = grid[np.argsort(exact_update(grid, 1e-6, 1e-5, parse_law("uniform")).drift)]
    assert column(select(rows, noise_to_signal=10.0, series="best on grid"), "power") == [by_update[-1]]
    assert column(select(rows, noise_to_signal=10.0, series="second best on grid"), "power") == [
        by_update[-2]
    ]
    assert column(select(rows, noise_to_signal=10.0, series="proposition"), "power") == pytest.approx(
        [1.2263], abs=1e-4
    )
    assert column(select(rows, noise_to_signal=0.1, series="optimum"), "power") == [0.0]
    assert select(rows, noise_to_signal=0.1, series="proposition") == []


def test_monte_carlo_agrees_with_the_exact_curve(seven):
    for curve in seven:
        powers, simulated, error = curve.series["monte-carlo"]
        assert np.all(np.abs(simulated - curve.point.exact(powers).drift) <= 2.5 * error + 1e-12)


def test_moments_that_do_not_exist_are_left_out():
    limit = Point("student-t:3", 1e-6, 1e-5).limit(np.array([1.0, 2.0]))
    assert np.isfinite(limit[0])
    assert np.isnan(limit[1])


def test_no_proposition_where_it_does_not_speak():
    assert Point("uniform", 1.0, 10.0).proposition_power() is None
    assert Point("gaussian", 1e-6, 1e-5).proposition_power() is None


@pytest.fixture(scope="module")
def rms():
    return drift_to_rms.compute(Setting(law=("uniform",), noise_to_signal=(0.0, 2.0, 10.0)), powers=POWERS)


def test_drift_to_rms_rows_are_the_computed_values(rms):
    rows = drift_to_rms.rows(rms)
    exact = exact_update(POWERS, 1e-6, 1e-5, parse_law("uniform")).drift_to_rms
    drawn = select(rows, noise_to_signal=10.0, series="exact")
    assert column(drawn, "drift_to_rms") == pytest.approx(exact.tolist(), rel=1e-12)


def test_drift_to_rms_marks_both_optima(rms):
    rows = drift_to_rms.rows(rms)
    series = {name: column(select(rows, noise_to_signal=name), "series") for name in (0.0, 2.0, 10.0)}
    assert set(series[0.0]) == {"exact"}
    assert {"optimum of drift/RMS", "optimum of u"} <= set(series[2.0])
    assert {"still rising", "optimum of u"} <= set(series[10.0])


@pytest.fixture(scope="module")
def phases():
    setting = Setting(law=("uniform", "student-t:5"), noise_to_signal=(0.0, 10.0))
    return phase_diagram.compute(setting, ratios=np.array([0.5, 10.0]), epsilons=np.array([1e-10, 1e-8]))


def test_phase_diagram_rows_are_the_optimal_powers(phases):
    rows = phase_diagram.rows(phases)
    law = parse_law("student-t:5")
    expected = optimal_power(1e-6, 1e-5, law, method="limit").power
    (line,) = select(rows, panel="law", law="student-t:5", noise_to_signal=10.0)
    assert line["optimal_power"] == pytest.approx(expected, abs=1e-8)
    (marker,) = select(rows, method="exact")
    assert (marker["law"], marker["noise_to_signal"]) == ("uniform", 10.0)
    expected = optimal_power(1e-6, 1e-5, parse_law("uniform"), epsilon=1e-10, method="limit").power
    (cell,) = select(rows, panel="epsilon", noise_to_signal=10.0, epsilon=1e-10)
    assert cell["optimal_power"] == pytest.approx(expected, abs=1e-8)
    assert set(column(select(rows, panel="epsilon", noise_to_signal=0.5), "at_edge")) == {"low"}


def test_laws_are_drawn_side_by_side(seven):
    laplace = figure7.compute(Setting(("laplace",), (1.0, 10.0), trials=64), powers=POWERS)
    titles = [axis.get_title(loc="left") for axis in figure7.draw([*seven, *laplace]).axes]
    assert titles[:2] == ["(a) uniform noise", "(b) Laplace noise"]


def test_a_row_of_the_table_of_optimal_powers():
    found = row(Point("uniform", 1e-6, 1e-5), seed=0)
    low, high = found.monte_carlo.power_interval
    assert low < found.exact.power < high
    low, high = found.proposition.bounds
    assert low < found.limit.power < high
    assert found.drift_to_rms == BestPower(3.0, "high")
    assert row(Point("gaussian", 1e-6, 1e-6), seed=0).monte_carlo is None


@pytest.mark.parametrize(
    ("argument", "changes"),
    [
        ("law", {"law": ("cauchy",)}),
        ("noise_to_signal", {"noise_to_signal": (2.0, 1.0)}),
        ("noise_to_signal", {"noise_to_signal": ()}),
        ("noise_to_signal", {"noise_to_signal": (-1.0,)}),
        ("mean", {"mean": 0.0}),
        ("beta1", {"beta1": 1.0}),
        ("beta2", {"beta2": -0.1}),
        ("epsilon", {"epsilon": float("nan")}),
        ("trials", {"trials": 7}),
        ("seed", {"seed": -1}),
    ],
)
def test_a_bad_setting_is_named(argument, changes):
    with pytest.raises(InputError, match=f"^{argument}: "):
        Setting(**changes)

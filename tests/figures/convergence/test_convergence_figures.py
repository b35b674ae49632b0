"""The figures of Section 4.2: their rows are what theory and the studies say, and all that is drawn is in them."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer

from figures.convergence import assumptions, exponents, gain
from figures.convergence import bounds as convergence_bounds
from simulate import build_descent, simulate_adagrad
from simulate.problems import parse_problem
from simulate.questions.gains import Gain
from simulate.questions.rates import AverageCurve, Exponents
from tests.figures.rows import column, select
from theory.adagrad.assumptions import alignment, contraction, high_noise_alignment
from theory.adagrad.bounds import BoundConstants, high_noise_bound, second_moment_bound
from theory.adagrad.powered_noise import high_noise_quality
from theory.adam.moments import power_moments
from theory.laws import parse_law

pytestmark = pytest.mark.slow


def points(axis, skip=()):
    """All points of the lines and marks of an axis but for plain guides of the line widths to skip."""
    lines = [line for line in axis.lines if line.get_linewidth() not in skip]
    found = set()
    for line in lines:
        x, y = (np.asarray(values, dtype=float).tolist() for values in line.get_data())
        found |= set(zip(x, y, strict=True))
    return found


def bars(axis):
    """Both ends of all error bars."""
    found = []
    for container in axis.containers:
        if isinstance(container, ErrorbarContainer):
            for collection in container.lines[2]:
                found += [tuple(sorted(segment[:, 1].tolist())) for segment in collection.get_segments()]
    return found


def check_bars(axis, rows):
    drawn, known = sorted(bars(axis)), sorted((row["low"], row["high"]) for row in rows)
    assert drawn
    assert np.asarray(drawn) == pytest.approx(np.asarray(known), rel=1e-9)


# --- bounds against measurements


@pytest.fixture(scope="module")
def curves():
    return convergence_bounds.compute(steps=120, seeds=4)


def test_bounds_figure_has_the_measured_averages_and_the_theorems_bounds(curves):
    rows = select(convergence_bounds.rows(curves), panel="high noise")
    arms = "pseudo-huber", (1.0, 1.2, 2.0, 3.0), 5.0, 10.0, "binary"
    runs = simulate_adagrad(build_descent(*arms, steps=120, seeds=4))
    for j, power in enumerate((1.0, 1.2, 2.0, 3.0)):
        own = select(rows, power=power, series="measured")
        mean, error = runs.over_seeds(runs.mean_square[0, j, 0])
        assert column(own, "value") == pytest.approx(mean.tolist(), rel=1e-12)
        assert column(own, "low") == pytest.approx((mean - 2 * error).tolist(), rel=1e-12)
        assert column(own, "high") == pytest.approx((mean + 2 * error).tolist(), rel=1e-12)
    s = high_noise_alignment(3.0, 10.0, 1.0, parse_law("binary"))
    constants = BoundConstants(
        gap=parse_problem("pseudo-huber").start_value,
        learning_rate=5.0,
        smoothness=1.0,
        gradient_bound=11.0,
        epsilon=1e-8,
    )
    bound = high_noise_bound(runs.steps, constants, 3.0, alignment=s)
    own = select(rows, power=3.0, series="Theorem 4.11")
    assert column(own, "value") == pytest.approx(bound.total.tolist(), rel=1e-9)


def test_bounds_figure_beyond_the_paper(curves):
    rows = convergence_bounds.rows(curves)
    law = parse_law("gaussian")
    gap = parse_problem("pseudo-huber").start_value
    bound = second_moment_bound(
        120,
        BoundConstants(gap=gap, learning_rate=5.0, smoothness=1.0, epsilon=1e-8),
        alignment=high_noise_alignment(2.0, 10.0, 1.0, law),
        second_moment=power_moments(2.0, 1.0, 10.0, law).second,
    )
    (last,) = select(rows, panel="unbounded", series="second-moment bound", power=2.0, steps=120)
    assert last["value"] == pytest.approx(float(bound.total), rel=1e-12)
    assert {row["power"] for row in select(rows, series="relative-noise bound")} == {0.5, 1.0}


def test_every_bound_holds_and_is_drawn(curves):
    rows = convergence_bounds.rows(curves)
    for row in select(rows, series="measured"):
        bounds = [
            other["value"]
            for other in rows
            if other["series"] != "measured"
            and all(other[name] == row[name] for name in ("panel", "power", "steps"))
        ]
        assert bounds
        assert row["low"] <= row["value"] <= row["high"]
        assert row["value"] < min(bounds)
    figure = convergence_bounds.draw(curves)
    for axis, panel in zip(figure.axes, ("low noise", "high noise", "unbounded"), strict=True):
        own = select(rows, panel=panel)
        assert points(axis, skip=(0.6,)) == {(row["steps"], row["value"]) for row in own}
        known = {(row["low"], row["high"]) for row in select(own, series="measured")}
        drawn = np.asarray(sorted(bars(axis)))
        distance = np.abs(drawn[:, None] / np.asarray(sorted(known)) - 1).max(axis=-1)
        assert distance.min(axis=1).max() < 1e-9


# --- exponents


def rate_rows():
    rows = []
    steps = [10, 30, 100, 300, 1000]
    for problem in ("geman-mcclure", "river-valley"):
        for k, noise in enumerate(("none", "relative, uniform", "fixed, sparse")):
            for power in (0.5, 1.0):
                mean = [step ** -(0.5 + 0.1 * k) for step in steps]
                rows.append(
                    Exponents(
                        problem=problem,
                        noise=noise,
                        law="uniform",
                        noise_kind="additive",
                        noise_to_signal=0.3,
                        assumption_4_6=True,
                        power=power,
                        learning_rate=1.0,
                        steps=1000,
                        exponent=0.5 + 0.1 * k + 0.01 * power,
                        half_width=0.01 + 0.01 * k,
                        square_exponent=0.5,
                        square_half_width=0.01,
                        theorem_exponent=1 / (power + 1),
                        curve=AverageCurve(steps, mean, [0.0] * 5),
                    )
                )
    return rows


def test_exponents_are_the_studys_with_its_intervals():
    data = rate_rows()
    rows = exponents.rows(data)
    measured = select(rows, series="measured")
    assert column(measured, "exponent") == [row.exponent for row in data]
    for row, source in zip(measured, data, strict=True):
        assert row["high"] - row["low"] == pytest.approx(2 * source.half_width)
        local = 0.5 + 0.1 * ("none", "relative, uniform", "fixed, sparse").index(row["noise"])
        assert (row["decade_before_last"], row["last_decade"]) == pytest.approx((local, local))
    for series, expected in (
        ("theorem 4.8", lambda p: 1 / (p + 1)),
        ("relative noise", lambda p: 1.0),
        ("theorem 4.5", lambda p: 0.5),
    ):
        assert all(row["exponent"] == expected(row["power"]) for row in select(rows, series=series))


def test_exponents_are_drawn_panel_by_panel():
    data = rate_rows()
    rows = exponents.rows(data)
    figure = exponents.draw(data)
    assert len(figure.axes) == 2
    for axis, problem in zip(figure.axes, ("geman-mcclure", "river-valley"), strict=True):
        own = select(rows, problem=problem)
        theory = {(row["power"], row["exponent"]) for row in rows if row["series"] != "measured"}
        marks = sorted(points(axis) - theory, key=lambda mark: (round(mark[0], 1), mark[1]))
        known = sorted((row["power"], row["exponent"]) for row in own)
        assert [y for _, y in marks] == [y for _, y in known]
        assert [x for x, _ in marks] == pytest.approx([x for x, _ in known], abs=0.05)
        assert theory <= points(axis)
        check_bars(axis, own)
        drawn = [
            np.ma.filled(dashes.get_offsets())[:, 1]
            for dashes in axis.collections
            if len(dashes.get_offsets()) > 1
        ]
        assert sorted(np.concatenate(drawn)) == sorted(column(own, "last_decade"))


# --- speed-up


def gain_rows():
    rows = []
    for problem, ratios in (("pseudo-huber", (1.0, 10.0)), ("river-valley", (10.0,))):
        for law in ("uniform", "gaussian"):
            for ratio in ratios:
                for power in (0.5, 1.0, 1.2, 2.0):
                    value = power**-0.3
                    tuned = (value, 0.9 * value, 1.2 * value)
                    row = Gain(
                        problem,
                        law,
                        ratio,
                        power,
                        300,
                        *tuned,
                        1.01 * value,
                        *tuned[1:],
                        learning_rate=2.0 if power == 2 else 1.0,
                        adagrad_rate=1.0,
                        at_edge=False,
                        adagrad_average=1.0,
                        rho=1.0,
                        quality=value,
                        speed_up=power**0.6,
                    )
                    rows.append(row)
    return rows


def test_gains_are_the_studys_beside_their_predictions():
    rows = gain.rows(gain_rows())
    (mark,) = select(rows, panel="river-valley", law="uniform", series="tuned", power=2.0)
    assert (mark["value"], mark["low"], mark["high"]) == pytest.approx(
        (2**-0.3, 0.9 * 2**-0.3, 1.2 * 2**-0.3)
    )
    assert set(column(select(rows, series="shared"), "power")) == {2.0}
    for law_name in ("uniform", "gaussian"):
        law = parse_law(law_name)
        own = select(rows, panel="pseudo-huber", law=law_name, series="Q(1)/Q(p)")
        expected = high_noise_quality(1.0, law) / high_noise_quality(column(own, "power"), law)
        assert column(own, "value") == pytest.approx(expected.tolist(), rel=1e-12)
        steps = select(rows, panel="steps", law=law_name, series="(Q(p)/Q(1))^2")
        assert column(steps, "value") == pytest.approx((expected**-2).tolist(), rel=1e-12)
    rho = select(rows, panel="pseudo-huber", series="rho")
    assert set(column(rho, "law")) == {"uniform"}
    expected = contraction(column(rho, "power"), 1.1, parse_law("uniform"))
    assert column(rho, "value") == pytest.approx(expected.tolist(), rel=1e-12)
    assert {row["noise_to_signal"] for row in select(rows, panel="ratios", power=1.2)} == {1.0, 10.0}


def test_gains_are_drawn_as_they_stand_in_the_rows():
    data = gain_rows()
    rows = gain.rows(data)
    figure = gain.draw(data)
    panels = ("pseudo-huber", "river-valley", "ratios", "steps")
    for axis, panel in zip(figure.axes, panels, strict=True):
        own = select(rows, panel=panel)
        along = "noise_to_signal" if panel == "ratios" else "power"
        known = {(row[along], row["value"]) for row in own}
        caps = {(row[along], row[end]) for row in own if "low" in row for end in ("low", "high")}
        drawn = points(axis, skip=(0.8,))
        assert known <= drawn
        unknown = np.asarray(sorted(drawn - known))
        if panel != "steps":
            assert unknown == pytest.approx(np.asarray(sorted(caps)), rel=1e-9)
            check_bars(axis, [row for row in own if "low" in row])


# --- assumptions


@pytest.fixture(scope="module")
def regions():
    return assumptions.compute(low_powers=np.array([0.2, 0.5, 0.9]), high_powers=np.array([1.5, 2.0, 4.0]))


def test_the_boundary_of_assumption_4_6_is_where_c_is_met(regions):
    for row in select(assumptions.rows(regions), panel="4.6"):
        reached = alignment(row["power"], row["value"], parse_law(row["law"]))
        assert float(reached) == pytest.approx(float(row["constant"]), abs=1e-9)


def test_contractions_in_closed_form(regions):
    rows = select(assumptions.rows(regions), panel="C2")
    closed = {
        "binary": lambda p: 1 / p,
        "uniform": lambda p: 1.0,
        "triangular": lambda p: (p + 1) / 2,
        "sparse:0.25": lambda p: 4 / p,
    }
    for name, formula in closed.items():
        for row in select(rows, law=name):
            assert row["value"] == pytest.approx(formula(row["power"]), rel=1e-12)
    arcsine = {row["power"]: row["value"] for row in select(rows, law="arcsine")}
    assert arcsine[2.0] == pytest.approx(np.pi / 4, rel=1e-12)
    assert all(value < 1 for value in arcsine.values())


def test_contractions_are_limits_of_those_at_small_gradients(regions):
    for row in select(assumptions.rows(regions), panel="C2"):
        law = parse_law(row["law"])
        near = contraction(row["power"], law.reach * (1 + 1e-6), law)
        assert float(near) == pytest.approx(row["value"], rel=2e-3)


def test_example_4_10_needs_gradients_two_hundred_times_smaller_than_the_noise(regions):
    rows = select(assumptions.rows(regions), panel="4.10")
    (example,) = select(rows, constant="Example 4.10")
    assert (example["power"], example["value"]) == pytest.approx((3.0, 0.004988), abs=1e-6)
    for row in select(rows, constant="1.01/p"):
        rho = contraction(row["power"], 1 + row["value"], parse_law("binary"))
        assert float(rho) == pytest.approx(1.01 / row["power"], rel=1e-9)


def test_the_regions_are_drawn(regions):
    rows = assumptions.rows(regions)
    figure = assumptions.draw(regions)
    for axis, panel in zip(figure.axes, ("4.6", "C2", "4.10"), strict=True):
        own = select(rows, panel=panel)
        assert points(axis) == {(row["power"], row["value"]) for row in own}

"""The figures of Section 4.2: their rows are what theory and the studies say, and all that is drawn is in them."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer

from figures.convergence import exponents, gain
from simulate.questions.gains import Gain
from simulate.questions.rates import AverageCurve, Exponents
from tests.figures.rows import column, select
from theory.adagrad.assumptions import contraction
from theory.adagrad.powered_noise import high_noise_quality
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

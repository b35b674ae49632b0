from __future__ import annotations

import math

import pytest

from experiments.recipes.model_size import model_size
from experiments.training.step_cost import CostConfig
from experiments.training.step_time import (
    IMPLEMENTATIONS,
    SIZES,
    step_times,
    training_step_time,
)

COST = CostConfig(("1M",), "1M", (3,), "cpu", "", power=1.2, rounds=3, seed=0)


def test_sizes_are_what_they_are_called():
    for name, size in SIZES.items():
        assert model_size(size).total == pytest.approx(float(name.removesuffix("M")) * 1e6, rel=0.06)


def test_rows_hold_what_was_measured():
    seen = []
    rows = step_times(COST, lambda done, total: seen.append((done, total)))
    assert [row.implementation for row in rows] == list(IMPLEMENTATIONS)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    for row in rows:
        assert all(math.isfinite(time) and time > 0 for time in (row.base_seconds, row.powered_seconds))
        moved = row.base_gb_per_second * row.base_seconds * 1e9
        assert moved == pytest.approx(28 * model_size(SIZES["1M"]).total)


def test_training_step_adds_up():
    row = training_step_time(COST, sequences=2, length=16)
    assert row.tokens == 32
    assert row.parameters == model_size(SIZES["1M"]).total
    added = row.powered_seconds - row.base_seconds
    assert row.share * row.whole_seconds == pytest.approx(added)
    assert row.whole_seconds > row.base_seconds

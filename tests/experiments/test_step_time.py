from __future__ import annotations

import math

import pytest

from experiments.training.step_time import (
    IMPLEMENTATIONS,
    SIZES,
    copy_bandwidth,
    step_times,
    training_step_time,
)


def test_sizes_are_what_they_are_called():
    for name, size in SIZES.items():
        assert size.parameters == pytest.approx(float(name.removesuffix("M")) * 1e6, rel=0.06)


def test_shapes_are_those_of_a_llama():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    size = SIZES["1M"]
    config = transformers.LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.width,
        intermediate_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=2,
    )
    model = transformers.LlamaForCausalLM(config)
    assert sorted(size.shapes) == sorted(tuple(p.shape) for p in model.parameters())


def test_rows_hold_what_was_measured():
    seen = []
    rows = step_times(
        ["1M"],
        device="cpu",
        power=1.2,
        rounds=3,
        seed=0,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert [row.implementation for row in rows] == list(IMPLEMENTATIONS)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    for row in rows:
        assert all(math.isfinite(time) and time > 0 for time in (row.base_seconds, row.powered_seconds))
        moved = row.base_gb_per_second * row.base_seconds * 1e9
        assert moved == pytest.approx(28 * SIZES["1M"].parameters)


def test_training_step_adds_up():
    row = training_step_time("1M", sequences=2, length=16, device="cpu", power=1.2, rounds=1, seed=0)
    assert row.tokens == 32
    assert row.parameters == SIZES["1M"].parameters
    added = row.powered_seconds - row.base_seconds
    assert row.share * row.whole_seconds == pytest.approx(added)
    assert row.whole_seconds > row.base_seconds


def test_a_copy_is_faster_than_nothing():
    assert copy_bandwidth("cpu") > 1e8

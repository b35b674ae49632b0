"""The optimizer of a recipe against torch's own and the formulas of its schedules."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch

from experiments.recipes.fields import with_fields
from experiments.recipes.named import recipe
from experiments.recipes.optimizer_settings import MODULES, OptimizerSettings
from experiments.training.models import build_model
from experiments.training.optimization import build_optimization, clip_gradients, decay
from gradpower import sign_power
from gradpower.learning_rates.blockwise import BLOCKS
from gradpower.tools.errors import InputError

SMALL = with_fields(
    recipe("pocket"),
    {
        "model.width": 16,
        "model.hidden": 32,
        "model.layers": 1,
        "training.steps": 20,
        "optimizer.warmup_steps": 4,
    },
)


def prepared(**fields: Any):
    made = with_fields(SMALL, {name.replace("__", "."): value for name, value in fields.items()})
    model = build_model(made.model, seed=0, length=32)
    return made, model, build_optimization(made, model)


def fill(model: torch.nn.Module, step: int, scale: float = 1e-2) -> None:
    generator = torch.Generator().manual_seed(step)
    for p in model.parameters():
        p.grad = scale * torch.randn(p.shape, generator=generator)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def farthest(model: torch.nn.Module, twin: torch.nn.Module) -> float:
    pairs = zip(model.parameters(), twin.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def course(key: str, steps: int, **fields: Any):
    """A recipe, and a setting of its optimizer's groups by name before each of some steps and after the last."""
    made, model, optimization = prepared(**fields)
    values: dict[str, list[float]] = {}
    for step in range(steps + 1):
        for group in optimization.optimizer.param_groups:
            values.setdefault(group.get("name", "all"), []).append(group[key])
        fill(model, step)
        optimization.step()
    return made, values


@pytest.mark.parametrize("schedule", ["cos", "wsd"])
def test_learning_rates_are_the_formula(schedule):
    made, rates = course("lr", 19, optimizer__schedule=schedule)
    top, low = made.optimizer.learning_rate, 0.1 * made.optimizer.learning_rate
    for step, rate in enumerate(rates["all"]):
        if step <= 4:
            expected = top * step / 4
        elif schedule == "cos":
            expected = low + (top - low) * (1 + math.cos(math.pi * (step - 4) / 16)) / 2
        else:  # the last fifth: from step 16 on
            expected = top if step <= 16 else low + (top - low) * (20 - step) / 4
        assert rate == pytest.approx(expected, rel=1e-12)
    assert decay(made.optimizer, 20)(20) == 0


def test_settings_reach_the_groups():
    _, _, optimization = prepared(
        optimizer__power=1.2,
        optimizer__offset=1e-6,
        optimizer__match_epsilon=True,
        optimizer__beta2_half_life=float(16 * 128),
        optimizer__weight_decay=0.3,
        optimizer__beta1=0.8,
    )
    (group,) = optimization.optimizer.param_groups
    assert group["eps"] == pytest.approx(1e-8**1.2)
    assert group["betas"] == (0.8, 0.5)
    assert (group["weight_decay"], group["power"], group["offset"]) == (0.3, 1.2, 1e-6)


@pytest.mark.parametrize("schedule", ["cos", "wsd"])
def test_blockwise_rates_have_no_jumps(schedule):
    blockwise = {"optimizer__module_rates": "blockwise", "optimizer__schedule": schedule}
    made, rates = course("lr", 100, **blockwise, training__steps=100)
    base = made.optimizer.learning_rate
    ratio = {"norm": 1, "vo": 4, "ffn": 6, "qk": 8, "embedding": 10, "head": 1}
    assert set(rates) == set(ratio)
    for name, values in rates.items():
        # The steepest is the warm-up, base/4 a step, or wsd's decay over 20 steps.
        steepest = max(base / 4, ratio[name] * base / 20)
        assert max(abs(b - a) for a, b in pairwise(values)) <= steepest * (1 + 1e-9)
        assert max(values) == pytest.approx(ratio[name] * base)
        # The warm-up is longer by the ratio: all blocks rise with the slope of the base.
        assert values[3] == pytest.approx(base * 3 / 4)
        assert values[4 * ratio[name]] == pytest.approx(ratio[name] * base)
        assert values[-1] == pytest.approx(made.optimizer.final_ratio * base)


def test_mols_factors_multiply_the_rates_once_and_have_mean_one():
    made, model, optimization = prepared(optimizer__module_rates="mols", optimizer__mols_share=0.5)
    assert optimization.mols_step == 10
    for step in range(10):
        fill(model, step, scale=1e-3)
        for name, p in model.named_parameters():
            p.grad += 1e-2 * ("lm_head" in name)  # the head has signal, all else is noise
        optimization.step()
    before = {g["name"]: g["lr"] for g in optimization.optimizer.param_groups}
    scales = optimization.scale_modules()
    after = {g["name"]: g["lr"] for g in optimization.optimizer.param_groups}
    assert set(scales) == {"norm", "vo", "ffn", "qk", "embedding", "head"}
    assert min(scales, key=scales.__getitem__) == "head"
    assert after == pytest.approx({name: rate * scales[name] for name, rate in before.items()})
    sizes = {g["name"]: sum(p.numel() for p in g["params"]) for g in optimization.optimizer.param_groups}
    log_mean = sum(sizes[name] * math.log(scale) for name, scale in scales.items()) / sum(sizes.values())
    assert log_mean == pytest.approx(0, abs=1e-9)
    fill(model, 10)
    optimization.step()
    rates = {g["name"]: g["lr"] for g in optimization.optimizer.param_groups}
    assert rates == pytest.approx(
        {name: made.optimizer.learning_rate * scale for name, scale in scales.items()}
    )


def test_clipping_before_and_after_the_power():
    for order in ("before", "after"):
        _, model, optimization = prepared(
            optimizer__power=1.2, optimizer__clip_order=order, optimizer__clip_norm=0.5
        )
        _, twin, plain = prepared(optimizer__clip_norm=None)
        for step in range(3):
            for m in (model, twin):
                fill(m, step, scale=1.0)
            expected = math.sqrt(sum(float(p.grad.double().square().sum()) for p in twin.parameters()))
            if order == "before":
                torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.5)
            for p in twin.parameters():
                p.grad = sign_power(p.grad, 1.2)
            if order == "after":
                torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.5)
            norm = clip_gradients(model, optimization.clip_norm)
            assert float(norm) == pytest.approx(expected, rel=1e-5)
            assert (optimization.clip_norm is None) == (order == "after")
            if optimization.clip_norm is not None:
                assert float(clip_gradients(model, None)) == pytest.approx(0.5, rel=1e-5)
            optimization.step()
            plain.step()
        assert farthest(model, twin) < 1e-5


def test_a_small_gradient_is_not_clipped():
    _, model, optimization = prepared()
    fill(model, 0, scale=1e-6)
    before = [p.grad.clone() for p in model.parameters()]
    clip_gradients(model, optimization.clip_norm)
    assert all(torch.equal(a, p.grad) for a, p in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1.4, 1.4, 1.4]),
        ("linear", [1.4, 1.2, 1.0]),
        ("cosine", [1.4, 1.2, 1.0]),
        ("wsd", [1.4, 1.4, 1.0]),
    ],
)
def test_power_schedules(schedule, expected):
    _, powers = course("power", 20, optimizer__power=1.4, optimizer__power_schedule=schedule)
    assert [powers["all"][t] for t in (0, 10, 20)] == pytest.approx(expected)


def test_muon_takes_the_matrices():
    made, _, optimization = prepared(
        optimizer__algorithm="muon", optimizer__power=0.9, optimizer__momentum=0.9
    )
    muon, adamw = optimization.optimizer.param_groups
    assert (muon["algorithm"], adamw["algorithm"]) == ("muon", "adamw")
    assert muon["power"] == adamw["power"] == 0.9
    assert muon["momentum"] == 0.9
    assert len(muon["params"]) == 7 * made.model.layers
    assert optimization.clip_norm == 1.0


@pytest.mark.parametrize("power", [0.8, 1.0, 1.2])
def test_the_size_of_the_update_is_what_the_weights_moved(power):
    _, model, optimization = prepared(
        optimizer__power=power, optimizer__weight_decay=0.0, optimizer__warmup_steps=0
    )
    assert optimization.update_rms() is None
    for step in range(5):
        before, rate = weights(model), optimization.optimizer.param_groups[0]["lr"]
        fill(model, step)
        optimization.step()
    moved = torch.cat([(p.detach() - before[name]).flatten() for name, p in model.named_parameters()])
    expected = float(moved.double().square().mean().sqrt()) / rate
    assert optimization.update_rms() == pytest.approx(expected, rel=1e-3)


def test_the_size_of_muons_update_is_not_told():
    _, model, optimization = prepared(optimizer__algorithm="muon")
    fill(model, 0)
    optimization.step()
    assert optimization.update_rms() is None


def test_mols_factors_are_measured_again_with_their_exponent_and_limit():
    _, model, optimization = prepared(
        optimizer__module_rates="mols",
        optimizer__mols_share=0.1,
        optimizer__mols_every=5,
        optimizer__mols_exponent=2.0,
        optimizer__mols_limit=1.5,
    )
    assert [step for step in range(1, 21) if optimization.scaling_due(step)] == [2, 7, 12, 17]
    for step in range(5):
        fill(model, step)
        for name, p in model.named_parameters():
            p.grad += 1e-2 * ("embed" in name)  # the embedding has signal, all else is noise
        optimization.step()
    squared = optimization.squared_snrs()
    assert squared is not None
    assert squared["embedding"] > 5 * abs(squared["ffn"])
    scales = optimization.scale_modules()
    assert scales["embedding"] == pytest.approx(1 / 1.5)
    assert max(scales.values()) <= 1.5 + 1e-12


def test_mols_with_exponent_0_only_measures():
    _, model, optimization = prepared(optimizer__module_rates="mols", optimizer__mols_exponent=0.0)
    for step in range(2):
        fill(model, step)
        optimization.step()
    assert not any(map(optimization.scaling_due, range(21)))
    assert set(optimization.squared_snrs()) == set(MODULES)


def test_ratios_of_ones_own():
    """They hold along the whole schedule."""
    _, courses = course("lr", 19, optimizer__module_rates="embedding:4,vo:0.5")
    base = courses.pop("norm")
    for name, rates in courses.items():
        ratio = {"embedding": 4, "vo": 0.5}.get(name, 1)
        assert rates == pytest.approx([ratio * rate for rate in base])
    spelt = [OptimizerSettings(module_rates=text).module_rates for text in ("vo:2.0,qk:3", "qk:3.0,vo:2")]
    assert spelt == ["vo:2,qk:3"] * 2
    assert {block.name for block in BLOCKS} == set(MODULES)


@pytest.mark.parametrize("rates", ["block", "embedding", "embedding:0", "embedding:2,embedding:3", "wte:2"])
def test_ratios_that_are_none(rates):
    with pytest.raises(InputError, match=r"optimizer\.module_rates"):
        OptimizerSettings(module_rates=rates)

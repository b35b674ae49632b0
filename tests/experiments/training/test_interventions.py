"""What a recipe can change for an intervention: the power of embedding and head, and noise of a chosen law."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from experiments.recipes.optimizer_settings import OptimizerSettings
from experiments.training.added_noise import add_noise
from experiments.training.execution import Execution
from experiments.training.loop import train
from experiments.training.models import build_model
from experiments.training.optimization import build_optimization
from experiments.training.records import read_metrics
from gradpower.tools.errors import InputError
from tests.experiments.texts import small_recipe, write_text
from tests.experiments.training.test_training import assert_same_run, final_weights
from theory.laws import parse_law

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return Execution(device="cpu", threads=1, log_every=1, cache=tmp_path_factory.mktemp("cache"))


def test_embedding_and_head_have_powers_of_their_own(text):
    made = small_recipe(text, optimizer__power=1.1, optimizer__embedding_power=1.3, optimizer__head_power=0.9)
    model = build_model(made.model, seed=0, length=made.data.sequence_length)
    names = {parameter: name for name, parameter in model.named_parameters()}
    powers = {
        names[parameter]: group["power"]
        for group in build_optimization(made, model).optimizer.param_groups
        for parameter in group["params"]
    }
    assert (powers.pop("model.embed_tokens.weight"), powers.pop("lm_head.weight")) == (1.3, 0.9)
    assert set(powers.values()) == {1.1}
    assert len(powers) == len(names) - 2


def test_the_same_power_of_the_head_is_the_same_run(text, here, tmp_path):
    for name, fields in (("plain", {}), ("head", {"optimizer__head_power": 1.2})):
        train(small_recipe(text, optimizer__power=1.2, **fields), tmp_path / name, execution=here)
    assert final_weights(tmp_path / "plain") == final_weights(tmp_path / "head")


@pytest.mark.parametrize(
    "fields",
    [
        {"optimizer__head_power": 1.3},
        {"optimizer__added_noise": "laplace", "optimizer__noise_level": 3.0},
    ],
    ids=["head", "noise"],
)
def test_they_resume_bit_for_bit(text, here, tmp_path, fields):
    made = small_recipe(text, **fields)
    train(made, tmp_path / "whole", execution=here)
    calls = iter(range(10**6))
    train(made, tmp_path / "parts", execution=here, stop=lambda: next(calls) == 5)
    train(made, tmp_path / "parts", execution=here)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("name", ["uniform", "laplace", "student-t:4"])
def test_noise_has_its_law_and_the_scale_of_each_tensor(name):
    model = nn.Sequential(nn.Linear(300, 300, bias=False), nn.Linear(300, 1, bias=False)).double()
    for scale, parameter in zip((2.0, 0.01), model.parameters(), strict=True):
        parameter.grad = torch.full_like(parameter, scale, dtype=torch.float64)
    add_noise(model, parse_law(name), 10.0, [3, 7])
    chance = np.random.default_rng([3, 7]).random((300, 300))
    first, second = (parameter.grad for parameter in model.parameters())
    np.testing.assert_allclose(first, 2.0 + 20.0 * parse_law(name).quantile(chance), rtol=1e-12)
    assert abs(float(second.mean()) - 0.01) < 0.1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"added_noise": "laplac"}, "law"),
        ({"noise_level": -1.0}, "noise_level"),
        ({"noise_level": 2.0}, "1 without optimizer.added_noise"),
        ({"head_power": 0.0}, "head_power"),
        ({"head_power": 1.2, "algorithm": "muon"}, "head_power"),
        ({"embedding_power": 1.2, "power_schedule": "linear"}, "embedding_power"),
    ],
)
def test_settings_that_cannot_be(fields, message):
    with pytest.raises(InputError, match=message):
        OptimizerSettings(**fields)


def test_runs_of_a_seed_branch_where_the_power_starts(text, here, tmp_path):
    runs = {}
    for power in (1.0, 1.3):
        made = small_recipe(text, optimizer__power=power, optimizer__power_start=0.5)
        train(made, tmp_path / str(power), execution=here)
        runs[power] = [row for row in read_metrics(tmp_path / str(power)) if "loss" in row]
    assert [row["power"] for row in runs[1.3]] == pytest.approx([1.0] * 12 + [1.3] * 12)
    losses = [[row["loss"] for row in rows] for rows in runs.values()]
    # The loss of a step is that before its update.
    assert losses[0][:13] == losses[1][:13]
    assert losses[0][13] != losses[1][13]

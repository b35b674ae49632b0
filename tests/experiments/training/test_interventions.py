"""What a recipe can change for an intervention: the power of embedding and head, and the noise of gradients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from experiments.corpora import Batch, open_data
from experiments.recipes.optimizer_settings import OptimizerSettings
from experiments.training.added_noise import add_noise, add_own_noise
from experiments.training.checkpoints import load_latest
from experiments.training.execution import Execution
from experiments.training.loop import train
from experiments.training.losses import batch_loss
from experiments.training.models import build_model
from experiments.training.optimization import build_optimization
from experiments.training.records import read_metrics
from experiments.training.reporting import Reporter
from experiments.training.run import Run
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


def by_parameter(recipe, key):
    """Return an entry of the optimizer's groups by the name of the parameter."""
    model = build_model(recipe.model, seed=0, length=recipe.data.sequence_length)
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = build_optimization(recipe, model).optimizer.param_groups
    entries = {names[parameter]: group[key] for group in groups for parameter in group["params"]}
    assert len(entries) == len(names)
    return entries


def test_embedding_and_head_have_powers_of_their_own(text):
    made = small_recipe(text, optimizer__power=1.1, optimizer__embedding_power=1.3, optimizer__head_power=0.9)
    powers = by_parameter(made, "power")
    assert (powers.pop("model.embed_tokens.weight"), powers.pop("lm_head.weight")) == (1.3, 0.9)
    assert set(powers.values()) == {1.1}


def test_embedding_and_head_have_memories_of_their_own(text):
    own = {"optimizer__embedding_beta2": 0.999, "optimizer__head_beta2": 0.99}
    betas = by_parameter(small_recipe(text, optimizer__beta2=0.95, **own), "betas")
    assert betas.pop("model.embed_tokens.weight") == (0.9, 0.999)
    assert betas.pop("lm_head.weight") == (0.9, 0.99)
    assert set(betas.values()) == {(0.9, 0.95)}


def test_the_same_power_of_the_head_is_the_same_run(text, here, tmp_path):
    for name, fields in (("plain", {}), ("head", {"optimizer__head_power": 1.2})):
        train(small_recipe(text, optimizer__power=1.2, **fields), tmp_path / name, execution=here)
    assert final_weights(tmp_path / "plain") == final_weights(tmp_path / "head")


@pytest.mark.parametrize(
    "fields",
    [
        {"optimizer__head_power": 1.3},
        {"optimizer__added_noise": "laplace", "optimizer__noise_level": 3.0},
        {"optimizer__added_noise": "random-signs:1"},
        {"optimizer__moments": "split:1"},
    ],
    ids=["head", "noise", "own noise", "moments"],
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


def test_own_noise_gives_the_gradient_of_the_first_sequences(text, here, tmp_path):
    """One step on a batch with its own noise is a step on its first sequences, whatever the micro-batches."""
    weights, norms = {}, {}
    for name, fields, rows in (
        ("few", {"training__batch_size": 2}, 2),
        ("own", {"training__batch_size": 8, "optimizer__added_noise": "own:2"}, 4),
        ("own, in one", {"training__batch_size": 8, "optimizer__added_noise": "own:2"}, 8),
    ):
        recipe = small_recipe(text, training__steps=1, optimizer__warmup_steps=0, **fields)
        train(recipe, tmp_path / name, execution=replace(here, micro_batch_size=rows))
        weights[name] = load_latest(tmp_path / name / "checkpoints")[0][1]
        norms[name] = [
            row["gradient_norm"] for row in read_metrics(tmp_path / name) if "gradient_norm" in row
        ]
    for name in ("own", "own, in one"):
        # The first step of Adam is a sign: weights alone do not tell the size of the gradient.
        assert norms[name] == pytest.approx(norms["few"], rel=1e-4)
        for key, value in weights["few"].items():
            torch.testing.assert_close(weights[name][key], value, rtol=0, atol=2e-5)


@pytest.mark.parametrize("form", ["own", "random-signs", "shuffled"])
def test_forms_of_own_noise(form):
    """All keep the mean and the sizes of the noise; signs are each entry's, places each tensor's."""
    model = nn.Sequential(nn.Linear(200, 200, bias=False), nn.Linear(200, 1, bias=False)).double()
    generator = torch.Generator().manual_seed(0)
    noise = [torch.rand(p.shape, generator=generator, dtype=torch.float64) for p in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    add_own_noise(model, [3.0 + part for part in noise], form, 2.0, [0, 1])
    for parameter, part in zip(model.parameters(), noise, strict=True):
        added = (parameter.grad - 3.0) / 2.0
        np.testing.assert_allclose(added.abs().flatten().sort()[0], part.flatten().sort()[0], atol=1e-14)
        assert torch.allclose(added.abs(), part) == (form != "shuffled")
        assert torch.allclose(added, part) == (form == "own")
    large = (next(iter(model.parameters())).grad - 3.0) / 2.0
    assert abs(float(large.mean()) - (0.0 if form == "random-signs" else 0.5)) < 0.01


def test_own_noise_needs_a_larger_batch(text):
    with pytest.raises(InputError, match="fewer sequences than"):
        small_recipe(text, training__batch_size=2, optimizer__added_noise="own:2")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"added_noise": "laplac"}, "law"),
        ({"noise_level": -1.0}, "noise_level"),
        ({"noise_level": 2.0}, "1 without optimizer.added_noise"),
        ({"added_noise": "own"}, "own:K"),
        ({"added_noise": "shuffled:0"}, "shuffled:K"),
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


def test_split_moments(text, here, tmp_path):
    """Adam written out, fed with the parts' gradients, agrees: m takes the first part's, v the mean of all squares."""
    power, beta1, beta2, steps = 1.2, 0.9, 0.95, 6
    made = small_recipe(
        text,
        training__steps=steps,
        training__batch_size=8,
        optimizer__warmup_steps=0,
        optimizer__decay_fraction=0.01,
        optimizer__weight_decay=0.0,
        optimizer__power=power,
        optimizer__beta2=beta2,
        optimizer__moments="split:2",
    )
    with Run(made, tmp_path / "split", here, Reporter()) as run:
        model = build_model(made.model, seed=0, length=made.data.sequence_length)
        data = open_data(made.data, seed=0, sequences=8 * steps, vocabulary=made.model.vocabulary)
        model.load_state_dict(run.model.state_dict())
        first, second = (
            [torch.zeros_like(p) for p in model.parameters()],
            [0.0] * len(list(model.parameters())),
        )
        for step in range(1, steps + 1):
            run.train_step()
            powered = []
            for part in zip(*(torch.split(rows, 2) for rows in data.next_batch(8)), strict=True):
                model.zero_grad()
                batch_loss(model, Batch(*part)).losses.mean().backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), made.optimizer.clip_norm)
                powered.append([p.grad.sign() * p.grad.abs() ** power for p in model.parameters()])
            for i, p in enumerate(model.parameters()):
                squares = [part[i].square() for part in powered]
                mean = squares[0] if step == 1 else sum(squares) / 4
                first[i] = beta1 * first[i] + (1 - beta1) * powered[0][i]
                second[i] = beta2 * second[i] + (1 - beta2) * mean
                root = (second[i] / (1 - beta2**step)).sqrt() + made.optimizer.epsilon
                p.data -= made.optimizer.learning_rate * first[i] / (1 - beta1**step) / root
        for expected, own in zip(model.parameters(), run.model.parameters(), strict=True):
            torch.testing.assert_close(own.data, expected.data, rtol=0, atol=3e-5)


def test_moments_of_the_first_sequences_are_those_of_a_small_batch(text, here, tmp_path):
    """One step with `first:2` of eight sequences is a step on two."""
    weights = []
    for size, moments in ((2, "batch"), (8, "first:2")):
        recipe = small_recipe(
            text,
            training__steps=1,
            optimizer__warmup_steps=0,
            training__batch_size=size,
            optimizer__moments=moments,
        )
        train(recipe, tmp_path / moments, execution=here)
        weights.append(final_weights(tmp_path / moments))
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    "fields",
    [
        {"optimizer__moments": "split"},
        {"optimizer__moments": "split:3", "training__batch_size": 8},
        {"optimizer__moments": "first:2", "training__batch_size": 2},
        {"optimizer__moments": "split:2", "training__batch_size": 8, "optimizer__clip_order": "after"},
        {"optimizer__moments": "split:2", "training__batch_size": 8, "optimizer__head_beta2": 0.0},
        {"optimizer__moments": "first:2", "training__batch_size": 8, "optimizer__beta2_half_life": 1e4},
    ],
)
def test_moments_that_cannot_be_split(text, fields):
    with pytest.raises(InputError, match=r"optimizer\.moments"):
        small_recipe(text, **fields)

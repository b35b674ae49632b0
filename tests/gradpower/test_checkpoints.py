"""States of powered optimizers: saved, loaded in both directions, resumed bit for bit; and what is refused."""

from __future__ import annotations

import copy
import io
import math

import pytest
import torch

from gradpower import AdamWPower
from gradpower.tools.errors import InputError
from tests.gradpower.contract import CASES, Signum, assert_same_bits, parameters, stream

SHAPES = ((3, 4), (5, 3))
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def two_groups():
    params = parameters(SHAPES, torch.float32, seed=1)
    return params, [{"params": params[:1]}, {"params": params[1:]}]


def steps(optimizer, params, count, start=0):
    for step in range(start, start + count):
        stream(params, step)
        optimizer.step()


def through_a_file(state):
    """Save and load as a careful user does: no code in the file is run."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def powers(optimizer):
    return [float(group["power"]) for group in optimizer.param_groups]


@every_case
@pytest.mark.parametrize("power", [1.3, torch.tensor(1.3)], ids=["number", "tensor"])
def test_a_resumed_run_is_the_unbroken_one_bit_for_bit(case, power):
    params, groups = two_groups()
    groups[1]["power"], groups[1]["offset"] = 0.8, 1e-8
    optimizer = case.make(groups, power)
    steps(optimizer, params, 3)
    saved = through_a_file({"optimizer": optimizer.state_dict(), "params": [p.detach() for p in params]})
    steps(optimizer, params, 3, start=3)

    others, groups = two_groups()
    for p, value in zip(others, saved["params"], strict=True):
        p.detach().copy_(value)
    resumed = case.make(groups, 2.0, offset=0.5)
    resumed.load_state_dict(saved["optimizer"])
    if isinstance(resumed, Signum):
        resumed.steps_taken = 3
    assert powers(resumed) == pytest.approx([1.3, 0.8])
    assert [group["offset"] for group in resumed.param_groups] == [0.0, 1e-8]
    steps(resumed, others, 3, start=3)
    assert_same_bits(others, params)
    assert_same_bits(resumed.state_dict()["state"], optimizer.state_dict()["state"])


@every_case
def test_a_state_of_the_plain_base_keeps_the_powers_of_the_constructor(case):
    """Trained with p = 1 so far, the run goes on as one that has just changed its power."""
    params, groups = two_groups()
    plain = case.make(groups, None)
    steps(plain, params, 3)
    saved = through_a_file(plain.state_dict())
    assert not any("power" in group for group in saved["param_groups"])

    runs = []
    for source in (saved, None):
        mine, groups = two_groups()
        groups[1]["power"] = 0.8
        optimizer = case.make(groups, 1.3 if source else 1.0)
        if source:
            for p, value in zip(mine, params, strict=True):
                p.detach().copy_(value.detach())
            optimizer.load_state_dict(source)
        else:
            optimizer.param_groups[1]["power"] = 1.0
            steps(optimizer, mine, 3)
            optimizer.param_groups[0]["power"], optimizer.param_groups[1]["power"] = 1.3, 0.8
        assert powers(optimizer) == [1.3, 0.8]
        steps(optimizer, mine, 3, start=3)
        runs.append(mine)
    assert_same_bits(*runs)


@every_case
def test_the_plain_base_loads_a_powered_state_and_goes_on(case):
    params, groups = two_groups()
    optimizer = case.make(groups, 1.3)
    steps(optimizer, params, 3)
    others, groups = two_groups()
    for p, value in zip(others, params, strict=True):
        p.detach().copy_(value.detach())
    plain = case.make(groups, None)
    plain.load_state_dict(through_a_file(optimizer.state_dict()))
    for group in optimizer.param_groups:
        group["power"] = 1.0
    for some, one in ((params, optimizer), (others, plain)):
        steps(one, some, 3, start=3)
    assert_same_bits(others, params)


def saved_with(**settings):
    """A saved state of two groups whose second has these settings; None takes one away."""
    _, groups = two_groups()
    state = copy.deepcopy(AdamWPower(groups, power=1.3).state_dict())
    for name, value in settings.items():
        state["param_groups"][1][name] = value
        if value is None:
            del state["param_groups"][1][name]
    return state


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"power": None}, r"^power of loaded group 1: .*missing.* in every group, or in none$"),
        ({"offset": None}, r"^offset of loaded group 1: .*missing"),
        ({"power": 0.0}, r"^power: 0.0 .* finite number > 0"),
        ({"power": -1.0}, r"^power: -1.0 .* finite number > 0"),
        ({"power": math.nan}, r"^power: nan .* finite number > 0"),
        ({"power": math.inf}, r"^power: inf .* finite number > 0"),
        ({"power": "x"}, r"^power: 'x' .* finite number > 0"),
        ({"power": torch.tensor(-1.0)}, r"^power: .*-1.* finite number > 0"),
        ({"offset": -1.0}, r"^offset: -1.0 .* >= 0$"),
    ],
    ids=str,
)
def test_a_state_that_is_not_allowed_is_refused_and_changes_nothing(settings, message):
    params, groups = two_groups()
    optimizer = AdamWPower(groups, power=0.7)
    steps(optimizer, params, 2)
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(InputError, match=message):
        optimizer.load_state_dict(saved_with(**settings))
    assert_same_bits(optimizer.state_dict(), before)


def test_the_loaded_dictionary_is_left_as_it_was():
    params, groups = two_groups()
    plain = torch.optim.AdamW(groups)
    steps(plain, params, 1)
    state = plain.state_dict()
    before = copy.deepcopy(state)
    AdamWPower(two_groups()[1], power=1.3).load_state_dict(state)
    assert_same_bits(state, before)


def test_a_state_with_another_number_of_groups_is_refused_as_by_the_base():
    params, _ = two_groups()
    with pytest.raises(ValueError, match="different number of parameter groups"):
        AdamWPower(params, power=1.3).load_state_dict(saved_with())

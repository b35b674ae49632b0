"""What counts as a step for schedules and meters, whoever takes it, and how often they wait for the device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.utils._python_dispatch import TorchDispatchMode

from gradpower import (
    AdamWPower,
    MuonAdamWPower,
    PowerSchedule,
    SGDPower,
    SNRMeter,
    UpdateMeter,
    apply_module_scales,
    linear_power,
    snr_from_adam,
)
from gradpower.tools.errors import InputError

pytestmark = pytest.mark.slow

STEPS = 8


class InSteps(AdamWPower):
    """A step that has hooks of its own around those of its parent's."""

    def step(self, closure=None, **kwargs):
        return super().step(closure, **kwargs)


def prepared(kind=SGDPower, **options: Any):
    model = nn.Linear(3, 2)
    optimizer = kind(model.parameters(), **{"lr": 0.1, "power": 1.4, **options})
    return model, optimizer, linear_power(optimizer, 1.0, STEPS)


def backward(model: nn.Module, scale: float = 1.0) -> torch.Tensor:
    loss = model(torch.ones(4, 3)).square().mean() * scale
    loss.backward()
    return loss.detach()


def powers_after(steps: int) -> list[float]:
    return [pytest.approx(1.4 - 0.4 * steps / STEPS)]


@pytest.mark.parametrize("kind", [SGDPower, InSteps])
def test_a_step_counts_once_and_a_failure_not_at_all(kind):
    AdamWPower([nn.Parameter(torch.ones(1))], power=1.0)  # torch hooks a class when its first object is made
    model, optimizer, schedule = prepared(kind)

    def failing():
        raise ZeroDivisionError

    with UpdateMeter(optimizer) as meter:
        for _ in range(2):
            optimizer.step(lambda: backward(model))
            with pytest.raises(ZeroDivisionError):
                optimizer.step(failing)
            schedule.step()
            schedule.step()
    assert (schedule.last_step, meter.sizes()["0"].steps) == (2, 2)
    assert schedule.get_last_power() == powers_after(2)


def test_parts_of_a_combination_are_one_optimizer():
    matrix, bias = nn.Parameter(torch.eye(2)), nn.Parameter(torch.ones(2))
    groups = [{"params": [matrix], "algorithm": "muon"}, {"params": [bias], "algorithm": "adamw"}]
    optimizer = MuonAdamWPower(groups, lr=0.1, power=1.4)
    schedule = linear_power(optimizer, 1.0, STEPS)
    optimizer.step()
    assert schedule.get_last_power() == 2 * powers_after(1)


def test_steps_that_a_scaler_skips_do_not_count():
    model, optimizer, schedule = prepared()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    for step in range(5):
        optimizer.zero_grad()
        scaler.scale(backward(model))
        if step in (0, 3):
            model.weight.grad[0, 0] = torch.inf
        scaler.step(optimizer)
        scaler.update()
    assert (schedule.last_step, schedule.get_last_power()) == (3, powers_after(3))


@pytest.fixture
def accelerate():
    """Return the module without its memory of the process."""
    module = pytest.importorskip("accelerate", reason="needs accelerate")
    for moment in ("before", "after"):
        module.state.AcceleratorState._reset_state(reset_partial_state=True)
        module.state.GradientState._reset_state()
        if moment == "before":
            yield module


@pytest.mark.parametrize("scaled", [False, True])
def test_accelerate_accumulates(accelerate, scaled):
    """Whether the schedule is prepared and stepped like any other, or on its own and made for the wrapper."""
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=4)
    accelerator.gradient_state.plugin_kwargs["adjust_scheduler"] = True  # its documented default
    if scaled:  # accelerate itself makes a scaler for devices only
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    model, optimizer, schedule = prepared()
    model, wrapped, rate, power = accelerator.prepare(
        model, optimizer, lr_scheduler.LambdaLR(optimizer, lambda t: 1 / (1 + t)), schedule
    )
    for index in range(4 * 5):
        with accelerator.accumulate(model):
            accelerator.backward(model(torch.ones(4, 3)).square().mean())
            if scaled and index == 7:
                model.weight.grad[0, 0] = torch.inf
            wrapped.step()
            rate.step()
            power.step()
            wrapped.zero_grad()
    taken = 4 if scaled else 5
    assert schedule.get_last_power() == powers_after(taken)
    assert power.get_last_lr() == rate.get_last_lr() == [pytest.approx(0.1 / (1 + taken))]
    later = linear_power(wrapped, 1.0, STEPS)
    assert later.optimizer is optimizer
    accelerator.backward(model(torch.ones(4, 3)).square().mean())
    wrapped.step()
    assert (schedule.last_step, later.last_step) == (taken, 1)


@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.usefixtures("accelerate")
def test_the_trainer_takes_the_schedule_and_resumes(chained, tmp_path: Path):
    pytest.importorskip("transformers", reason="needs the transformers Trainer")
    trainers = pytest.importorskip("tests.gradpower.test_trainer", reason="needs accelerate and datasets")

    def trained(power: float, checkpoint: str | None) -> Any:
        model = trainers.tiny_llama()
        optimizer = AdamWPower(model.parameters(), power=power, **trainers.ADAMW)
        schedule: Any = linear_power(optimizer, 1.0, 2 * trainers.STEPS)
        if chained:
            rate = lr_scheduler.CosineAnnealingLR(optimizer, trainers.STEPS)
            schedule = lr_scheduler.ChainedScheduler([rate, schedule], optimizer)
        options = {"settings": {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 2}}
        trainer = trainers.trainer_of(model, tmp_path, optimizers=(optimizer, schedule), **options)
        trainer.train(resume_from_checkpoint=checkpoint)
        return trainer

    unbroken = trained(1.4, None)
    assert unbroken.optimizer.param_groups[0]["power"] == pytest.approx(1.2)
    rates = [entry["learning_rate"] for entry in unbroken.state.log_history if "learning_rate" in entry]
    assert (rates[10] < rates[0]) == chained
    trainers.assert_same_run(trained(1.9, str(tmp_path / "checkpoint-10")), unbroken)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("power", [1.4, torch.tensor(1.4, dtype=torch.float64)], ids=["number", "tensor"])
@pytest.mark.parametrize("metered", [False, True])
def test_compiled_steps_count_and_need_no_new_graph(power, metered):
    graphs = []

    def backend(module, inputs):
        graphs.append(module)
        return module.forward

    torch.compiler.reset()
    (model, optimizer, schedule), (twin, eager, _) = (prepared(AdamWPower, power=power) for _ in range(2))
    twin.load_state_dict(model.state_dict())
    meters = [UpdateMeter(one) for one in (optimizer, eager) if metered]
    step, counts = torch.compile(optimizer.step, backend=backend), []
    for _ in range(6):
        for one, take in ((model, step), (twin, eager.step)):
            one.zero_grad()
            backward(one)
            take()
        counts.append(len(graphs))
    torch.compiler.reset()
    assert counts[0] >= 1
    assert counts[1:] == [counts[1]] * 5
    sizes = [meter.sizes()["0"].rms.value for meter in meters]
    assert sizes[1:] == pytest.approx(sizes[:1], rel=1e-3)
    assert (schedule.last_step, schedule.get_last_power()) == (6, powers_after(6))
    torch.testing.assert_close(list(model.parameters()), list(twin.parameters()), rtol=1e-5, atol=2e-6)


def test_a_step_that_is_being_captured_does_not_count(monkeypatch):
    """It is not taken, and what it would write would be written at every replay; no device is at hand to try."""
    _, optimizer, schedule = prepared(power=torch.tensor(1.4, dtype=torch.float64))
    with monkeypatch.context() as patched:
        patched.setattr(torch.cuda, "is_available", lambda: True)
        patched.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
        optimizer.step()
    assert (schedule.last_step, schedule.get_last_power()) == (0, [1.4])
    schedule.load_state_dict({"last_step": 3})  # after three replays
    assert schedule.get_last_power() == powers_after(3)


class LikeAccelerate(torch.optim.Optimizer):
    """Poses as an optimizer without having been made one."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    state = property(lambda self: self.optimizer.state)
    param_groups = property(lambda self: self.optimizer.param_groups)

    def step(self, closure=None):
        self.optimizer.step(closure)


class LikeLightning:
    """Takes on the class of what it wraps, and passes all else through."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self.__class__ = type("Wrapped", (LikeLightning, type(optimizer)), {})

    optimizer = property(lambda self: self._optimizer)

    def step(self, closure=None):
        self._optimizer.step(closure)

    def __getattr__(self, name):
        return getattr(self._optimizer, name)


class Wrapper:
    def __init__(self, scheduler: lr_scheduler.LRScheduler) -> None:
        self.scheduler = scheduler


WRAPPERS = [LikeAccelerate, LikeLightning, lambda optimizer: LikeAccelerate(LikeLightning(optimizer))]


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_wrapped_optimizers(wrap):
    weight = nn.Parameter(torch.zeros(400))
    optimizer = AdamWPower([{"params": [weight], "name": "all"}], lr=0.1, power=1.4)
    wrapped, generator = wrap(optimizer), torch.Generator().manual_seed(0)
    schedule = PowerSchedule(wrapped, 1.0, lambda t: 0.5**t)
    rate = lr_scheduler.LambdaLR(optimizer, lambda t: 1.0)
    with UpdateMeter(wrapped) as meter:
        for _ in range(6):
            weight.grad = 1 + torch.randn(400, generator=generator)
            wrapped.step()
            rate.step()
    assert schedule.optimizer is optimizer
    assert (schedule.last_step, meter.sizes()["all"].steps) == (6, 6)
    assert snr_from_adam(wrapped) == snr_from_adam(optimizer)
    apply_module_scales(wrapped, {"all": 2.0}, scheduler=Wrapper(rate))
    rate.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.2)
    foreign = torch.optim.SGD([nn.Parameter(torch.zeros(1))])
    with pytest.raises(InputError, match="of this optimizer"):
        apply_module_scales(foreign, {"0": 2.0}, scheduler=Wrapper(rate))
    with pytest.raises(InputError, match=r"^optimizer: SGD "):
        PowerSchedule(wrap(foreign), 1.0, lambda t: 0.5)


class HostReads(TorchDispatchMode):
    """Counts the numbers that are read from tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def descent(params: list[nn.Parameter], **options: Any) -> torch.optim.Optimizer:
    groups = [{"params": [p], "name": name} for p, name in zip(params, "aabbbc", strict=True)]
    return torch.optim.SGD(groups, weight_decay=0.01, fused=True, **options)


@pytest.mark.parametrize("sample", [None, 2])
def test_an_update_meter_reads_nothing_until_it_is_asked(sample):
    params = [nn.Parameter(torch.ones(n)) for n in (3, 1, 4, 0, 5, 9)]
    optimizer = descent(params, lr=0.1)
    with UpdateMeter(optimizer, sample=sample, block=2) as meter, HostReads() as reads:
        for step in range(300):
            for p in params:
                p.grad = torch.full_like(p, 1 + step % 3)
            optimizer.found_inf = torch.tensor(float(step == 7))
            optimizer.step()
        assert reads.count == 0
        sizes = meter.sizes()
        assert reads.count > 0
    assert [size.steps for size in sizes.values()] == [299] * 3


def test_learning_rates_on_a_device_are_not_read():
    params = [nn.Parameter(torch.ones(3)) for _ in range(6)]
    counts = []
    for measured in (False, True):
        optimizer = descent(params, lr=torch.tensor(0.1))
        meter = UpdateMeter(optimizer)
        if not measured:
            meter.close()
        with HostReads() as reads:
            for p in params:
                p.grad = torch.ones_like(p)
            optimizer.step()
        counts.append(reads.count)
    assert counts[0] == counts[1]
    assert meter.sizes()["a"].rms.value == pytest.approx(1 + 0.01, rel=1e-2)


@pytest.mark.parametrize("accumulate", [False, True])
def test_an_snr_meter_reads_nothing_until_it_is_asked(accumulate):
    generator, params = torch.Generator().manual_seed(0), [nn.Parameter(torch.zeros(20)) for _ in range(6)]
    meter = SNRMeter({"first": params[:2], "rest": params[2:]}, accumulate=accumulate)
    series = 0.5 + torch.randn(300, 120, generator=generator)
    with HostReads() as reads:
        for row in series:
            for p, gradient in zip(params, row.split(20), strict=True):
                p.grad = gradient.clone() if p.grad is None or not accumulate else p.grad + gradient
            meter.update()
    assert reads.count == 0
    rest = meter.snrs()["rest"]
    noise = float(series[:, 40:].double().var(0).sum())
    assert rest.noise == pytest.approx(noise, rel=1e-4)
    assert rest.signal == pytest.approx(float(series[:, 40:].mean(0).square().sum()) - noise / 300, rel=1e-3)


def test_a_schedule_of_powers_on_a_device_reads_nothing():
    _, optimizer, schedule = prepared(power=torch.tensor(1.4), clip=None, offset=1e-8)
    course = schedule._course
    with HostReads() as reads:
        course.begin_step(optimizer, (), {})
        course.end_step(optimizer, (), {})
    assert (reads.count, schedule.last_step) == (0, 1)
    assert schedule.get_last_power() == powers_after(1)

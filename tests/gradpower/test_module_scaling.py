import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, CyclicLR, LambdaLR, SequentialLR

from gradpower.groups import modules_by_pattern, modules_of
from gradpower.learning_rates.module_scaling import apply_module_scales, module_scales
from gradpower.meters.adam_snr import snr_from_adam
from gradpower.meters.module_snr import ModuleSNR, SNRMeter
from gradpower.optimizers.power_optimizers import AdamWPower
from gradpower.tools.errors import InputError

pytestmark = pytest.mark.slow


def gradients(
    samples: int, mean: float, noise_scale: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    return mean + noise_scale * torch.randn(samples, len(noise_scale), generator=generator)


def metered(series: torch.Tensor, *, accumulate: bool = False) -> ModuleSNR:
    """Feed rows of gradients of a module of two parameters."""
    first, second = nn.Parameter(torch.zeros(7)), nn.Parameter(torch.zeros(series.shape[1] - 7))
    meter = SNRMeter({"module": [first, second]}, accumulate=accumulate)
    for row in series.cumsum(0) if accumulate else series:
        first.grad, second.grad = row[:7].clone(), row[7:].clone()
        meter.update()
    return meter.snrs()["module"]


@pytest.mark.parametrize("accumulate", [False, True])
def test_the_estimates_are_the_textbook_ones(accumulate: bool) -> None:
    series = gradients(9, 0.3, torch.linspace(0.1, 2, 40), torch.Generator().manual_seed(1))
    snr = metered(series, accumulate=accumulate)
    g = series.double().numpy()
    noise = ((g - g.mean(0)) ** 2).sum() / 8
    pairs = g @ g.T
    signal = (pairs.sum() - np.trace(pairs)) / (9 * 8)
    assert snr.noise == pytest.approx(noise, rel=1e-5)
    assert snr.signal == pytest.approx(signal, rel=1e-4)
    assert (snr.samples, snr.parameters) == (9, 40)
    assert snr.snr == pytest.approx(math.sqrt(signal / noise), rel=1e-4)


@pytest.mark.parametrize(
    ("samples", "mean", "spread"),
    [(12, 0.0, 1.0), (12, 0.5, 1.0), (12, 2.0, 10.0), (40, 0.0, 10.0), (40, 0.1, 10.0), (40, 0.5, 1.0)],
)
def test_the_intervals_cover_and_the_estimates_are_unbiased(samples: int, mean: float, spread: float) -> None:
    noise_scale = torch.logspace(0, -math.log10(spread), 100)
    signal, noise = 100 * mean**2, float(noise_scale.square().sum())
    truth = math.sqrt(signal / noise)
    generator = torch.Generator().manual_seed(7)
    seen = [metered(gradients(samples, mean, noise_scale, generator)) for _ in range(300)]
    covered = sum(low <= truth <= high for low, high in (s.interval() for s in seen))
    # at SNR 0 only the lower limit can miss
    assert 0.88 * 300 <= covered <= (0.99 if mean else 1.0) * 300
    for values, true in (([s.signal for s in seen], signal), ([s.noise for s in seen], noise)):
        error = np.std(values, ddof=1) / math.sqrt(300)
        assert abs(np.mean(values) - true) < 3 * error
    scatter = np.std([s.squared for s in seen])
    assert 0.75 * scatter < np.sqrt(np.mean([s.standard_error**2 for s in seen])) < 1.5 * scatter


def test_signal_that_grows_with_noise_makes_the_error_bar_wide_not_narrow() -> None:
    generator = torch.Generator().manual_seed(3)
    squares, errors = [], []
    for _ in range(200):
        series = gradients(32, 0.5, torch.ones(100), generator)
        snr = metered(series * torch.exp(0.5 * torch.randn(32, 1, generator=generator)))
        squares.append(snr.squared)
        errors.append(snr.standard_error)
    assert 1.0 < np.mean(errors) / np.std(squares) < 3.5


def test_an_unused_parameter_has_gradient_zero() -> None:
    used, unused = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(5))
    both, alone = SNRMeter({"m": [used, unused]}), SNRMeter({"m": [used]})
    generator = torch.Generator().manual_seed(0)
    for _ in range(6):
        used.grad = torch.randn(3, generator=generator)
        both.update()
        alone.update()
    assert both.snrs()["m"].signal == alone.snrs()["m"].signal
    assert both.snrs()["m"].parameters == 8


def test_accumulation_goes_on_after_gradients_were_zeroed() -> None:
    series = gradients(8, 0.3, torch.ones(10), torch.Generator().manual_seed(2))
    p = nn.Parameter(torch.zeros(10))
    meter = SNRMeter({"m": [p]}, accumulate=True)
    for index, row in enumerate(series):
        p.grad = row.clone() if index in (0, 4) else p.grad + row
        meter.update(zeroed=index == 4)
    assert meter.snrs()["m"].noise == pytest.approx(metered(series).noise, rel=1e-5)


def test_low_precision_and_sparse_gradients() -> None:
    series = gradients(8, 1.0, torch.ones(30), torch.Generator().manual_seed(2)).bfloat16()
    p, q = nn.Parameter(torch.zeros(30, dtype=torch.bfloat16)), nn.Parameter(torch.zeros(30))
    meter = SNRMeter({"half": [p], "sparse": [q]})
    for row in series:
        p.grad, q.grad = row, row.float().to_sparse()
        meter.update()
    expected = metered(series.float())
    assert meter.snrs()["half"].signal == pytest.approx(expected.signal, rel=1e-5)
    assert meter.snrs()["sparse"].signal == pytest.approx(expected.signal, rel=1e-5)


def test_what_a_meter_refuses() -> None:
    p = nn.Parameter(torch.zeros(3))
    with pytest.raises(InputError, match="modules"):
        SNRMeter({"empty": []})
    meter = SNRMeter({"m": [p]})
    with pytest.raises(InputError, match="updates: 0"):
        meter.snrs()
    p.grad = torch.ones(3)
    for _ in range(4):
        meter.update()
    with pytest.raises(InputError, match=r"noise of module m: 0\.0"):
        meter.snrs()
    p.grad = torch.tensor([1.0, math.nan, 0.0])
    meter.update()
    with pytest.raises(InputError, match="noise of module m: nan"):
        meter.snrs()


def test_modules_by_pattern_and_by_group() -> None:
    net = nn.Sequential(nn.Embedding(4, 2), nn.Linear(2, 2))
    with pytest.raises(InputError, match=r"1\.weight"):
        modules_by_pattern(net, {"embedding": "^0"})
    with pytest.raises(InputError, match="head"):
        modules_by_pattern(net, {"all": ".", "head": "head"})
    weight, bias = net[1].parameters()
    groups = [{"params": [weight], "name": "mlp"}, {"params": [bias], "name": "mlp", "weight_decay": 0.0}]
    assert modules_of(torch.optim.AdamW(groups))["mlp"][1] is bias


def adam_on_noise(
    optimizer: torch.optim.Optimizer, steps: int, mean: float, generator: torch.Generator
) -> None:
    for _ in range(steps):
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = mean + torch.randn(p.shape, generator=generator)
        optimizer.step()


@pytest.mark.parametrize("steps", [2, 5, 60])
@pytest.mark.parametrize("mean", [0.0, 0.3, 1.0])
def test_snr_from_adam_is_unbiased_and_covers(steps: int, mean: float) -> None:
    generator, seen = torch.Generator().manual_seed(0), []
    for _ in range(100):
        p = nn.Parameter(torch.zeros(50, 40))
        optimizer = torch.optim.AdamW([p], betas=(0.9, 0.95))
        adam_on_noise(optimizer, steps, mean, generator)
        seen.append(snr_from_adam(optimizer)["0"])
    covered = sum(low <= mean <= high for low, high in (s.interval() for s in seen))
    assert 88 <= covered <= (99 if mean else 100)
    for values, true in (([s.signal for s in seen], 2000 * mean**2), ([s.noise for s in seen], 2000)):
        assert abs(np.mean(values) - true) < 3 * np.std(values, ddof=1) / 10


def test_snr_from_powered_adam_is_that_of_the_powered_gradient() -> None:
    p = nn.Parameter(torch.zeros(40000))
    optimizer = AdamWPower([{"params": [p], "name": "all"}], power=0.5)
    adam_on_noise(optimizer, 60, 0.5, torch.Generator().manual_seed(0))
    g = 0.5 + np.random.default_rng(0).standard_normal(4_000_000)
    powered = np.sign(g) * np.abs(g) ** 0.5
    assert snr_from_adam(optimizer)["all"].snr == pytest.approx(powered.mean() / powered.std(), rel=0.02)


def test_what_snr_from_adam_refuses() -> None:
    p = nn.Parameter(torch.zeros(8))
    for optimizer in (torch.optim.SGD([p], lr=0.1), torch.optim.AdamW([p])):
        with pytest.raises(InputError, match="no exp_avg"):
            snr_from_adam(optimizer)
    adam_on_noise(optimizer, 1, 0.0, torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match="step 1"):
        snr_from_adam(optimizer)
    forgetful = torch.optim.AdamW([p], betas=(0.0, 0.95))
    adam_on_noise(forgetful, 3, 0.0, torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match=r"^beta1 of group 0: 0\.0 "):
        snr_from_adam(forgetful)


def snr(name: str, value: float, parameters: int = 100, error: float = 0.0) -> ModuleSNR:
    return ModuleSNR(name, value * abs(value), 1.0, error, 32, parameters)


def test_scales_are_powers_with_weighted_geometric_mean_one() -> None:
    snrs = {"a": snr("a", 0.01, 300), "b": snr("b", 0.04, 100), "c": snr("c", 0.36, 50)}
    scales = module_scales(snrs)
    assert scales["a"] / scales["c"] == pytest.approx(6.0)
    assert scales["a"] > scales["b"] > scales["c"]
    assert sum(snrs[n].parameters * math.log(f) for n, f in scales.items()) == pytest.approx(0, abs=1e-9)
    larger_batch = {n: snr(n, 3 * s.snr, s.parameters) for n, s in snrs.items()}
    assert module_scales(larger_batch) == pytest.approx(scales)
    assert module_scales(snrs, exponent=0) == pytest.approx(dict.fromkeys("abc", 1.0))
    assert module_scales(snrs, normalisation="none", exponent=1)["b"] == pytest.approx(10.0)


def test_the_clamp_and_the_mean_hold_together() -> None:
    snrs = {"a": snr("a", 1e-6, 300), "b": snr("b", 0.04, 100), "c": snr("c", 0.5, 50)}
    # b and c end at the lower limit; 300·log f_a = 150·log 2 then
    assert module_scales(snrs, exponent=1, clamp=(0.5, 1.5)) == pytest.approx(
        {"a": 2**0.5, "b": 0.5, "c": 0.5}
    )
    # a and b end at the upper limit; 400·log 1.2 + 50·log f_c = 0 then
    limited = module_scales(snrs, exponent=1, clamp=(0.1, 1.2))
    assert limited == pytest.approx({"a": 1.2, "b": 1.2, "c": 1.2**-8})


def test_an_unresolved_snr_counts_with_its_upper_bound() -> None:
    unresolved = {"a": snr("a", -0.1, error=0.02), "b": snr("b", 0.1)}
    assert module_scales(unresolved) == pytest.approx(
        module_scales({"a": snr("a", math.sqrt(0.04)), "b": snr("b", 0.1)})
    )


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("exponent", -1),
        ("normalisation", "arithmetic"),
        ("clamp", (0.0, 2.0)),
        ("clamp", (1.5, 2.0)),
        ("clamp", 3),
        ("clamp", (0.5,)),
        ("clamp", "ab"),
        ("clamp", None),
        ("snrs", {}),
        ("snrs", {"a": snr("a", 0.0)}),
    ],
)
def test_what_module_scales_refuses(argument: str, value: object) -> None:
    arguments = {"snrs": {"a": snr("a", 1.0)}, argument: value}
    with pytest.raises(InputError, match="snr" if argument == "snrs" else argument):
        module_scales(arguments.pop("snrs"), **arguments)


@pytest.mark.parametrize("level", [0.0, 1.0, 95, math.nan])
def test_a_level_is_a_probability(level: float) -> None:
    with pytest.raises(InputError, match=r"^level: .* expected a number in \(0, 1\)"):
        snr("a", 1.0).interval(level)


def named_groups() -> list[dict[str, object]]:
    return [{"params": [nn.Parameter(torch.ones(2))], "name": name} for name in ("body", "head")]


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def test_applying_is_idempotent_and_replaces() -> None:
    optimizer = AdamWPower(named_groups(), lr=0.1, power=1.2)
    apply_module_scales(optimizer, {"body": 2.0, "head": 0.5})
    apply_module_scales(optimizer, {"body": 2.0, "head": 0.5})
    assert rates(optimizer) == pytest.approx([0.2, 0.05])
    resumed = AdamWPower(named_groups(), lr=0.1, power=1.2)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    apply_module_scales(resumed, {"body": 3.0})
    assert rates(resumed) == pytest.approx([0.3, 0.05])
    assert [group["power"] for group in resumed.param_groups] == [1.2, 1.2]


def test_a_tensor_rate_shared_by_groups_is_scaled_for_one() -> None:
    optimizer = torch.optim.AdamW(named_groups(), lr=torch.tensor(0.1))
    apply_module_scales(optimizer, {"head": 2.0})
    assert rates(optimizer) == pytest.approx([0.1, 0.2])


SCHEDULES = {
    "lambda": lambda optimizer: LambdaLR(optimizer, lambda step: min(1.0, step / 3)),
    "cosine": lambda optimizer: CosineAnnealingLR(optimizer, 10),
    "sequential": lambda optimizer: SequentialLR(
        optimizer,
        [ConstantLR(optimizer, 0.5, 4), LambdaLR(optimizer, lambda step: 1 / (1 + step))],
        milestones=[4],
    ),
}


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("applied_at", ["before", 0, 3])
def test_schedules_follow_the_scales(kind: str, applied_at: str | int) -> None:
    plain, scaled = (torch.optim.SGD(named_groups(), lr=0.1) for _ in range(2))
    if applied_at == "before":
        apply_module_scales(scaled, {"head": 4.0})
    expected, schedule = SCHEDULES[kind](plain), SCHEDULES[kind](scaled)
    for step in range(9):
        if step == applied_at:
            apply_module_scales(scaled, {"head": 4.0}, scheduler=schedule)
        if applied_at == "before" or step >= applied_at:
            assert rates(scaled) == pytest.approx([rates(plain)[0], 4 * rates(plain)[1]])
        for optimizer, one in ((plain, expected), (scaled, schedule)):
            optimizer.step()
            one.step()


def test_what_applying_refuses() -> None:
    optimizer, other = (torch.optim.SGD(named_groups(), lr=0.1, momentum=0.9) for _ in range(2))
    with pytest.raises(InputError, match="names of parameter groups: body, head"):
        apply_module_scales(optimizer, {"body": 2.0, "tail": 2.0})
    with pytest.raises(InputError, match="scales"):
        apply_module_scales(optimizer, {"body": 0.0})
    with pytest.raises(InputError, match="of this optimizer"):
        apply_module_scales(optimizer, {"body": 2.0}, scheduler=LambdaLR(other, lambda step: 1.0))
    with pytest.raises(InputError, match="CyclicLR"):
        apply_module_scales(other, {"body": 2.0}, scheduler=CyclicLR(other, 0.1, 1.0))
    assert rates(optimizer) == [0.1, 0.1]

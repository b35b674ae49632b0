import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, Adafactor, Adam, AdamW, Muon, Optimizer

from gradpower.meters.update_meter import UpdateMeter
from gradpower.optimizers.power_optimizers import AdamWPower, SGDPower
from gradpower.tools.errors import InputError
from theory import exact_update
from theory.laws import Gaussian

pytestmark = pytest.mark.slow

Gradient = Callable[[nn.Parameter], torch.Tensor]


def parameter(*shape: int, fill: float = 0.0) -> nn.Parameter:
    return nn.Parameter(torch.full(shape, fill, dtype=torch.float64))


def take_steps(optimizer: Optimizer, steps: int, gradient: Gradient) -> None:
    for _ in range(steps):
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = gradient(p)
        optimizer.step()


def noise(seed: int, mean: float = 0.0) -> Gradient:
    generator = torch.Generator().manual_seed(seed)
    return lambda p: mean + torch.randn(p.shape, generator=generator, dtype=p.dtype)


def test_constant_gradients_move_sgd_by_themselves() -> None:
    p, g = parameter(4), torch.tensor([3.0, -1.0, 2.0, 0.0], dtype=torch.float64)
    optimizer = SGD([p], lr=0.5)
    with UpdateMeter(optimizer, block=2) as meter:
        take_steps(optimizer, 12, lambda p: g)
    size = meter.sizes()["0"]
    assert (size.name, size.steps, size.coordinates) == ("0", 12, 4)
    assert size.rms.value == pytest.approx(math.sqrt(14 / 4))
    assert size.mean_absolute.value == pytest.approx(6 / 4)
    assert size.drift == pytest.approx(math.sqrt(14 / 4))
    assert size.cosine.value == pytest.approx(1)
    assert max(size.rms.standard_error, size.drift_squared.standard_error) < 1e-12


def test_powers_of_a_constant_gradient_and_their_ratio() -> None:
    g = torch.tensor([3.0, -1.0, 2.0, 0.5], dtype=torch.float64)
    sizes = []
    for power in (0.01, 1.0, 2.0):
        optimizer = SGDPower([parameter(4)], lr=0.1, power=power)
        with UpdateMeter(optimizer) as meter:
            take_steps(optimizer, 3, lambda p: g)
        sizes.append(meter.sizes())
    assert sizes[0]["0"].rms.value == pytest.approx(1, abs=0.02)
    cosine = float((g.abs() ** 3).sum() / (g.norm() * (g**2).norm()))
    assert sizes[2]["0"].cosine.value == pytest.approx(cosine)
    expected = float((g**2).norm() / g.norm())
    assert sizes[2]["0"].rms.value / sizes[1]["0"].rms.value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("power", "mean", "betas"),
    [
        (0.7, 0.5, (0.8, 0.9)),
        (1.0, 0.1, (0.8, 0.9)),
        (1.0, 0.5, (0.9, 0.95)),
        (1.2, 0.5, (0.8, 0.9)),
        (1.2, 2.0, (0.8, 0.9)),
    ],
)
def test_adam_on_gaussian_gradients_is_as_theory_says(
    power: float, mean: float, betas: tuple[float, float]
) -> None:
    optimizer = AdamWPower([parameter(8000)], betas=betas, eps=1e-3, weight_decay=0.0, power=power)
    gradient = noise(1, mean)
    take_steps(optimizer, 150, gradient)
    with UpdateMeter(optimizer, block=50) as meter:
        take_steps(optimizer, 800, gradient)
    size = meter.sizes()["0"]
    exact = exact_update(power, mean, 1.0, Gaussian(), beta1=betas[0], beta2=betas[1], epsilon=1e-3)
    assert abs(size.rms.value - float(exact.rms)) < 4 * size.rms.standard_error < 0.01
    square = size.drift_squared
    assert abs(square.value - float(exact.drift) ** 2) < 4 * square.standard_error < 0.01


def test_pure_noise_has_no_drift() -> None:
    scores = []
    for seed in range(30):
        optimizer = Adam([parameter(300)], betas=(0.9, 0.95))
        gradient = noise(seed)
        take_steps(optimizer, 20, gradient)
        with UpdateMeter(optimizer, block=32) as meter:
            take_steps(optimizer, 256, gradient)
        square = meter.sizes()["0"].drift_squared
        scores.append(square.value / square.standard_error)
    assert abs(np.mean(scores)) < 3 / math.sqrt(30)
    assert sum(abs(score) < 2 for score in scores) >= 26


def test_errors_are_those_of_repetition() -> None:
    seen = []
    for seed in range(30):
        optimizer = Adam([parameter(50)], betas=(0.9, 0.95))
        gradient = noise(100 + seed, 0.5)
        take_steps(optimizer, 60, gradient)
        with UpdateMeter(optimizer, block=32) as meter:
            take_steps(optimizer, 512, gradient)
        seen.append(meter.sizes()["0"])
    for quantity in ("rms", "mean_absolute", "drift_squared", "cosine"):
        estimates = [getattr(size, quantity) for size in seen]
        claimed = np.sqrt(np.mean([e.standard_error**2 for e in estimates]))
        assert 0.6 < claimed / np.std([e.value for e in estimates], ddof=1) < 1.7


BASES: dict[str, Callable[..., Optimizer]] = {
    "adamw": lambda params, **decay: AdamW(params, lr=0.01, **decay),
    "decoupled adam": lambda params, **decay: Adam(params, lr=0.01, decoupled_weight_decay=True, **decay),
    "muon": lambda params, **decay: Muon(params, lr=0.01, **decay),
    "powered": lambda params, **decay: AdamWPower(params, lr=0.01, power=1.2, **decay),
    "adafactor": lambda params, **decay: Adafactor(params, lr=0.01, d=1e9, eps=(None, 1e6), **decay),
}


@pytest.mark.parametrize("kind", BASES)
def test_decoupled_weight_decay_is_taken_out(kind: str) -> None:
    sizes = []
    for decay in (0.0, 0.3):
        optimizer = BASES[kind](
            [parameter(6, 5, fill=0.0 if kind == "adafactor" else 2.0)], weight_decay=decay
        )
        with UpdateMeter(optimizer) as meter:
            take_steps(optimizer, 1 if kind == "adafactor" else 4, noise(3))
        sizes.append(meter.sizes()["0"])
    assert sizes[0].rms.value == pytest.approx(sizes[1].rms.value, rel=1e-6)
    assert sizes[0].cosine.value == pytest.approx(sizes[1].cosine.value, rel=1e-6)


def test_coupled_weight_decay_is_part_of_the_update() -> None:
    optimizer = SGD([parameter(3, fill=2.0)], lr=0.1, weight_decay=0.5)
    with UpdateMeter(optimizer) as meter:
        take_steps(optimizer, 1, torch.zeros_like)
    assert meter.sizes()["0"].rms.value == pytest.approx(1.0)


class SignDescent(Optimizer):
    """θ ← (1 − ηλ)θ − η·sign(g), by a class of nobody's."""

    def __init__(self, params: list[nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: object = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(group["lr"] * p.grad.sign())


def test_weight_decay_of_an_unknown_optimizer_must_be_named() -> None:
    optimizer = SignDescent([parameter(5, fill=3.0)], 0.1, 0.2)
    with pytest.raises(InputError, match="decoupled: None"):
        UpdateMeter(optimizer)
    with UpdateMeter(optimizer, decoupled=True) as meter:
        take_steps(optimizer, 3, noise(0))
    assert meter.sizes()["0"].rms.value == pytest.approx(1.0)
    assert UpdateMeter(SignDescent([parameter(5)], 0.1, 0.0)).sizes()["0"].steps == 0


def test_closures_are_run_inside_the_step() -> None:
    p = parameter(3, fill=1.0)
    optimizer = AdamWPower([p], lr=0.1, power=2.0, weight_decay=0.0)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (p * torch.tensor([1.0, 2.0, 4.0])).sum()
        loss.backward()
        return loss

    with UpdateMeter(optimizer) as meter:
        optimizer.step(closure)
    size = meter.sizes()["0"]
    assert size.rms.value == pytest.approx(1.0)
    assert size.cosine.value == pytest.approx(7 / math.sqrt(21 * 3))


def test_hooks_end_with_the_meter_and_are_not_copied() -> None:
    optimizer = SGD([parameter(3)], lr=0.1)
    with UpdateMeter(optimizer) as meter:
        take_steps(copy.deepcopy(optimizer), 2, torch.ones_like)
        assert meter.sizes()["0"].steps == 0
        take_steps(optimizer, 2, torch.ones_like)
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    take_steps(optimizer, 2, torch.ones_like)
    assert meter.sizes()["0"].steps == 2


def test_measuring_changes_nothing() -> None:
    trained = []
    for measured in (True, False):
        optimizer = AdamWPower([parameter(50, fill=1.0)], lr=0.1, power=1.2)
        meter = UpdateMeter(optimizer, sample=7)
        if not measured:
            meter.close()
        take_steps(optimizer, 5, noise(0))
        trained.append(optimizer.param_groups[0]["params"][0])
    assert torch.equal(*trained)


def test_groups_by_name_missing_gradients_and_rates_of_zero() -> None:
    used, unused, frozen, extra = parameter(3), parameter(1), parameter(2), parameter(4)
    groups = [
        {"params": [used, unused], "name": "mlp"},
        {"params": [frozen], "name": "frozen"},
        {"params": [extra], "name": "mlp", "lr": 0.2},
    ]
    optimizer = SGD(groups, lr=0.1)
    only = UpdateMeter(optimizer, groups=["frozen"])
    with UpdateMeter(optimizer) as meter:
        for rate in (0.0, 0.1):
            optimizer.param_groups[0]["lr"] = rate
            used.grad, extra.grad = torch.ones_like(used), 2 * torch.ones_like(extra)
            optimizer.step()
    mlp, still = meter.sizes()["mlp"], meter.sizes()["frozen"]
    assert (mlp.steps, mlp.coordinates) == (1, 8)
    assert mlp.rms.value == pytest.approx(math.sqrt((3 + 16) / 8))
    assert (still.steps, list(only.sizes())) == (0, ["frozen"])
    values = (still.rms.value, still.drift, still.cosine.value, mlp.rms.standard_error)
    assert all(math.isnan(value) for value in values)


def test_a_sample_stands_for_its_tensor() -> None:
    large, small = parameter(60000), parameter(10)
    gradients = {
        large: torch.linspace(0, 2, 60000, dtype=torch.float64),
        small: 100 * torch.ones(10).double(),
    }
    optimizer = SGD([large, small], lr=0.1)
    meters = [
        UpdateMeter(optimizer, sample=n, seed=s) for n, s in ((None, 0), (4000, 0), (4000, 0), (4000, 1))
    ]
    take_steps(optimizer, 1, lambda p: gradients[p])
    full, drawn, same, other = (meter.sizes()["0"] for meter in meters)
    assert full.coordinates == 60010
    assert 3500 < drawn.coordinates <= 4010
    assert drawn.rms.value == same.rms.value != other.rms.value
    exact = math.sqrt(sum(float(g.square().sum()) for g in gradients.values()) / 60010)
    assert full.rms.value == pytest.approx(exact)
    assert drawn.rms.value == pytest.approx(exact, rel=0.01)
    assert drawn.mean_absolute.value == pytest.approx(full.mean_absolute.value, rel=0.03)


def test_rates_may_be_tensors_and_gradients_sparse_or_short() -> None:
    short, rows = nn.Parameter(torch.zeros(4, dtype=torch.bfloat16)), nn.Parameter(torch.zeros(3, 2))
    optimizer = SGD(
        [{"params": [short], "name": "short"}, {"params": [rows], "name": "rows"}], torch.tensor(0.5)
    )
    with UpdateMeter(optimizer) as meter:
        short.grad = torch.ones_like(short)
        rows.grad = torch.sparse_coo_tensor([[0, 0]], [[1.0, 1.0], [1.0, 1.0]], (3, 2), check_invariants=True)
        optimizer.step()
    assert meter.sizes()["short"].rms.value == pytest.approx(1.0)
    assert meter.sizes()["rows"].rms.value == pytest.approx(math.sqrt(8 / 6))
    assert meter.sizes()["rows"].cosine.value == pytest.approx(1.0)


def test_a_group_may_be_added_later() -> None:
    optimizer = SGD([{"params": [parameter(3)], "name": "all"}], lr=0.1)
    with UpdateMeter(optimizer, block=1) as meter:
        take_steps(optimizer, 2, torch.ones_like)
        optimizer.add_param_group({"params": [parameter(2)], "name": "new"})
        optimizer.add_param_group({"params": [parameter(2)], "name": "all"})
        take_steps(optimizer, 5, torch.ones_like)
    size = meter.sizes()["all"]
    assert (list(meter.sizes()), size.steps, size.coordinates) == (["all"], 7, 5)
    assert size.drift == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("argument", "value"), [("groups", ["head"]), ("sample", 0), ("block", 0), ("block", 1.5)]
)
def test_what_a_meter_refuses(argument: str, value: object) -> None:
    optimizer = SGD([parameter(3)], lr=0.1)
    with pytest.raises(InputError, match=argument):
        UpdateMeter(optimizer, **{argument: value})
    assert not optimizer._optimizer_step_pre_hooks
    with pytest.raises(InputError, match="complex"):
        UpdateMeter(SGD([nn.Parameter(torch.zeros(2, dtype=torch.complex64))], lr=0.1))


def test_muon_with_adamw_is_measured():
    from gradpower import MuonAdamWPower

    matrix, bias = torch.nn.Parameter(torch.ones(4, 4)), torch.nn.Parameter(torch.ones(4))
    groups = [
        {"params": [matrix], "algorithm": "muon", "name": "muon"},
        {"params": [bias], "algorithm": "adamw", "name": "adamw"},
    ]
    optimizer = MuonAdamWPower(groups, lr=1e-3, power=1.2, weight_decay=0.1)
    with UpdateMeter(optimizer) as meter:
        for _ in range(3):
            matrix.grad, bias.grad = torch.eye(4), torch.ones(4)
            optimizer.step()
    assert meter.sizes()["adamw"].rms.value == pytest.approx(1.0, rel=1e-4)
    assert meter.sizes()["muon"].rms.value == pytest.approx(0.2, rel=0.3)  # 0.2·√4·(0.7 to 1.2)·I, of RMS ½


def test_a_parameter_without_entries_has_no_update() -> None:
    empty, full = parameter(0), parameter(2)
    optimizer = SGD([{"params": [empty, full], "name": "both"}, {"params": [parameter(0, 3)]}], lr=0.1)
    with UpdateMeter(optimizer) as meter:
        take_steps(optimizer, 3, lambda p: 2 * torch.ones_like(p))
    both, none = meter.sizes().values()
    assert (both.steps, both.coordinates, both.rms.value) == (3, 2, pytest.approx(2.0))
    assert (none.steps, none.coordinates) == (0, 0)
    assert math.isnan(none.rms.value)


@pytest.mark.parametrize("base", [SGD, AdamW])
@pytest.mark.parametrize("sample", [None, 3])
def test_steps_that_a_scaler_lets_a_fused_optimizer_skip_are_not_measured(
    base: type[Optimizer], sample: int | None
) -> None:
    """Wherever the infinite entry lies: in a batch, alone in one, in another group, or outside the sample."""
    sizes = []
    for skipped in ((), (0, 1, 5, 9)):
        first, second = (nn.Parameter(torch.ones(10)) for _ in range(2))
        groups = [{"params": [first]}, {"params": [second]}]
        optimizer = base(groups, lr=0.1, fused=True, weight_decay=0.0)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8, growth_interval=1000)
        gradient, step = noise(4, 0.5), 0
        with UpdateMeter(optimizer, sample=sample, block=2) as meter:
            for index in range(16 + len(skipped)):
                scale = scaler.scale(torch.tensor(1.0)).item()
                for p in (first, second):
                    p.grad = scale * (gradient(p) if index not in skipped else torch.ones_like(p))
                if index in skipped:
                    second.grad[9] = math.inf
                else:
                    step += 1
                scaler.step(optimizer)
                scaler.update()
        sizes.append(meter.sizes())
    for whole, partial in zip(sizes[0].values(), sizes[1].values(), strict=True):
        assert whole.steps == partial.steps == step == 16
        for quantity in ("rms", "mean_absolute", "cosine"):
            one, other = getattr(whole, quantity), getattr(partial, quantity)
            assert (other.value, other.standard_error) == pytest.approx(
                (one.value, one.standard_error), rel=1e-4
            )
        assert partial.drift == pytest.approx(whole.drift, rel=0.2)


def test_a_step_with_gradients_that_are_not_finite_is_not_measured() -> None:
    p = parameter(3)
    optimizer = SGD([p], lr=0.1)
    with UpdateMeter(optimizer, block=1) as meter:
        for index in range(12):
            value = {3: math.nan, 4: math.inf, 5: -math.inf}.get(index, 2.0)
            take_steps(optimizer, 1, lambda p, value=value: torch.full_like(p, value))
            if index in (3, 4, 5):
                with torch.no_grad():
                    p.zero_()
    size = meter.sizes()["0"]
    with UpdateMeter(SignDescent([p], 0.1, 0.0)) as signs:  # its updates are finite all the same
        for value in (math.inf, 3.0):
            take_steps(signs.optimizer, 1, lambda p, value=value: torch.full_like(p, value))
    assert (signs.sizes()["0"].steps, signs.sizes()["0"].cosine.value) == (1, pytest.approx(1.0))
    assert size.steps == 9
    assert (size.rms.value, size.drift, size.cosine.value) == pytest.approx((2.0, 2.0, 1.0))


def test_drift_weighs_batches_by_the_steps_that_count() -> None:
    """Against the sum over pairs of steps, of batches that are no neighbours."""
    p, values = parameter(1), [1.0, 5.0, math.nan, 2.0, 3.0, 4.0, math.nan, math.nan, 7.0, -1.0]
    last = 100.0  # in a batch that is not full
    optimizer = SGD([p], lr=1.0)
    with UpdateMeter(optimizer, block=2) as meter:
        for value in (*values, last):
            take_steps(optimizer, 1, lambda p, value=value: torch.full_like(p, value))
            with torch.no_grad():
                p.zero_()
    pairs = [
        a * b
        for i, a in enumerate(values)
        for j, b in enumerate(values)
        if j // 2 >= i // 2 + 2 and math.isfinite(a * b)
    ]
    assert meter.sizes()["0"].drift_squared.value == pytest.approx(np.mean(pairs))

"""The signal-to-noise ratio of each module's gradient, from micro-batches or from Adam's moments.

With g_k = μ + e_k the independent micro-batch gradients of a module: signal S = ‖μ‖², noise N = tr Cov(g_k),
SNR = √(S/N). The estimators are our own: those of MoLS are not known to us (`gradpower.module_scaling`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gradpower.names import match_parameters
from gradpower.shards import refuse_shards
from gradpower.stand_in import Group
from gradpower.tools.errors import InputError, real, require

Modules = Mapping[str, Sequence[Tensor]]
_FEWEST = 4  # samples, below which the spread says nothing about the error


@dataclass(frozen=True)
class ModuleSNR:
    """Signal-to-noise ratio of one module's gradient.

    Attributes
    ----------
    name : str
        The module.
    signal, noise : float
        Unbiased estimates of ‖E g‖², negative where noise hides the signal, and of tr Cov(g) > 0. Both are finite.
    standard_error : float
        Of the squared SNR `signal/noise`: the root of an estimate near 0 has no useful one.
    samples, parameters : int
        Independent pieces behind the error (micro-batches, or blocks of coordinates); coordinates of the module.

    Examples
    --------
    >>> head = ModuleSNR("head", signal=0.04, noise=4.0, standard_error=0.001, samples=32, parameters=1000)
    >>> round(head.snr, 3), head.resolved
    (0.1, True)
    """

    name: str
    signal: float
    noise: float
    standard_error: float
    samples: int
    parameters: int

    def __post_init__(self) -> None:
        real(f"signal of module {self.name}", self.signal)
        real(f"noise of module {self.name}", self.noise, gt=0)
        real(f"standard_error of module {self.name}", self.standard_error, ge=0)

    @property
    def squared(self) -> float:
        """`signal/noise`, not clipped."""
        return self.signal / self.noise

    @property
    def snr(self) -> float:
        """`√max(0, signal/noise)`."""
        return math.sqrt(max(0.0, self.squared))

    @property
    def resolved(self) -> bool:
        """Whether `signal/noise` is more than two standard errors above 0."""
        return self.squared > 2 * self.standard_error

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Confidence interval of the SNR: the root of Student's interval for `signal/noise`, clipped at 0."""
        half = (
            _student_quantile((1 + real("level", level, gt=0, lt=1)) / 2, self.samples - 2)
            * self.standard_error
        )
        return math.sqrt(max(0.0, self.squared - half)), math.sqrt(max(0.0, self.squared + half))


def _student_quantile(probability: float, degrees: int) -> float:
    """Student's quantile by its expansion in 1/degrees, to 0.02 at 5 degrees and 0.25 at 2."""
    z, n = NormalDist().inv_cdf(probability), degrees
    first, second = z**3 + z, 5 * z**5 + 16 * z**3 + 3 * z
    third = 3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z
    return z + first / (4 * n) + second / (96 * n**2) + third / (384 * n**3)


def group_names(optimizer: Optimizer) -> list[str]:
    """Return the name of every parameter group: its "name" key, or else its index."""
    return [str(group.get("name", index)) for index, group in enumerate(optimizer.param_groups)]


def named_groups(optimizer: Optimizer) -> dict[str, list[Group]]:
    """Return the parameter groups of every name."""
    groups: dict[str, list[Group]] = {}
    for name, group in zip(group_names(optimizer), optimizer.param_groups, strict=True):
        groups.setdefault(name, []).append(group)
    return groups


def unwrapped(optimizer: Optimizer) -> Optimizer:
    """Return the optimizer inside the wrappers of trainers, which pose as optimizers but have no step hooks."""
    inner: Any = optimizer
    while "_optimizer_step_post_hooks" not in getattr(inner, "__dict__", ()) and hasattr(inner, "optimizer"):
        inner = inner.optimizer
    return cast(Optimizer, inner)


def modules_of(optimizer: Optimizer) -> dict[str, list[Tensor]]:
    """Return the parameters of an optimizer by the name of their group (`group_names`), as `SNRMeter` wants them.

    Examples
    --------
    >>> weight, bias = torch.nn.Linear(2, 2).parameters()
    >>> modules = modules_of(torch.optim.SGD([{"params": [weight], "name": "mlp"}, {"params": [bias]}], lr=1.0))
    >>> {name: len(parameters) for name, parameters in modules.items()}
    {'mlp': 1, '1': 1}
    """
    named = named_groups(optimizer)
    return {name: [p for group in groups for p in group["params"]] for name, groups in named.items()}


def modules_by_pattern(model: nn.Module, patterns: Mapping[str, str]) -> dict[str, list[Tensor]]:
    """Sort the trainable parameters of a model into modules, each into the first whose pattern is found in its name.

    Every pattern must get a parameter, and every parameter a pattern.

    Examples
    --------
    >>> net = nn.Sequential(nn.Embedding(5, 2), nn.Linear(2, 2))
    >>> modules = modules_by_pattern(net, {"embedding": "^0", "head": "."})
    >>> {name: len(params) for name, params in modules.items()}
    {'embedding': 1, 'head': 2}
    """
    owned, others = match_parameters(model, {f"pattern of module {n!r}": p for n, p in patterns.items()})
    if others:
        raise InputError("patterns", f"none for {', '.join(others)}", "one for every parameter")
    return {name: list(parameters) for name, parameters in zip(patterns, owned, strict=True)}


class Rows:
    """Rows of numbers that go to the host 256 at a time, as every reading waits for the device."""

    def __init__(self, width: int) -> None:
        self._recent: list[Tensor] = []
        self._moved = torch.zeros(0, width, dtype=torch.float64, device="cpu")

    def append(self, row: Tensor) -> None:
        """Add a row."""
        self._recent.append(row)
        if len(self._recent) == 256:
            self.table()

    def table(self) -> Tensor:
        """Return all rows, on the host."""
        if self._recent:
            self._moved = torch.cat([self._moved, torch.stack(self._recent).cpu()])
            self._recent = []
        return self._moved


class SNRMeter:
    """The SNR of each module, from micro-batch gradients as they come.

    Call `update` after each backward pass of equally large, independent micro-batches at fixed parameters.

    Parameters
    ----------
    modules : mapping of str to parameters
        One or more of each module, real and no DTensors; see `modules_of` and `modules_by_pattern`.
    accumulate : bool
        False: gradients are zeroed before each micro-batch, so that `.grad` is its gradient. True: `.grad` adds up, and
        the meter takes differences.

    Notes
    -----
    With ḡ_j the mean of the first j of K gradients, each new one gives two numbers:

        z_k = ‖g_k − ḡ_{k−1}‖²·(k−1)/k,  E z_k = N;        h_k = ⟨ḡ_{k−1}, g_k⟩,  E h_k = S.

    The mean of the z_k is the sample variance `N̂ = Σ‖g_k − ḡ‖²/(K−1)`, and `Ŝ = ‖ḡ‖² − N̂/K`: both are unbiased.

    The error of Ŝ/N̂ = ‖ḡ‖²/N̂ − 1/K is that of first order. `Var(‖ḡ‖²) = 4a/K + 2b/K²`, a = μᵀΣμ, b = tr Σ², for
    Gaussian noise; Var(N̂) comes from the spread of the z_k, which are uncorrelated then. As E (h_k − S)² =
    a + (a+b)/(k−1), the h_k give a, b >= 0 by Gaussian maximum likelihood. μᵀe and ‖e‖² are taken as uncorrelated:
    where noisier micro-batches have more signal, too (gradients that differ by a factor), the error bar is too wide,
    up to threefold.

    Memory: one copy of the parameters (float32 at least), two with `accumulate`, and in `update` two temporaries of the
    largest parameter, three with `accumulate`.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.zeros(100))
    >>> generator, meter = torch.Generator().manual_seed(0), SNRMeter({"layer": [weight]})
    >>> for _ in range(32):
    ...     weight.grad = 0.5 + torch.randn(100, generator=generator)
    ...     meter.update()
    >>> low, high = meter.snrs()["layer"].interval()
    >>> low < 0.5 < high < 0.6
    True
    """

    def __init__(self, modules: Modules, *, accumulate: bool = False) -> None:
        if not isinstance(modules, Mapping) or any(isinstance(part, Tensor) for part in modules.values()):
            raise InputError("modules", type(modules).__name__, "a mapping of names to lists of parameters")
        self.modules = {name: list(parameters) for name, parameters in modules.items()}
        self.accumulate = accumulate
        self.updates = 0
        for name, parameters in self.modules.items():
            if not parameters or any(p.is_complex() for p in parameters):
                raise InputError("modules", name, "modules of one or more real parameters")
            refuse_shards(f"modules[{name!r}]", parameters)
        self._rows = {name: Rows(2) for name in self.modules}  # h_k and z_k, k = 2, …, K
        self._means = {n: [torch.zeros_like(_wide(p)) for p in module] for n, module in self.modules.items()}
        self._totals = {n: [m.clone() for m in means if accumulate] for n, means in self._means.items()}

    @torch.no_grad()
    def update(self, *, zeroed: bool = False) -> None:
        """Take in the gradient of one more micro-batch; a missing `.grad` counts as zero.

        With `accumulate`, say whether gradients were `zeroed` since the last call, as after a step of the optimizer.
        """
        self.updates += 1
        k = self.updates
        for name, parameters in self.modules.items():
            sums = torch.zeros(2, dtype=torch.float64, device=parameters[0].device)
            for index, (p, mean) in enumerate(zip(parameters, self._means[name], strict=True)):
                gradient = self._gradient(name, index, p, zeroed)
                product = (mean * gradient).sum(dtype=torch.float64)
                innovation = gradient.sub_(mean)
                deviation = innovation.square().sum(dtype=torch.float64) * ((k - 1) / k)
                sums += torch.stack([product, deviation]).to(sums.device)
                mean.add_(innovation, alpha=1 / k)
            if k > 1:
                self._rows[name].append(sums)

    def _gradient(self, name: str, index: int, p: Tensor, zeroed: bool) -> Tensor:
        """Return the micro-batch gradient of one parameter, in memory that may be written to."""
        gradient = torch.zeros_like(self._means[name][index])
        if p.grad is not None:
            gradient += p.grad.to_dense()
        if not self.accumulate:
            return gradient
        before, self._totals[name][index] = self._totals[name][index], gradient
        return gradient.clone() if zeroed else gradient - before

    def snrs(self) -> dict[str, ModuleSNR]:
        """Return the SNR of each module so far.

        Raises
        ------
        ValueError
            After fewer than 4 micro-batches, or if the gradients of a module do not vary or are not finite.
        """
        require(self.updates >= _FEWEST, "updates", self.updates, f"at least {_FEWEST} micro-batches")
        return {name: self._snr(name) for name in self.modules}

    def _snr(self, name: str) -> ModuleSNR:
        k = self.updates
        products, deviations = self._rows[name].table().T
        squared_mean = sum(float(mean.square().sum(dtype=torch.float64)) for mean in self._means[name])
        noise = float(deviations.mean())
        real(f"noise of module {name}", noise, "gradients that are finite and vary", gt=0)
        signal = squared_mean - noise / k
        a, b = _signal_variances(products - signal)
        ratio = squared_mean / noise
        variance = 4 * a / k + 2 * b / k**2 + ratio**2 * float(deviations.var()) / (k - 1)
        parameters = sum(p.numel() for p in self.modules[name])
        return ModuleSNR(name, signal, noise, math.sqrt(variance) / noise, k, parameters)


def _signal_variances(residuals: Tensor) -> tuple[float, float]:
    """Fit a, b >= 0 to residuals h_k − S of variance a + (a+b)/(k−1), k = 2, …, K."""
    past = torch.arange(1, len(residuals) + 1, dtype=torch.float64, device=residuals.device)
    grid = [0.0, *(10 ** (k / 10) for k in range(-40, 41))]
    shares = past.new_tensor(grid) / len(past)  # a/b
    shapes = shares[:, None] * (1 + 1 / past) + 1 / past
    b = (residuals.square() / shapes).mean(1)
    misfit = len(past) * b.log() + shapes.log().sum(1)
    best = int(misfit.argmin())
    return float(shares[best] * b[best]), float(b[best])


def snr_from_adam(optimizer: Optimizer, *, blocks: int = 32) -> dict[str, ModuleSNR]:
    """The SNR of each group's gradient, from the moments that Adam keeps.

    For i.i.d. gradients of mean μ_i and variance σ_i² in coordinate i, after t steps the bias-corrected moments have

        E v̂ = μ² + σ²,   E m̂² = μ² + κσ²,   κ = Σ_k w_k² = (1−β1)(1+β1^t)/((1+β1)(1−β1^t)),   w_k = (1−β1)β1^k/(1−β1^t),

    so that signal = Σ_i (m̂² − κv̂)/(1−κ) and noise = Σ_i (v̂ − m̂²)/(1−κ) are unbiased. The noise is that of a whole
    step's gradient, a micro-batch's divided by their number. Of a powered optimizer the moments, and so this SNR, are
    those of φ_p(g). Gradients that drift within Adam's memory count as noise.

    Parameters
    ----------
    optimizer : Optimizer
        Adam, AdamW, or one that keeps "exp_avg", "exp_avg_sq" and "step" as they do, powered, wrapped or not. Groups
        of one name (`group_names`) are one module.
    blocks : int
        Each module is cut into about so many runs of neighbouring coordinates, whose spread gives the standard error.
        It takes them as independent: noise that all coordinates of a module have in common is not covered.

    Raises
    ------
    ValueError
        If a parameter has no such moments or fewer than 2 steps, a module has fewer than 4 coordinates, or its
        moments show no noise (E m̂² > E v̂, under strong drift).

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.zeros(4000))
    >>> generator, optimizer = torch.Generator().manual_seed(0), torch.optim.AdamW([weight])
    >>> for _ in range(50):
    ...     weight.grad = 0.5 + torch.randn(4000, generator=generator)
    ...     optimizer.step()
    >>> round(snr_from_adam(optimizer)["0"].snr, 1)
    0.5
    """
    require(blocks >= _FEWEST, "blocks", blocks, f"an integer >= {_FEWEST}")
    named = named_groups(optimizer)
    return {name: _snr_of_moments(optimizer, name, groups, blocks) for name, groups in named.items()}


def _snr_of_moments(optimizer: Optimizer, name: str, groups: list[Group], blocks: int) -> ModuleSNR:
    refuse_shards(f"parameters of group {name}", (p for group in groups for p in group["params"]))
    count = sum(p.numel() for group in groups for p in group["params"])
    require(count >= _FEWEST, f"parameters of group {name}", count, f"{_FEWEST} coordinates or more")
    length = max(1, count // blocks)
    sums = [
        torch.stack([block.sum(dtype=torch.float64) for block in torch.split(part, length)]).cpu()
        for group in groups
        for p in group["params"]
        for part in _from_moments(optimizer.state.get(p, {}), group, name)
    ]
    signals, noises = torch.cat(sums[::2]), torch.cat(sums[1::2])
    signal, noise = float(signals.sum()), float(noises.sum())
    real(f"noise of group {name}", noise, "moments that show noise > 0", gt=0)
    residuals = signals - signal / noise * noises
    n = len(residuals)
    error = math.sqrt(n / (n - 1) * float(residuals.square().sum())) / noise
    return ModuleSNR(name, signal, noise, error, n, count)


def _from_moments(state: dict[str, Any], group: Group, name: str) -> tuple[Tensor, Tensor]:
    """Return the signal and the noise of every coordinate of a parameter."""
    missing = [key for key in ("exp_avg", "exp_avg_sq", "step") if key not in state]
    steps = 0 if missing else int(state["step"])
    if missing or steps < 2:
        shown, allowed = (
            f"no {missing[0]}" if missing else f"step {steps}",
            "Adam's moments after 2 or more steps",
        )
        raise InputError(f"state of a parameter of group {name}", shown, allowed)
    beta1, beta2 = (float(beta) for beta in group["betas"])
    if beta1 == 0:
        allowed = "a number > 0: without memory there is one gradient, and no spread"
        raise InputError(f"beta1 of group {name}", beta1, allowed)
    kappa = (1 - beta1) * (1 + beta1**steps) / ((1 + beta1) * (1 - beta1**steps))
    first, second = (_wide(state[key]).flatten() for key in ("exp_avg", "exp_avg_sq"))
    first_squared = (first / (1 - beta1**steps)).square()
    second = second / (1 - beta2**steps)
    return (first_squared - kappa * second) / (1 - kappa), (second - first_squared) / (1 - kappa)


def _wide(tensor: Tensor) -> Tensor:
    return tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32))

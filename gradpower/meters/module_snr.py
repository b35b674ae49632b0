"""The signal-to-noise ratio of each module's gradient, from micro-batches.

With g_k = μ + e_k the independent micro-batch gradients of a module: signal S = ‖μ‖², noise N = tr Cov(g_k),
SNR = √(S/N). The estimators are our own: those of MoLS are not known to us (`gradpower.learning_rates.module_scaling`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from gradpower.optimizers.shards import refuse_shards
from gradpower.tools.errors import InputError, real, require

Modules = Mapping[str, Sequence[Tensor]]
FEWEST = 4  # samples, below which the spread says nothing about the error


@dataclass(frozen=True)
class ModuleSNR:
    """Signal-to-noise ratio of one module's gradient.

    `signal` and `noise` are unbiased estimates of ‖E g‖², negative where noise hides the signal, and of tr Cov(g) > 0.
    The `standard_error` is that of the squared SNR `signal/noise`: the root of an estimate near 0 has no useful one. It
    comes from so many independent `samples` (micro-batches, or blocks of coordinates). `parameters` are coordinates.

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
        quantile = _student_quantile((1 + real("level", level, gt=0, lt=1)) / 2, self.samples - 2)
        half = quantile * self.standard_error
        return math.sqrt(max(0.0, self.squared - half)), math.sqrt(max(0.0, self.squared + half))


def _student_quantile(probability: float, degrees: int) -> float:
    """Student's quantile by its expansion in 1/degrees, to 0.02 at 5 degrees and 0.25 at 2."""
    z, n = NormalDist().inv_cdf(probability), degrees
    first, second = z**3 + z, 5 * z**5 + 16 * z**3 + 3 * z
    third = 3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z
    return z + first / (4 * n) + second / (96 * n**2) + third / (384 * n**3)


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
        self._means = {n: [torch.zeros_like(wide(p)) for p in module] for n, module in self.modules.items()}
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
        """Return the SNR of each module so far: of 4 micro-batches or more, whose gradients are finite and vary."""
        require(self.updates >= FEWEST, "updates", self.updates, f"at least {FEWEST} micro-batches")
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


def wide(tensor: Tensor) -> Tensor:
    """Return a tensor without its graph, in float32 at least."""
    return tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32))

# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Bounds against what happens
#
# Section 4.2 of [the paper](https://arxiv.org/abs/2505.24275) proves how fast Adagrad converges on powered gradients.
# A bound is a promise: the average gradient is at most this large. It need not say what happens. Here we simulate
# Adagrad on small problems whose constants are known exactly, and hold the bounds against the averages.
#
# Three theorems are met: 4.5 (Adagrad itself), 4.8 (low noise, $p < 1$) and 4.11 (high noise, $p > 1$). No
# PyTorch; half a minute.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

from simulate import build_descent, simulate_adagrad
from simulate.adagrad.bounds import arm_bound
from simulate.adagrad.exponent import fitted_exponent
from simulate.problems import parse_problem
from theory import parse_law
from theory.adagrad.assumptions import contraction, largest_noise_to_signal, low_noise_alignment
from theory.adagrad.bounds import BoundConstants, adagrad_bound, enlarged_gradient_bound

SMALL = "GRADPOWER_SMALL" in os.environ  # set by the tests: fewer steps and runs
steps, seeds = (1000, 4) if SMALL else (100_000, 32)

# %% [markdown]
# ## Theorem 4.5, term by term
#
# Adagrad with gradients $g$ moves by $\eta\,g/\sqrt{v+\varepsilon}$, where $v$ is the sum of all $g^2$ so far. Let
# $F_0 - F^*$ be the initial gap, $L$ the smoothness, $R$ a bound on $|g|$, and $d$ the dimension. Then
#
# $$\frac1T\sum_{t<T}\mathbb{E}\|\nabla F(\theta_t)\|^2 \le
#   \frac{1}{\sqrt T}\left[\frac{2R(F_0-F^*)}{\eta}
#   + \left(4dR^2 + \eta dRL\right)\ln\left(1+\frac{TR^2}{\varepsilon}\right)\right].$$
#
# Our first problem is the Geman–McClure function, $F(\theta) = \theta^2/(1+\theta^2)$ up to its scale: one dimension,
# not convex, bounded gradients. The noise is uniform and as large as half the largest gradient.

# %%
problem, epsilon, rate = parse_problem("geman-mcclure"), 1e-8, 0.5
largest_signal = float(problem.largest_gradient[0])
largest = largest_signal + 0.5 * largest_signal  # of the gradient and of the noise
constants = BoundConstants(
    gap=problem.start_value - problem.minimum,
    learning_rate=rate,
    smoothness=problem.smoothness,
    gradient_bound=enlarged_gradient_bound(largest, 1.0, epsilon),
    epsilon=epsilon,
    dimension=problem.dimension,
)
descent = build_descent(problem, 1.0, rate, 0.5, "uniform", epsilon=epsilon, steps=steps, seeds=seeds)
runs = simulate_adagrad(descent)
mean, error = (curve[0, 0, 0] for curve in runs.over_seeds(runs.mean_square))
bound = adagrad_bound(runs.steps, constants)
slack = bound.total / mean
print(f"T = {runs.steps[-1]}: measured {mean[-1]:.2e} ± {error[-1]:.0e}, bound {bound.total[-1]:.2e}")
print(f"terms of the bound: {bound.start[-1]:.2e} + {bound.variance[-1]:.2e} + {bound.curvature[-1]:.2e}")
print(f"bound over measured: between {slack.min():.0f} and {slack.max():.0f}")

# %% [markdown]
# The bound holds, as a theorem must. It is far above the average: it must serve the worst problem with these constants,
# and this one is kinder. Its largest term is the middle one. It stands for the noise and carries the
# logarithm, and it would be there without any noise at all.
#
# ## Theorem 4.8: low noise and $p < 1$
#
# Assumption 4.6 asks that the powered gradient point along the gradient: $\nabla_iF\cdot\mathbb{E}\,\varphi_p(g_i) \ge
# c\,|\nabla_iF|^{p+1}$. It holds for noise in proportion to the gradient, $g = \nabla F\,(1 + r\xi)$. Then the theorem
# bounds the average of $\|\nabla F\|_{p+1}^{p+1}$. Here is the best constant $c$ for uniform noise with $r = 0.3$, and
# the largest $r$ that allows the paper's $c = 0.99$.

# %%
uniform, low_powers = parse_law("uniform"), (0.25, 0.5, 0.75, 1.0)
alignments = low_noise_alignment(low_powers, 0.3, uniform)
for power, c in zip(low_powers, alignments, strict=True):
    reach = largest_noise_to_signal(power, 0.99, uniform) if power < 1 else np.inf
    print(f"p = {power:g}: c = {c:.4f} at r = 0.3; c = 0.99 up to r = {reach:.3f}")

# %% [markdown]
# `arm_bound` finds the theorem that speaks of a setting and fills in its constants; we did this by hand above. The next
# cell simulates four powers at once.
#
# Averages of $\|\nabla F\|_{p+1}^{p+1}$ with different $p$ are different quantities. As in the paper, we raise each to
# $2/(p+1)$: then all have the dimension of a squared gradient, and the bound falls like $T^{-1/(p+1)}$ but for its
# logarithm. That is faster the smaller $p$ is. `fitted_exponent` fits the decay $T^{-a}$ of the averages over the last
# two decades.


# %%
def compared(descent, comparable=lambda power: 1.0):
    """Simulate; return T and, by power, theorem, average, error, bound and decay, all to the power `comparable`."""
    runs, found = simulate_adagrad(descent), {}
    for place, arm in descent.arms.items():
        theorem = arm_bound(descent, arm)
        average, exponent = getattr(runs, theorem.average)[place], comparable(arm.power)
        decay, half_width = fitted_exponent(runs.steps, average**exponent)
        mean, error = runs.over_seeds(average)
        curves = mean**exponent, exponent * mean ** (exponent - 1) * error, theorem.bound.total**exponent
        found[arm.power] = (theorem.theorem, *curves, float(decay), float(half_width))
    return runs.steps, found


def draw(axis, steps, found, label):
    """Draw averages as marks and bounds as lines, one colour a power."""
    for index, (power, (theorem, mean, error, bound, *_)) in enumerate(found.items()):
        colour = f"C{index}"
        axis.errorbar(
            steps, mean, 2 * error, fmt=".", color=colour, label=f"p = {power:g} (Theorem {theorem})"
        )
        axis.plot(steps, bound, color=colour)
    axis.set(xscale="log", yscale="log", xlabel="steps T", ylabel=label)
    axis.grid(alpha=0.25)
    axis.legend(fontsize=8)


low = build_descent(
    problem, low_powers, 1.0, 0.3, "uniform", noise="multiplicative", steps=steps, seeds=seeds
)
low_steps, low_found = compared(low, comparable=lambda power: 2 / (power + 1))
figure, axis = plt.subplots(figsize=(5.5, 4), layout="constrained")
draw(axis, low_steps, low_found, "(average of $\\|\\nabla F\\|_{p+1}^{p+1})^{2/(p+1)}$")
for power, (*_, decay, half_width) in low_found.items():
    promised = f"the bound falls like T^-{1 / (power + 1):.3f}"
    print(f"p = {power:g}: {promised}, the average like T^-({decay:.3f} ± {half_width:.3f})")
plt.show()

# %% [markdown]
# Marks are averages over independent runs with two standard errors, lines are the bounds. The lines have different
# slopes, and the marks nearly the same one, near $T^{-1}$.
#
# So all powers converge faster than their theorems say, plain Adagrad with them. Noise in proportion to the gradient
# fades near the minimum, and the theorems make no use of that. That $p < 1$ is faster in the exponent is true of the
# bounds. Here it is not what happens.
#
# ## Theorem 4.11: high noise and $p > 1$
#
# Now noise of fixed size, ten times the largest gradient, on a convex function with bounded slope. Example 4.10 has
# binary noise, $g = \nabla F \pm \sigma$. Assumption 4.9 gives the theorem a factor $\rho = R^{p-1}/s$ that multiplies
# Adagrad's $R$. Below 1 it promises a gain. For binary noise $\rho$ is not far above $1/p$.

# %%
high_powers, ratio = (1.0, 1.2, 2.0, 3.0), 10.0
for law in ("binary", "uniform"):
    rho = contraction(high_powers, 1 + 1 / ratio, parse_law(law))
    print(f"{law:8} " + ", ".join(f"p = {p:g}: ρ = {r:.3f}" for p, r in zip(high_powers, rho, strict=True)))

# %% [markdown]
# Under uniform noise the same theorem promises no gain: there $\rho \ge 1$ for every power. Do the runs agree? We
# simulate both laws at one learning rate, near the best for these powers.

# %%
results = {
    law: compared(build_descent("pseudo-huber", high_powers, 5.0, ratio, law, steps=steps, seeds=seeds))
    for law in ("binary", "uniform")
}
figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for axis, (law, (high_steps, found)) in zip(axes, results.items(), strict=True):
    draw(axis, high_steps, found, "average of $\\|\\nabla F\\|^2$" if law == "binary" else "")
    axis.set_title(f"{law} noise, σ = {ratio:g} max|F'|")
plt.show()

gains = {}
for law, (_, found) in results.items():
    plain = found[1.0]
    for power in high_powers[1:]:
        _, mean, error, bound, *_ = found[power]
        gains[law, power] = mean[-1] / plain[1][-1], bound[-1] / plain[3][-1]
        print(
            f"{law:8} p = {power:g}: measured {gains[law, power][0]:.3f} of Adagrad's, "
            f"bound {gains[law, power][1]:.3f} of Adagrad's"
        )

# %% [markdown]
# Marks are averages, lines are the bounds. The average cannot exceed 1, the largest squared slope. After all these
# steps the bounds are still above 1, so that by themselves they say nothing yet.
#
# The printed ratios are the comparison that matters: $p$ against Adagrad, measured and promised. Under binary noise
# both are below 1: the gain that the theorem promises is there. Under uniform noise the bounds say that $p > 1$ loses.
# The runs gain all the same, by less than under binary noise. A worse bound is no worse method.
#
# What does predict the gain? Near the minimum, under strong noise, the mean of the powered gradient per root of its
# mean square, relative to $p = 1$. For small signals that is a ratio of two moments of the noise, $Q(p) =
# p\,\mathbb{E}|\xi|^{p-1}/\sqrt{\mathbb{E}|\xi|^{2p}}$.

# %%
from simulate.questions.gains import quality_ratio

for (law, power), (measured, promised) in gains.items():
    predicted = float(quality_ratio(power, parse_law(law)))
    print(
        f"{law:8} p = {power:g}: Q(1)/Q(p) = {predicted:.3f}, measured {measured:.3f}, bounds {promised:.3f}"
    )

# %% [markdown]
# $Q(1)/Q(p)$ is the ratio at tuned rates in the limit of strong noise. At this one rate and finite $T$ it need not be
# met exactly.
#
# ## What next
#
# - `gradpower theory bound --theorem 4.8 --power 0.5` prints a bound term by term.
# - `gradpower simulate adagrad` is this simulation as a command; it says whether an average exceeds its bound.
# - `make convergence` answers six questions about these theorems, with tuned rates and error bars.

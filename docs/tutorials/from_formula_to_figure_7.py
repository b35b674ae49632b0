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
# # From the formula to Figure 7
#
# GradPower puts one line before an optimizer: every gradient entry $g$ becomes
# $\varphi_p(g) = \mathrm{sign}(g)\,|g|^p$. The optimizer itself stays as it is. This tutorial follows Section 4.1 of
# [the paper](https://arxiv.org/abs/2505.24275): what does the power do to Adam when the gradient is noisy? It ends
# with the paper's Figure 7, and with the same figure for other laws of the noise.
#
# It needs no PyTorch and takes about a minute.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

from simulate import simulate_adam
from theory import exact_update, limit_update, optimal_power, parse_law

SMALL = "GRADPOWER_SMALL" in os.environ  # set by the tests: fewer trials and points

# %% [markdown]
# ## What the power does to one number
#
# The picture shows $\varphi_p(g)$ against $g$. All curves meet at 0 and at ±1. Between them $p > 1$ makes entries
# smaller, the small ones most, and $p < 1$ makes them larger. As $p \to 0$ only the sign is left.

# %%
gradients = np.linspace(-1.5, 1.5, 301)
figure, axis = plt.subplots(figsize=(4.5, 3.2), layout="constrained")
for power in (0.2, 0.5, 1.0, 1.2, 2.0):
    axis.plot(gradients, np.sign(gradients) * np.abs(gradients) ** power, label=f"p = {power:g}")
axis.set(xlabel="gradient g", ylabel="$\\varphi_p(g)$")
axis.grid(alpha=0.25)
axis.legend()
plt.show()
# %% [markdown]
# ## The example
#
# Example 4.1 has one coordinate, $g_t = \mu + \sigma\xi_t$. Here $\mu$ is the signal. The noise $\xi_t$ is independent
# over steps, and uniform on $[-1, 1]$. Adam averages $m \approx \mathbb{E}\,\varphi_p(g)$ and
# $v \approx \mathbb{E}\,\varphi_p(g)^2$, and moves by $u = m/(\sqrt v + \varepsilon)$. Very long averages give the
# limit that the paper studies,
#
# $$u_\infty(p) = \frac{\mathbb{E}\,\varphi_p(g)}{\sqrt{\mathbb{E}\,\varphi_p(g)^2} + \varepsilon}.$$
#
# We take $\mu = 10^{-6}$ and noise ten times as strong.

# %%
mean, ratio = 1e-6, 10.0
uniform = parse_law("uniform")
for power in (0.5, 1.0, 1.2, 2.0):
    print(f"p = {power:g}: limit u = {limit_update(power, mean, ratio * mean, uniform):.5f}")

# %% [markdown]
# Of these four, the limit is largest at $p = 1.2$.
#
# Adam as it is used has $\beta_1 = 0.9$ and $\beta_2 = 0.95$. Its averages are short, and noisy themselves. Its mean
# update can still be computed without a simulation: $1/(\sqrt v + \varepsilon)$ is a mixture of exponentials
# $e^{-sv}$, and the mean of a product of independent exponentials is a product of means. A simulation should agree
# within its standard error.

# %%
powers = np.array([0.8, 1.0, 1.2, 1.4])
exact = exact_update(powers, mean, ratio * mean, uniform).drift
trials = simulate_adam(powers, mean, ratio * mean, uniform, trials=1024 if SMALL else 8192, seed=0)
distances = (trials.drift - exact) / trials.standard_error
for row in zip(powers, exact, trials.drift, trials.standard_error, distances, strict=True):
    print("p = {:g}: exact {:.5f}, simulated {:.5f} ± {:.5f}, {:+.1f} standard errors apart".format(*row))

# %% [markdown]
# ## Figure 7
#
# Now all powers, at seven ratios $\sigma/\mu$. Solid lines are the exact mean update, points are the simulation, and
# dashed lines the limit. Filled stars mark the best power of each curve. On the right, each curve is divided by its
# maximum.
#
# With little noise the best power is $p \to 0$. Where the noise dominates it lies between 1 and 2, and rises with the
# noise.

# %%
from figures.adam import figure7
from figures.adam.example import Setting

trials_each = 256 if SMALL else 2048
ratios = (1.0, 10.0) if SMALL else (0.0, 0.1, 1.0, 2.0, 10.0, 50.0, 100.0)
setting = Setting(noise_to_signal=ratios, trials=trials_each)
curves = figure7.compute(setting, powers=np.linspace(0.05, 3.0, 20 if SMALL else 120))
figure7.draw(curves)

# %% [markdown]
# Proposition 4.3 explains the stars on the right. For $\sigma \gg \mu$ the update is close to
# $(\mu/\sigma)\, f(p)$ with
#
# $$f(p) = \frac{\sigma^p}{\sigma^p/\sqrt{2p+1} + \varepsilon}.$$
#
# Two things compete. The factor $\sqrt{2p+1}$ grows with $p$. But once $\sigma^p$ sinks to $\varepsilon$, the update
# dies. The best power balances them. Here it is by the proposition, in the limit, and at Adam's usual $\beta$:

# %%
found = {
    r: {m: optimal_power(mean, r * mean, uniform, method=m).power for m in ("proposition", "limit", "exact")}
    for r in (10.0, 50.0, 100.0)
}
for r, best in found.items():
    print(f"σ/μ = {r:g}: " + ", ".join(f"{method} {power:.4f}" for method, power in best.items()))

# %% [markdown]
# ## The law of the noise decides
#
# Where does $\sqrt{2p+1}$ come from? From the shape of the noise. For small signals and $\varepsilon \to 0$, the limit
# is $(\mu/\sigma)\,\mathbb{E}[\varphi'(\xi)]/\sqrt{\mathbb{E}[\varphi(\xi)^2]}$. Integrate by parts and apply the
# Cauchy–Schwarz inequality: the best function $\varphi$ is the **score** of the noise, $-f'/f$ for a density $f$.
#
# For $f \propto e^{-|x|^b}$ the score is a sign-power itself, with $p^* = b - 1$. That is 1 for the Gaussian ($b = 2$)
# and 0 for Laplace ($b = 1$). This part goes beyond the paper.

# %%
best_by_shape = {}
for shape in (1.0, 1.5, 2.0, 3.0):
    law = parse_law(f"generalized-normal:{shape:g}")
    best = optimal_power(mean, 1000 * mean, law, epsilon=0.0, method="limit", interval=(0.0, 4.0))
    best_by_shape[shape] = best.power
    print(f"b = {shape:g}: best power {best.power:.4f}, predicted {shape - 1:g}")

# %% [markdown]
# So the best power of Figure 7 belongs to its uniform noise, whose tails end abruptly. The next figure is Figure 7
# again, at three ratios, for Gaussian and for Laplace noise. All stars lie below 1.

# %%
laws = ("gaussian",) if SMALL else ("gaussian", "laplace")
other_ratios = (10.0,) if SMALL else (1.0, 10.0, 100.0)
other_laws = Setting(law=laws, noise_to_signal=other_ratios, trials=trials_each)
other_curves = figure7.compute(other_laws, powers=np.linspace(0.05, 3.0, 20) if SMALL else None)
figure7.draw(other_curves)

# %% [markdown]
# ## What next
#
# - `gradpower explore` opens a page with sliders. How strong must uniform noise be before the best power exceeds 1?
#   Does it ever under Gaussian noise?
# - `gradpower theory check` verifies every claim of Section 4: symbolically, numerically and in ball arithmetic.
# - `gradpower figure drift-to-rms` asks whether the best power improves the direction of the update, or only its size.
# - *Which noise wants which power* continues with noise of your own, and with a better criterion than the mean update.
#   Its last section is on skewed noise. In a network that we trained, this explains more than the noise of Figure 7.

# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
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
# $\varphi_p(g) = \mathrm{sign}(g)\,|g|^p$. Powers $p > 1$ make small entries smaller still, $p < 1$ lifts them, $p = 1$
# changes nothing and $p \to 0$ leaves the sign. This tour follows Section 4.1 of the paper: what does that do to Adam
# when the gradient is noisy?

# %%
import matplotlib.pyplot as plt
import numpy as np

from simulate import simulate_adam
from theory import exact_update, limit_update, optimal_power, parse_law

gradients = np.linspace(-1.5, 1.5, 301)
for power in (0.5, 1.0, 1.2, 2.0):
    plt.plot(gradients, np.sign(gradients) * np.abs(gradients) ** power, label=f"p = {power:g}")
plt.xlabel("gradient g")
plt.ylabel("$\\varphi_p(g)$")
plt.legend()
plt.show()

# %% [markdown]
# ## The example
#
# One coordinate, $g_t = \mu + \sigma\xi_t$ with independent noise $\xi_t$, uniform on $[-1, 1]$ (Example 4.1). Adam
# averages $m \approx \mathbb{E}\,\varphi_p(g)$ and $v \approx \mathbb{E}\,\varphi_p(g)^2$ and moves by
# $u = m/(\sqrt v + \varepsilon)$. Very long averages give the paper's limit
# $u_\infty(p) = \mathbb{E}\varphi_p / (\sqrt{\mathbb{E}\varphi_p^2} + \varepsilon)$.

# %%
mean, ratio = 1e-6, 10.0
uniform = parse_law("uniform")
for power in (0.5, 1.0, 1.2, 2.0):
    print(f"p = {power:g}: limit u = {limit_update(power, mean, ratio * mean, uniform):.5f}")

# %% [markdown]
# The real Adam has $\beta_1 = 0.9$, $\beta_2 = 0.95$: its averages are short and noisy. The expected update can still
# be computed without simulation, because $1/(\sqrt v + \varepsilon)$ is a mixture of exponentials $e^{-sv}$, and the
# expectation of a product of independent exponentials is a product. A simulation should agree within its error.

# %%
powers = np.array([0.8, 1.0, 1.2, 1.4])
exact = exact_update(powers, mean, ratio * mean, uniform).drift
trials = simulate_adam(powers, mean, ratio * mean, uniform, trials=8192, seed=0)
for power, by_theory, simulated, error in zip(
    powers, exact, trials.drift, trials.standard_error, strict=True
):
    print(f"p = {power:g}: exact {by_theory:.5f}, simulated {simulated:.5f} ± {error:.5f}")

# %% [markdown]
# ## Figure 7
#
# Now all powers, for several ratios of noise to signal. Stars mark the best power of each curve. With little noise the
# best is $p \to 0$; when the noise dominates it is above 1.

# %%
from figures.adam import figure7
from figures.adam.example import Setting

curves = figure7.compute(Setting(trials=2048), powers=np.linspace(0.05, 3.0, 60))
figure7.draw(curves)

# %% [markdown]
# Proposition 4.3 explains the stars on the right. When $\sigma \gg \mu$ the update is close to
# $(\mu/\sigma)\, f(p)$ with $f(p) = \sigma^p / (\sigma^p/\sqrt{2p+1} + \varepsilon)$. The factor $\sqrt{2p+1}$ grows
# with $p$; but once $\sigma^p$ sinks to $\varepsilon$, the update dies. The best power balances the two.

# %%
for r in (10.0, 50.0, 100.0):
    found = {
        m: optimal_power(mean, r * mean, uniform, method=m).power for m in ("proposition", "limit", "exact")
    }
    print(f"σ/μ = {r:g}: " + ", ".join(f"{method} {power:.4f}" for method, power in found.items()))

# %% [markdown]
# ## The noise law decides
#
# Where does $\sqrt{2p+1}$ come from? From the shape of the noise. For small signals and $\varepsilon \to 0$, the update
# is $(\mu/\sigma)\,\mathbb{E}[\varphi'(\xi)]/\sqrt{\mathbb{E}[\varphi(\xi)^2]}$. Integrating by parts and applying the
# Cauchy–Schwarz inequality, the best transform is the **score** of the noise, $-f'/f$. For noise with density
# $\propto e^{-|x|^b}$ the score is itself a sign-power, with $p^* = b - 1$: 1 for the Gaussian ($b = 2$), 0 for Laplace
# ($b = 1$). This part goes beyond the paper.

# %%
for shape in (1.0, 1.5, 2.0, 3.0):
    law = parse_law(f"generalized-normal:{shape:g}")
    best = optimal_power(mean, 1000 * mean, law, epsilon=0.0, method="limit", interval=(0.0, 4.0))
    print(f"b = {shape:g}: best power {best.power:.4f}, predicted {shape - 1:g}")

# %% [markdown]
# So the best power of Figure 7 belongs to its uniform noise, whose tails end abruptly. Gaussian and Laplace noise give
# other pictures, at the same ratios and the same $\varepsilon$:

# %%
figure7.draw(
    figure7.compute(Setting(law=("gaussian", "laplace"), noise_to_signal=(1.0, 10.0, 100.0), trials=2048))
)

# %% [markdown]
# ## What next
#
# - `gradpower theory check` verifies every claim of Section 4, symbolically, numerically and in ball arithmetic.
# - `gradpower figure drift-to-rms` asks whether the best power improves the direction, or only the size, of the update.
# - Try it: which noise law would make $p = 1.2$ the best power for all large ratios, whatever $\varepsilon$?

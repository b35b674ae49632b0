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
# # Which noise wants which power?
#
# Adam sees a gradient $g = \mu + \sigma\xi$: a signal $\mu$, and noise of size $\sigma$ whose shape is the law of
# $\xi$. The theory of this project takes any law. Here you bring your own, in two ways: as two functions, and as a file
# of measured numbers. For both we ask which power is best, first by the paper's criterion and then by a better one.
#
# No PyTorch; a minute or two.

# %%
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from theory import optimal_power, parse_law
from theory.adam.noise_bias import noise_bias, unbiased_power
from theory.adam.noise_equivalent import noise_equivalent
from theory.laws import QuantileLaw

SMALL = "GRADPOWER_SMALL" in os.environ  # set by the tests: fewer points and samples

# %% [markdown]
# ## A law from two functions
#
# A continuous law needs its quantile function and its distribution function. Our example is the hyperbolic secant law,
# with density $\tfrac12\,\mathrm{sech}(\pi x/2)$. It looks Gaussian in the middle, and has tails like those of
# Laplace's law. Its variance is 1, so that $\sigma$ is the standard deviation. `QuantileLaw` checks that the two
# functions undo each other.


# %%
def quantile(u):
    """Return the x below which ξ lies with probability u."""
    return 2 / np.pi * np.log(np.tan(np.pi / 2 * u))


def cumulative(x):
    """Return the probability that ξ < x."""
    return 2 / np.pi * np.arctan(np.exp(np.pi / 2 * x))


secant = QuantileLaw("secant", quantile, cumulative, symmetric=True)
variance = secant.absolute_moment(2, 0.0, 1.0)
print(f"variance {variance:.9f}")

# %% [markdown]
# A law of `scipy.stats` works the same way: `QuantileLaw("logistic", logistic.ppf, logistic.cdf, symmetric=True)`.
# Whatever takes a law by name, such as `"gaussian"`, also takes this object.
#
# The paper asks which power makes Adam's mean update largest. Under strong noise and without $\varepsilon$ the answer
# depends on the law alone. We take $\sigma/\mu = 100$. Gaussian noise should give 1 in the limit of long averages, and
# Laplace noise 0: their scores are the powers 1 and 0.

# %%
mean, noise = 1e-6, 1e-4
names = ("gaussian",) if SMALL else ("laplace", "gaussian", "triangular")
search = (0.2, 1.2) if SMALL else (0.05, 4.0)
laws = {"secant": secant} | {name: parse_law(name) for name in names}
best = {
    name: {
        method: optimal_power(mean, noise, law, epsilon=0.0, method=method, interval=search).power
        for method in ("limit", "exact")
    }
    for name, law in laws.items()
}
for name, powers in best.items():
    print(
        f"{name:10}  long averages: p* = {powers['limit']:.3f};  β = (0.9, 0.95): p* = {powers['exact']:.3f}"
    )

# %% [markdown]
# The search runs from 0.05 to 4, and for two laws the best power lies at an end of it. For Laplace noise that means
# "as small as you like". For triangular noise and long averages it means "as large as you like"; at Adam's usual β its
# best power lies inside. Triangular noise has lighter tails than Gaussian noise, and asks for a power above 1. The
# secant law lies between Laplace and Gauss, as its shape does.
#
# ## A better criterion: the noise that a power is worth
#
# A larger mean update is no gain by itself: a larger learning rate gives it too. What counts once the rate is tuned is
# the mean update against the fluctuations of the *sum* of updates. Their variance per step is the long-run variance,
# LRV. It includes the correlation of successive steps, which momentum makes. Call
#
# $$q(p) = \frac{\mathbb{E}u\,/\sqrt{\mathrm{LRV}}\ \text{ at } p}{\mathbb{E}u\,/\sqrt{\mathrm{LRV}}\ \text{ at } 1}.$$
#
# Under strong noise, Adam with power $p$ then makes the progress that $p = 1$ makes under noise $q$ times smaller.
# $q > 1$ helps, $q < 1$ harms.
#
# The left panel shows $q$ against $p$ for five laws. The right panel shows the secant law alone, at three memories of
# the second moment.

# %%
powers = np.geomspace(0.55, 2.5, 3 if SMALL else 17)
named = {
    "binary": "binary",
    "uniform": "uniform",
    "gaussian": "gaussian",
    "secant": secant,
    "laplace": "laplace",
}
memories = (0.95, 0.999) if SMALL else (0.95, 0.99, 0.999)
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.4), layout="constrained")
for name, law in named.items():
    left.plot(powers, [noise_equivalent(p, parse_law(law)) for p in powers], label=name)
left.set(title="β2 = 0.95, by law", ylabel="q(p): above 1 the power helps")
for beta2 in memories:
    right.plot(powers, [noise_equivalent(p, secant, beta2=beta2) for p in powers], label=f"β2 = {beta2:g}")
right.set(title="the secant law, by memory")
for axis in (left, right):
    axis.axhline(1, color="black", linewidth=0.6)
    axis.set(xlabel="power p", ylim=(0.6, 1.4), xscale="log", xticks=(0.6, 0.8, 1, 1.2, 1.5, 2, 2.5))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.grid(alpha=0.25)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# All curves pass through 1 at $p = 1$, where nothing is changed. The two bounded laws, binary and uniform, gain from
# $p > 1$. The laws with heavy tails gain from $p < 1$. For Gaussian noise no power gains to speak of, and powers near
# 1 lose little. Binary noise is the extreme case: there $q = p$, since $\varphi_p(\mu \pm \sigma)$ is close to
# $\pm\sigma^p$ and has $p$ times the signal in proportion.
#
# The right panel shows that a longer memory makes the curve of the secant law steeper. One reading: a short average
# $v$ follows the noise of the last steps. A large gradient then enlarges the denominator together with the numerator,
# and limits its own update. That resembles a small power. The table has the same comparison for the other laws.

# %%
test_powers = (0.8, 1.2)
table = {
    (name, beta2): [noise_equivalent(p, parse_law(law), beta2=beta2) for p in test_powers]
    for name, law in named.items()
    for beta2 in memories
}
print("law        β2      q(0.8)   q(1.2)")
for (name, beta2), values in table.items():
    print(f"{name:9}  {beta2:<5g}   {values[0]:.4f}   {values[1]:.4f}")

# %% [markdown]
# ## A law from your own samples
#
# Suppose you have measured gradient noise, for instance the gradients of one weight over many batches at a fixed model.
# `empirical:FILE` makes a law of the numbers in a file. `empirical-symmetric:FILE` adds their negatives, where a skew
# would be an accident of few samples; $q$ is defined for symmetric laws only. Both centre the numbers and scale them to
# variance 1.
#
# Here we make up the measurement. Noise of a single example follows Laplace's law, and a batch averages $B$ of them.

# %%
generator = np.random.default_rng(0)
count = 1000 if SMALL else 20_000
folder = Path(tempfile.mkdtemp())
for batch in (1, 4, 16, 64):
    np.save(folder / f"batch{batch}.npy", generator.laplace(size=(count, batch)).mean(axis=1))

measured = {b: parse_law(f"empirical-symmetric:{folder}/batch{b}.npy") for b in (1, 4, 16, 64)}
by_batch = {b: [noise_equivalent(p, law) for p in test_powers] for b, law in measured.items()}
for b, (low, high) in by_batch.items():
    print(f"batch {b:2}: q(0.8) = {low:.4f}, q(1.2) = {high:.4f}")

# %% [markdown]
# At batch 1 the numbers are those of Laplace's law in the table above, up to the error of the sample. As the batch
# grows the average becomes Gaussian, and what a power gains or loses fades. So the batch size changes the shape of the
# noise as well as its size.
#
# How far can few samples be trusted? `resampled` draws as many samples with replacement. The spread of $q$ over such
# draws is its standard error.

# %%
draws = 6 if SMALL else 40
spread = np.std([noise_equivalent(1.2, measured[1].resampled(generator)) for _ in range(draws)], ddof=1)
exact = noise_equivalent(1.2, parse_law("laplace"))
print(f"batch 1: q(1.2) = {by_batch[1][1]:.4f} ± {spread:.4f}; Laplace's law itself: {exact:.4f}")

# %% [markdown]
# The command line knows the same laws:

# %%
law = f"empirical-symmetric:{folder}/batch16.npy"
command = f"theory noise-equivalent --law {law} --power 0.8 --json".split()
answer = json.loads(subprocess.check_output([sys.executable, "-m", "gradpower", *command]))
print(f"q(0.8) = {answer['noise_equivalent']:.4f}")

# %% [markdown]
# ## Noise that leans to one side
#
# The gradient of a rare word's logit is small and of one sign, until the word comes: then it is large, and of the
# other sign. Such noise is skewed. Let its mean be 0, so that nothing is to be learnt: $\mathbb{E}g = 0$. Does Adam
# stay where it is, in the mean?
#
# The law `two-point:Q` has a rare, large value with probability $Q$, and a frequent, small one of the other sign.

# %%
bias = {
    (chance, beta2): [noise_bias(p, parse_law(f"two-point:{chance}"), beta2=beta2) for p in (1.0, 1.2)]
    for chance in (0.3, 0.1, 0.03)
    for beta2 in (0.95, 0.99)
}
print("Q      β2      E u at p = 1   at p = 1.2   0 at p")
for (chance, beta2), (plain, powered) in bias.items():
    still = unbiased_power(parse_law(f"two-point:{chance}"), beta2=beta2)
    print(f"{chance:<5g}  {beta2:<5g}   {plain:+.3f}         {powered:+.3f}       {still:.3f}")

# %% [markdown]
# It does not. At $p = 1$ Adam moves *away* from the rare side. The large gradient enlarges the root that divides it;
# once $v$ has forgotten it, the small ones are divided by a small root. A longer memory cuts this to a fifth or a
# quarter here. A power above 1 pulls towards the rare side. At one power the two cancel, and where that is below 1.2, a
# power of 1.2 overshoots.
#
# In the head of our small LLaMA noise alone drove Adam against the signal at $p = 1$ in batches of two sequences, and
# hardly in large ones: [the bias](../../paper_repro.md#beyond-the-paper-is-adam-biased-against-rare-large-gradients).
#
# ## What this does and does not say
#
# These numbers hold for noise that is independent over steps and independent of the signal, at a tuned rate. *The
# intervention* puts such noise into a network, and checks them.
#
# The noise of language models is another matter. In our small LLaMA it has heavy tails and depends on the signal. There
# $p = 1.2$ gained where this theory predicts a loss. And the gain faded with a longer memory, where the table has the
# effects of most laws grow. `gradpower noise RUN` measures the noise of a run of yours.

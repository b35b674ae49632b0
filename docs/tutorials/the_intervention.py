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
# # The intervention
#
# Does a power act like less noise? The theory says so for noise of known law. This tutorial tests it in the strict way:
# we *set* the law and the size of the noise in a small network, change the power, and see what becomes of the loss.
#
# No PyTorch; two minutes or less. First comes a check of your own, then the committed study in `results/intervention`.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import simulate
from figures.adam import intervention
from simulate.intervention.descent import Arm, descend
from simulate.intervention.study import INTERVENTION, Design, calibrated, run_cell
from theory import parse_law
from theory.adam.noise_equivalent import PURE_NOISE, long_run_update, noise_equivalent

SMALL = "GRADPOWER_SMALL" in os.environ  # set by the tests: fewer steps and seeds
steps, seeds = (60, 4) if SMALL else (600, 16)

# %% [markdown]
# ## The statement
#
# Take Adam under strong noise of size $\sigma$. The sum of its updates has a mean and a variance, and both grow with
# the number of steps. The theory computes them for any power and any symmetric law: the mean per step, and the
# long-run variance LRV. A power changes both. So does a change of the noise and of the learning rate at $p = 1$. Hence
# each power should have a *twin* without a power:
#
# | | power | noise | learning rate |
# |---|---|---|---|
# | power | $p$ | $\sigma$ | $\eta$ |
# | its twin | 1 | $\sigma/q$ | $\eta\sqrt{\mathrm{LRV}(p)/\mathrm{LRV}(1)}$ |
#
# Here $q$ is the noise that the power is worth. Above 1, the power acts like less noise. The next cell computes $q$
# and the factor of the learning rate. Nothing is fitted to any run.

# %%
laws = ("uniform", "gaussian", "laplace")
power = 1.5


def rate_factor(power, law):
    """Return √(LRV(p)/LRV(1)) under noise without a signal to speak of."""
    ours, theirs = (long_run_update(p, PURE_NOISE, 1.0, parse_law(law)).variance for p in (power, 1.0))
    return np.sqrt(ours / theirs)


twins = {law: (noise_equivalent(power, parse_law(law)), rate_factor(power, law)) for law in laws}
for law, (q, factor) in twins.items():
    print(f"{law:9} p = {power}: q = {q:.4f}, learning rate × {factor:.4f}")

# %% [markdown]
# ## Three runs a law
#
# `descend` trains a network of 442 weights: 16 inputs, 16 hidden units, 10 classes, 256 points. Its gradient is exact,
# and each coordinate gets independent noise in each step. `level` is $\sigma$ over the size of the gradient at the
# start. All arms of one seed have the same initial weights, and their noise is made of the same random numbers.
#
# For each law we run $p = 1$, the power, and the twin of the power.

# %%
level, rate = 8.0, 0.03
losses = {}
for law, (q, factor) in twins.items():
    arms = [Arm(1.0, level, rate), Arm(power, level, rate), Arm(1.0, level / q, factor * rate)]
    losses[law], ratios = descend(parse_law(law), arms, range(seeds), steps)
    print(f"{law:9} noise over gradient, averaged over the run at p = 1: {ratios[0]:.0f}")


def mean_and_error(values):
    """Return the mean over seeds and its standard error."""
    return values.mean(), values.std(ddof=1) / np.sqrt(values.size)


changes = {
    law: (mean_and_error(loss[1] - loss[0]), mean_and_error(loss[2] - loss[0]))
    for law, loss in losses.items()
}

# %% [markdown]
# The picture shows the change of the final loss against $p = 1$, in thousandths of a nat, with standard errors over
# seeds. The power is on the left of each pair, its twin on the right. If the theory is right, both are equal.

# %%
figure, axis = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
places = np.arange(len(laws))
for index, (label, marker) in enumerate(
    {f"p = {power}": "o", "its twin: p = 1, less or more noise": "s"}.items()
):
    means, errors = 1e3 * np.array([changes[law][index] for law in laws]).T
    axis.errorbar(places + 0.16 * index - 0.08, means, errors, fmt=marker, capsize=3, label=label)
axis.axhline(0, color="black", linewidth=0.6)
axis.set(
    xticks=places,
    xticklabels=laws,
    ylabel="loss less that of p = 1 (1e-3 nats)",
    xlim=(-0.5, len(laws) - 0.5),
)
axis.grid(axis="y", alpha=0.25)
axis.legend()
plt.show()

# %%
for law, loss in losses.items():
    (measured, error), (predicted, _) = changes[law]
    gap, gap_error = mean_and_error(loss[1] - loss[2])
    print(
        f"{law:9} power {1e3 * measured:+.2f} ± {1e3 * error:.2f}, twin {1e3 * predicted:+.2f}, "
        f"gap {1e3 * gap:+.2f} ± {1e3 * gap_error:.2f}"
    )

# %% [markdown]
# The same power helps under one law and harms under another. The sign is that of the theory. Watch the gap between a
# power and its twin: the theory is a limit of strong noise and small steps, so that a gap of several standard errors
# is no contradiction. The gap should be small against the change itself.
#
# ## At tuned rates
#
# A comparison at one learning rate could favour one side. `run_cell` tunes the rate of every arm on other seeds, and
# then compares $L(p, \sigma) - L(1, \sigma)$, measured, with $L(1, \sigma/q) - L(1, \sigma)$, predicted.

# %%
design = Design(
    laws=("uniform", "laplace"),
    powers=(1.2,) if SMALL else (0.8, 1.2),
    levels=(level,),
    seeds=4 if SMALL else 8,
    steps=50 if SMALL else 600,
)
cells = [run_cell(law, level, design) for law in design.laws]
for change in (change for cell in cells for change in cell.changes):
    print(
        f"{change.law:8} p = {change.power:g}: q = {change.equivalent:.3f}, "
        f"measured {1e3 * change.measured:+.2f} ± {1e3 * change.measured_error:.2f}, "
        f"predicted {1e3 * change.predicted:+.2f} ± {1e3 * change.predicted_error:.2f}"
    )

# %% [markdown]
# ## The committed study
#
# `results/intervention/intervention.json` holds the study in full: six laws, four powers, five noise levels, 1500
# steps, 16 seeds. Its rule was written before the run (`design.md` beside it). `INTERVENTION.read` reads the file
# strictly: a damaged one is an error.

# %%
file = Path(simulate.__file__).parents[1] / "results" / "intervention" / "intervention.json"
study = INTERVENTION.read(file)
print(study.provenance.command, study.provenance.config)
intervention.draw([change for cell in study.cells for change in cell.changes])

# %% [markdown]
# Each mark is a law, a noise level and a power. Measured changes are plotted against predicted ones, and on the
# diagonal the prediction is exact. Both axes are stretched around 0. On the left, where the noise is strong, the marks
# follow the diagonal. On the right, where it is weaker, the prediction is outside its limit, and the errors are
# as large as most changes.
#
# One number for each side: the slope of measured on predicted changes, through the origin. It is 1 if the prediction is
# exact, and 0 if the power does nothing of what is predicted. The interval is a jackknife over seeds.

# %%
strong = [cell for cell in study.cells if cell.changes[0].strong]
parts = {
    "strong noise, all laws": strong,
    "strong noise, without binary": [cell for cell in strong if cell.changes[0].law != "binary"],
    "weaker noise": [cell for cell in study.cells if not cell.changes[0].strong],
}
slopes = {label: calibrated(part) for label, part in parts.items()}
for label, slope in slopes.items():
    low, high = slope.jackknife
    print(
        f"{label:29} slope {slope.slope:.3f} [{low:.3f}, {high:.3f}], {slope.signs} of {slope.count} signs as predicted"
    )

# %% [markdown]
# Binary noise stands apart because it could hardly fail: there a power is nearly the same run as $p = 1$ at another
# $\sigma$. The second line is the one to read.
#
# **What follows, and what does not.** Where the noise is strong and independent of the signal, a power acts about like
# less noise, or like more: its law decides. One small network and one data set were used. A language model's own noise
# has heavier tails, and depends on the signal; there this theory does not explain the gain of $p = 1.2$.
# `paper_repro.md` says what is known.
#
# ## What next
#
# - `gradpower simulate intervention --laws uniform laplace --levels 8` is the study as a command.
# - Try a law with `laws = ("student-t:4", …)`, or a level of 0.1, where the limit of strong noise ends.
